import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { maxShortRuns, RestartPolicy } from '../../src/workers/restart-policy.ts';

describe('the restarts of a worker', () => {
  it('A worker that crashes in a loop is started again after longer and longer delays, and then not any more', () => {
    const policy = new RestartPolicy();
    const delays = Array.from({ length: maxShortRuns }, () => policy.delayAfter(100));
    assert.deepEqual(delays, [250, 500, 1000, 2000, 4000, undefined]);
  });

  it('A worker that ran for a minute is started again as after its first crash, however often that happens', () => {
    const policy = new RestartPolicy();
    policy.delayAfter(100);
    policy.delayAfter(100);
    for (let run = 0; run < 100; run += 1) assert.equal(policy.delayAfter(60_000), 250);
    assert.equal(policy.delayAfter(59_999), 500);
  });
});
