import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RateLimiter } from '../../src/util/rate-limiter.ts';

describe('RateLimiter', () => {
  it('RateLimiter admits as many events of a key as a window allows, and then tells how many it did not admit', (test) => {
    let nowMs = 0;
    test.mock.method(performance, 'now', () => nowMs);
    const limiter = new RateLimiter({ maxPerWindow: 2, windowMs: 1_000 });
    assert.deepEqual(
      ['a', 'a', 'a', 'a', 'b'].map((key) => limiter.admit(key)),
      [0, 0, undefined, undefined, 0],
    );
    nowMs = 1_000;
    assert.equal(limiter.admit('a'), 2);
    assert.equal(limiter.admit('b'), 0);
  });
});
