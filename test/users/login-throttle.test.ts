/** Guessing passwords gets slower and is refused for a while; other users are not affected. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { LoginThrottle } from '../../src/users/login-throttle.ts';

const guesser = '203.0.113.1';
const partner = '198.51.100.1';

describe('the login throttle', () => {
  let throttle: LoginThrottle;
  beforeEach(() => {
    mock.timers.enable({ apis: ['Date'] });
    throttle = new LoginThrottle({ maxLoginFailures: 4, loginLockoutMs: 60_000 });
  });
  afterEach(() => mock.timers.reset());

  it('The login throttle delays each refusal longer than the previous one, up to eight seconds', () => {
    const delays = Array.from({ length: 8 }, () => throttle.recordFailure(guesser, 'alice'));
    assert.deepEqual(delays, [250, 500, 1000, 2000, 4000, 8000, 8000, 8000]);
  });

  it('The login throttle refuses an address after its failures, for any user names, until they expire', () => {
    for (const name of ['a', 'b', 'c', 'd']) {
      assert.equal(throttle.lockoutLeftMs(guesser, name), 0);
      throttle.recordFailure(guesser, name);
    }
    assert.equal(throttle.lockoutLeftMs(guesser, 'e'), 60_000);
    assert.equal(throttle.lockoutLeftMs(partner, 'a'), 0);
    mock.timers.tick(59_999);
    assert.equal(throttle.lockoutLeftMs(guesser, 'e'), 1);
    mock.timers.tick(1);
    assert.equal(throttle.lockoutLeftMs(guesser, 'e'), 0);
    assert.equal(throttle.recordFailure(guesser, 'e'), 250, 'old failures are forgotten');
  });

  it('The login throttle refuses a user after failures from many addresses, except where the user has logged in before', () => {
    throttle.recordSuccess(partner, 'alice');
    for (let host = 1; host <= 4; host++) throttle.recordFailure(`203.0.113.${host}`, 'alice');
    assert.equal(throttle.lockoutLeftMs('203.0.113.99', 'alice'), 60_000);
    assert.equal(throttle.lockoutLeftMs(partner, 'alice'), 0);
    assert.equal(throttle.lockoutLeftMs('203.0.113.99', 'bob'), 0);
  });

  it('The login throttle resets the failures of a user at a login, but not those of the address', () => {
    for (let attempt = 0; attempt < 3; attempt++) throttle.recordFailure(guesser, 'alice');
    throttle.recordSuccess(guesser, 'alice');
    assert.equal(throttle.recordFailure(partner, 'alice'), 250);
    throttle.recordFailure(guesser, 'bob');
    assert.equal(throttle.lockoutLeftMs(guesser, 'alice'), 60_000);
  });

  it('The login throttle keeps a bounded number of names and addresses, however long they are', () => {
    const before = process.memoryUsage().heapUsed;
    for (let attempt = 0; attempt < 20_000; attempt++) {
      throttle.recordFailure(`2001:db8::${attempt.toString(16)}`, `${attempt}`.padEnd(8_000, 'x'));
    }
    const grown = process.memoryUsage().heapUsed - before;
    assert.ok(grown < 64 * 1024 * 1024, `the heap grew by ${grown} bytes`);
    assert.equal(throttle.recordFailure('2001:db8::4e1f', 'someone'), 500, 'the latest is remembered');
    assert.equal(throttle.recordFailure('2001:db8::1', 'someone else'), 250, 'the oldest is not');
  });
});
