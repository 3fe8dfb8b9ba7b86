/** What wrong passwords count for, and what they never do. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { LoginThrottle } from '../../src/users/login-throttle.ts';

const guesser = { source: '203.0.113.1', isExempt: false };
const partner = { source: '198.51.100.1', isExempt: false };
const windowMs = 60_000;

describe('the login throttle', () => {
  let throttle: LoginThrottle;
  beforeEach(() => {
    mock.timers.enable({ apis: ['Date'] });
    throttle = new LoginThrottle({ maxLoginFailures: 8, loginBanMs: windowMs });
  });
  afterEach(() => mock.timers.reset());

  /** Sends distinct wrong passwords; the last result. */
  const guess = (times: number, name: string, from = guesser, prefix = name) => {
    let last = {};
    for (let index = 0; index < times; index++)
      last = throttle.recordFailure(from, name, `${prefix}${index}`);
    return last;
  };

  it('The login throttle delays each refusal longer than the previous one, up to eight seconds', () => {
    const from = { source: '203.0.113.1', isExempt: true };
    const delays = Array.from({ length: 8 }, (_, index) => throttle.recordFailure(from, 'alice', `${index}`));
    assert.deepEqual(
      delays.map(({ delayMs }) => delayMs),
      [250, 500, 1000, 2000, 4000, 8000, 8000, 8000],
    );
  });

  it('The login throttle bans a source after its distinct wrong passwords for any users, and no other source', () => {
    for (let index = 0; index < 7; index++) guess(1, `user${index}`);
    assert.equal(throttle.bannedForMs(guesser, 'alice'), 0);
    const { ban } = throttle.recordFailure(guesser, 'user7', 'x');
    assert.equal(ban?.source, guesser.source);
    assert.equal(ban.username, undefined);
    assert.equal(throttle.bannedForMs(guesser, 'alice'), windowMs);
    assert.equal(throttle.bannedForMs(partner, 'user0'), 0);
    assert.deepEqual(throttle.bans, [ban]);
    mock.timers.tick(windowMs);
    assert.equal(throttle.bannedForMs(guesser, 'alice'), 0);
    assert.deepEqual(throttle.bans, []);
  });

  it('Wrong passwords for one user ban only that user at that source, so a device does not ban its neighbours', () => {
    const { ban } = guess(4, 'device') as { ban?: { username?: string } };
    assert.equal(ban?.username, 'device');
    assert.equal(throttle.bannedForMs(guesser, 'device'), windowMs);
    assert.equal(throttle.bannedForMs(guesser, 'neighbour'), 0);
    assert.equal(throttle.bannedForMs(partner, 'device'), 0);
  });

  it('The same wrong password again counts once, however often a device sends it', () => {
    for (let attempt = 0; attempt < 1_000; attempt++) {
      assert.equal(throttle.recordFailure(guesser, 'device', 'old').ban, undefined);
      mock.timers.tick(100);
    }
    assert.equal(throttle.bannedForMs(guesser, 'device'), 0);
  });

  it('No number of attackers bans a user at another address', () => {
    for (let host = 0; host < 500; host++) {
      guess(4, 'alice', { source: `203.0.${host >> 8}.${host & 255}`, isExempt: false });
    }
    assert.equal(throttle.bannedForMs(partner, 'alice'), 0);
    assert.ok(throttle.canReserve(partner, 'alice'));
  });

  it('A user who has logged in from a source passes its ban, but not a ban of their own', () => {
    throttle.recordSuccess(guesser, 'alice');
    for (let index = 0; index < 8; index++) guess(1, `user${index}`);
    assert.equal(throttle.bannedForMs(guesser, 'bob'), windowMs);
    assert.equal(throttle.bannedForMs(guesser, 'alice'), 0);
    guess(4, 'alice');
    assert.equal(throttle.bannedForMs(guesser, 'alice'), windowMs);
  });

  it('Wrong passwords of users who are known at a source do not count for the source', () => {
    for (const name of ['a', 'b', 'c', 'd']) {
      throttle.recordSuccess(guesser, name);
      guess(3, name);
    }
    assert.equal(throttle.bannedForMs(guesser, 'neighbour'), 0);
  });

  it('A right password in between does not let a source guess more', () => {
    for (let index = 0; index < 8; index++) {
      guess(1, `user${index}`);
      throttle.recordSuccess(guesser, 'own-account');
    }
    assert.equal(throttle.bannedForMs(guesser, 'alice'), windowMs);
  });

  it('Wrong passwords expire one by one after the window', () => {
    for (let minute = 0; minute < 100; minute++) {
      assert.equal(throttle.recordFailure(guesser, `user${minute}`, 'x').ban, undefined);
      mock.timers.tick(windowMs / 6);
    }
  });

  it('Parallel attempts are reserved, so no more than the limit are checked at a time', () => {
    let reserved = 0;
    while (throttle.canReserve(guesser, `user${reserved}`)) throttle.reserve(guesser, `user${reserved++}`);
    assert.equal(reserved, 8);
    throttle.recordEnd(guesser, 'user0');
    assert.ok(throttle.canReserve(guesser, 'other'), 'one that ended without a failure gives its place back');
    let ofOne = 0;
    while (throttle.canReserve(partner, 'alice')) {
      throttle.reserve(partner, 'alice');
      ofOne += 1;
    }
    assert.equal(ofOne, 4);
  });

  it('A source that is exempt is never banned', () => {
    const from = { source: '192.0.2.1', isExempt: true };
    guess(100, 'alice', from);
    assert.equal(throttle.bannedForMs(from, 'alice'), 0);
    assert.ok(throttle.canReserve(from, 'alice'));
  });

  it('Failures of 20,000 other names and sources do not end a ban and do not make a user unknown', () => {
    throttle.recordSuccess(partner, 'alice');
    for (let index = 0; index < 8; index++) guess(1, `user${index}`);
    for (let host = 0; host < 20_000; host++) {
      throttle.recordFailure(
        { source: `2001:db8:0:${host.toString(16)}::/64`, isExempt: false },
        `n${host}`,
        'x',
      );
    }
    assert.equal(throttle.bannedForMs(guesser, 'alice'), windowMs);
    assert.equal(throttle.standing(partner.source, 'alice'), 'known');
  });

  it('The login throttle keeps a bounded number of names and sources, however long they are', () => {
    const before = process.memoryUsage().heapUsed;
    for (let attempt = 0; attempt < 20_000; attempt++) {
      const from = { source: `2001:db8:0:${attempt.toString(16)}::/64`, isExempt: false };
      throttle.recordFailure(from, `${attempt}`.padEnd(8_000, 'x'), 'x');
    }
    const grown = process.memoryUsage().heapUsed - before;
    assert.ok(grown < 64 * 1024 * 1024, `the heap grew by ${grown} bytes`);
  });
});
