import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FailureBudget } from '../../src/users/failure-budget.ts';

describe('the budget of failed logins', () => {
  it('The budget allows its burst at once, and then its share of the time', () => {
    const budget = new FailureBudget({ burstMs: 1_000, share: 0.1 }, 0);
    let nowMs = 0;
    let spentMs = 0;
    while (nowMs < 60_000) {
      const emptyForMs = budget.emptyForMs(nowMs);
      if (emptyForMs > 0) nowMs += emptyForMs;
      else {
        budget.spend(80, nowMs);
        spentMs += 80;
      }
    }
    assert.ok(spentMs >= 6_900 && spentMs <= 7_100, `${spentMs} ms of 60 s were spent`);
  });

  it('The budget never grows beyond its burst', () => {
    const budget = new FailureBudget({ burstMs: 1_000, share: 0.1 }, 0);
    budget.spend(1_001, 3_600_000);
    assert.ok(budget.emptyForMs(3_600_000) > 0);
  });
});
