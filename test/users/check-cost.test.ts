import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CheckCost, RecentMedian } from '../../src/users/check-cost.ts';

describe('the CPU time of password checks', () => {
  it('A check that runs alone costs what the threads have used since its start', () => {
    const cost = new CheckCost();
    const first = cost.start(1_000, 0);
    assert.equal(cost.end(first, 1_180, 200), 180);
    const second = cost.start(5_000, 900);
    assert.equal(cost.end(second, 5_150, 1_100), 150);
  });

  it('Checks that overlap cost together what the threads have used, however they overlap', () => {
    const cost = new CheckCost();
    const first = cost.start(0, 0);
    const second = cost.start(100, 100);
    // From here to the end of the first both use 80.
    assert.equal(cost.end(first, 260, 180), 180);
    assert.equal(cost.end(second, 360, 280), 180);
  });

  it('A check costs no more than the time that has passed, whatever else the threads did', () => {
    const cost = new CheckCost();
    const check = cost.start(0, 0);
    assert.equal(cost.end(check, 900, 200), 200);
  });

  it('The median of the last sixteen values leaves out the few that are far off', () => {
    const median = new RecentMedian();
    assert.equal(median.add(900), 900);
    for (let count = 0; count < 15; count++) median.add(180);
    assert.equal(median.add(2_000), 180);
    for (let count = 0; count < 15; count++) median.add(90);
    assert.equal(median.add(90), 90);
  });
});
