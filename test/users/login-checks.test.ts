/** How logins wait for their check: fairly, within limits, and no longer than their client. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { GatewayEvent } from '../../src/observability/event.ts';
import {
  LoginChecks,
  type LoginOutcome,
  type LoginResult,
  type SharedLogins,
} from '../../src/users/login-checks.ts';
import type { Ban } from '../../src/users/login-throttle.ts';
import type { Authenticate, User } from '../../src/users/user.ts';

const user: User = { name: 'alice', home: { bucket: 'test', prefix: '' }, permissions: 'read-write' };
const { signal } = new AbortController();

/** Checks that end when the test says so. A password that begins with `right` is right. */
function scene(
  limits: { maxLoginFailures?: number; remembered?: Authenticate['remembered']; shared?: SharedLogins } = {},
) {
  const running: { readonly name: string; end(): Promise<void> }[] = [];
  const started: string[] = [];
  const events: GatewayEvent[] = [];
  const authenticate: Authenticate = async ({ username, password }) => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    started.push(username);
    running.push({
      name: username,
      async end() {
        resolve(undefined);
        await nextTurn();
      },
    });
    await promise;
    return password.startsWith('right') ? user : 'LOGIN-PASSWORD';
  };
  const checks = new LoginChecks({
    maxLoginFailures: limits.maxLoginFailures ?? 20,
    loginBanMs: 60_000,
    authenticate: Object.assign(authenticate, limits.remembered && { remembered: limits.remembered }),
    observe: (event) => events.push(event),
    shared: limits.shared,
  });
  let passwords = 0;
  const check = (source: string, username: string, password = `wrong${passwords++}`, given = signal) => {
    const outcome = checks.check(
      { source, isExempt: false },
      { username, password, clientAddress: source, secure: false },
      given,
    );
    outcome.catch(() => undefined);
    return outcome;
  };
  const endNext = async (): Promise<void> => running.shift()?.end();
  /** Ends every check until none is left. */
  const endAll = async (): Promise<void> => {
    while (running.length > 0) await endNext();
  };
  return { checks, check, running, started, events, endNext, endAll };
}

describe('login checks', () => {
  it('At most two logins are checked at a time, and of those that wait the sources with fewer go first', async () => {
    const { check, started, running, endAll } = scene();
    for (const name of ['a1', 'a2', 'a3', 'a4', 'b1', 'c1']) void check(name[0]!, name, 'right');
    assert.equal(running.length, 2);
    await endAll();
    assert.deepEqual(started, ['a1', 'a2', 'b1', 'c1', 'a3', 'a4']);
  });

  it('Of 2,000 parallel wrong passwords of one source, at most the limit is checked, and the rest is refused', async () => {
    const { check, started, events, endAll } = scene({ maxLoginFailures: 20 });
    const outcomes = Array.from({ length: 2_000 }, (_, index) => check('s', `user${index}`));
    await endAll();
    const kinds = (await Promise.all(outcomes)).map(({ kind }) => kind);
    assert.equal(started.length, 20);
    assert.equal(kinds.filter((kind) => kind === 'refused').length, 20);
    assert.ok(kinds.every((kind) => kind !== 'accepted'));
    const bans = events.filter(({ event }) => event === 'login-ban');
    assert.deepEqual(bans, [{ event: 'login-ban', cause: 'BANNED', source: 's', seconds: 60 }]);
  });

  it('Of 2,000 parallel wrong passwords for one user of one source, half the limit is checked', async () => {
    const { check, started, checks, endAll } = scene({ maxLoginFailures: 20 });
    const outcomes = Array.from({ length: 2_000 }, () => check('s', 'alice'));
    await endAll();
    await Promise.all(outcomes);
    assert.equal(started.length, 10);
    assert.deepEqual(
      checks.bans.map(({ source, username }) => ({ source, username })),
      [{ source: 's', username: 'alice' }],
    );
  });

  it('2,000 parallel right passwords are all accepted: an attempt is given back when it succeeds', async () => {
    const { check, endAll } = scene({ maxLoginFailures: 2 });
    const outcomes: Promise<LoginOutcome>[] = [];
    for (let source = 0; source < 20; source++) {
      for (let name = 0; name < 20; name++) outcomes.push(check(`s${source}`, `user${name}`, 'right'));
    }
    await endAll();
    for (const { kind } of await Promise.all(outcomes)) assert.equal(kind, 'accepted');
  });

  it('A known login is checked before those that wait already, and a source with failures after all others', async () => {
    const { check, started, endNext, endAll } = scene();
    void check('partner', 'alice', 'right');
    void check('bad', 'x');
    await endAll();
    started.length = 0;
    for (const name of ['n1', 'n2', 'n3', 'n4']) void check(name, name, 'right');
    void check('bad', 'y', 'right');
    void check('clean', 'z', 'right');
    const known = check('partner', 'alice', 'right again');
    await endNext();
    await endAll();
    assert.equal((await known).kind, 'accepted');
    assert.deepEqual(started, ['n1', 'n2', 'alice', 'n3', 'n4', 'z', 'y']);
  });

  it('Logins of one source with the same name and password are checked once, and a wrong one counts once', async () => {
    const { check, started, endAll } = scene({ maxLoginFailures: 2 });
    const right = Array.from({ length: 50 }, () => check('s', 'alice', 'right'));
    const wrong = Array.from({ length: 50 }, () => check('t', 'alice', 'old'));
    await endAll();
    for (const { kind } of await Promise.all(right)) assert.equal(kind, 'accepted');
    for (const { kind } of await Promise.all(wrong)) assert.equal(kind, 'refused');
    assert.equal(started.length, 2);
  });

  it('A login that is remembered passes without waiting, except from a banned source where it is not known', async () => {
    const remembered: Authenticate['remembered'] = ({ password }) =>
      password === 'right' ? user : undefined;
    const { check, running, endAll } = scene({ remembered, maxLoginFailures: 2 });
    for (const name of ['a', 'b', 'c']) void check(name, name);
    assert.equal(running.length, 2);
    assert.equal((await check('s', 'alice', 'right')).kind, 'accepted');
    await endAll();
    void check('s', 'x');
    void check('s', 'y');
    await endAll();
    assert.equal((await check('s', 'bob', 'right')).kind, 'banned');
    assert.equal((await check('s', 'alice', 'right')).kind, 'accepted');
  });

  it('A password that is verified meanwhile settles the equal logins of other sources that wait', async () => {
    let isVerified = false;
    const { check, started, endAll } = scene({ remembered: () => (isVerified ? user : undefined) });
    const outcomes = ['a', 'b', 'c', 'd'].map((source) => check(source, 'alice', 'right'));
    isVerified = true;
    await endAll();
    for (const { kind } of await Promise.all(outcomes)) assert.equal(kind, 'accepted');
    assert.equal(started.length, 2);
  });

  it('A login that waits leaves the queue with its client', async () => {
    const { check, started, endAll } = scene();
    const gone = new AbortController();
    void check('a', 'a');
    void check('b', 'b');
    const left = check('c', 'c', 'right', gone.signal);
    gone.abort(new Error('gone'));
    await assert.rejects(left, new Error('gone'));
    await endAll();
    assert.deepEqual(started, ['a', 'b']);
  });

  it('A wrong password counts even if its client leaves before the result, and a right one does not', async () => {
    const { check, checks, endAll } = scene({ maxLoginFailures: 2 });
    for (const [source, password] of [
      ['honest', 'right'],
      ['guesser', 'wrong'],
    ] as const) {
      for (const name of ['x', 'y']) {
        const gone = new AbortController();
        const left = check(source, name, password, gone.signal);
        gone.abort(new Error('gone'));
        await assert.rejects(left, new Error('gone'));
        await endAll();
      }
    }
    assert.deepEqual([...new Set(checks.bans.map(({ source }) => source))], ['guesser']);
  });

  it('The queue is bounded for one source and in total; the newest login of the longest line makes room', async () => {
    const { check, endAll } = scene({ maxLoginFailures: 1000 });
    const many = Array.from({ length: 203 }, (_, index) => check('many', `m${index}`, 'right'));
    assert.equal((await many.at(-1)!).kind, 'busy');
    const others = Array.from({ length: 201 }, (_, index) => check(`o${index}`, 'o', 'right'));
    assert.equal((await many[201]!).kind, 'busy');
    await endAll();
    for (const { kind } of await Promise.all(others)) assert.equal(kind, 'accepted');
  });

  it('Each of four processes has a quarter of the queue, half of it for one source', async () => {
    const shared: SharedLogins = {
      processes: 4,
      fingerprintKey: Buffer.alloc(32),
      bans: [],
      report: () => undefined,
      onResult: () => undefined,
    };
    const { check, endAll } = scene({ maxLoginFailures: 1000, shared });
    const many = Array.from({ length: 53 }, (_, index) => check('many', `m${index}`, 'right'));
    assert.equal((await many.at(-1)!).kind, 'busy');
    const others = Array.from({ length: 51 }, (_, index) => check(`o${index}`, 'o', 'right'));
    assert.equal((await many[51]!).kind, 'busy');
    await endAll();
    for (const { kind } of await Promise.all([...many.slice(0, 51), ...others]))
      assert.equal(kind, 'accepted');
  });

  it('A check that fails is reported to its login, counts nothing, and does not stop the others', async () => {
    let calls = 0;
    const failure = new Error('no answer');
    const checks = new LoginChecks({
      maxLoginFailures: 2,
      loginBanMs: 60_000,
      authenticate: () => (calls++ < 5 ? Promise.reject(failure) : Promise.resolve(user)),
      observe: () => undefined,
    });
    const check = () =>
      checks.check(
        { source: 's', isExempt: false },
        { username: 'alice', password: `${calls}`, clientAddress: 's', secure: false },
        signal,
      );
    for (let attempt = 0; attempt < 5; attempt++) await assert.rejects(check(), failure);
    assert.equal((await check()).kind, 'accepted');
  });
});

describe('login checks of several processes', () => {
  /** Two processes that report to each other at once. */
  function processes(maxLoginFailures: number) {
    const listeners: ((result: LoginResult) => void)[] = [];
    const bans: string[] = [];
    const authenticate: Authenticate = ({ password }) =>
      Promise.resolve(password.startsWith('right') ? user : 'LOGIN-PASSWORD');
    const start = (index: number, known: readonly Ban[] = []): LoginChecks =>
      new LoginChecks({
        maxLoginFailures,
        loginBanMs: 60_000,
        authenticate,
        observe: (event) => bans.push(`${index} ${event.event}`),
        shared: {
          processes: 2,
          fingerprintKey: Buffer.alloc(32, 7),
          bans: known,
          report: (result) => {
            const received = JSON.parse(JSON.stringify(result)) as LoginResult;
            listeners.forEach((listener, other) => other !== index && listener(received));
          },
          onResult: (listener) => void (listeners[index] = listener),
        },
      });
    const all = [start(0), start(1)] as const;
    const check = (checks: LoginChecks, username: string, password: string) =>
      checks.check(
        { source: '192.0.2.1', isExempt: false },
        { username, password, clientAddress: '192.0.2.1', secure: false },
        signal,
      );
    return { all, start, check, bans };
  }

  it('Wrong passwords count over all processes, and the ban holds in each of them', async () => {
    const { all, check, bans } = processes(4);
    for (let attempt = 0; attempt < 4; attempt += 1) {
      const outcome = await check(all[attempt % 2 === 0 ? 0 : 1], `name${attempt}`, `wrong${attempt}`);
      assert.equal(outcome.kind, 'refused');
    }
    for (const checks of all) assert.equal((await check(checks, 'alice', 'right')).kind, 'banned');
    assert.deepEqual(bans, ['1 login-ban'], 'the process that checked the last password reports it');
  });

  it('The same wrong password counts once, whichever process checks it', async () => {
    const { all, check } = processes(2);
    for (let attempt = 0; attempt < 6; attempt += 1) {
      const outcome = await check(all[attempt % 2 === 0 ? 0 : 1], 'alice', 'an old password');
      assert.equal(outcome.kind, attempt === 0 ? 'refused' : outcome.kind);
    }
    assert.equal((await check(all[1], 'bob', 'right')).kind, 'accepted', 'the source is not banned');
  });

  it('A user who has logged in through one process is known in all, and a new process begins with the bans', async () => {
    const { all, start, check } = processes(2);
    await check(all[0], 'alice', 'right');
    assert.equal(all[1].isKnown('192.0.2.1', 'alice'), true);
    await check(all[1], 'bob', 'wrong1');
    await check(all[1], 'carol', 'wrong2');
    assert.equal((await check(all[0], 'dave', 'right')).kind, 'banned');
    assert.equal((await check(all[0], 'alice', 'right')).kind, 'accepted', 'a known user');
    const restarted = start(0, JSON.parse(JSON.stringify(all[1].bans)) as Ban[]);
    assert.equal((await check(restarted, 'dave', 'right')).kind, 'banned');
  });
});
