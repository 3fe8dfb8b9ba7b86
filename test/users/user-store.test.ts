import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { GatewayEvent } from '../../src/observability/event.ts';
import { PasswordHash } from '../../src/users/password.ts';
import { openUserStore, type UserStore, passwordAuthenticator } from '../../src/users/user-store.ts';
import { LeakCheck } from '../support/leak-check.ts';

const leaks = new LeakCheck();
const { signal } = new AbortController();
const password = await PasswordHash.create('secret');
let folder: string;
let path: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ftp-gateway-users-'));
  path = join(folder, 'users.json');
});

after(async () => {
  await rm(folder, { recursive: true });
  await leaks.assertNothingLeft();
});

async function write(...names: readonly string[]): Promise<void> {
  const users = names.map((name) => ({ name, password, permissions: 'read-write' }));
  // As an editor or a mounted secret does it: another file takes the name.
  await writeFile(`${path}.new`, JSON.stringify({ users }));
  await rename(`${path}.new`, path);
}

/** The store, and its events one by one as they come. */
async function open(revoked?: (names: ReadonlySet<string>) => void) {
  const events: GatewayEvent[] = [];
  let wake: () => void = () => undefined;
  const users = await openUserStore({
    source: { kind: 'file', path },
    defaultHome: { bucket: 'homes', prefix: '' },
    refreshMs: 10,
    ...(revoked !== undefined && { revoked }),
    observe(event) {
      events.push(event);
      wake();
    },
  });
  const next = async (): Promise<GatewayEvent> => {
    while (events.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    return events.shift()!;
  };
  return { users, next };
}

function login(users: UserStore, username: string, given: string) {
  const credentials = { username, password: given, clientAddress: '192.0.2.1', secure: false };
  return passwordAuthenticator(() => users)(credentials, signal);
}

describe('users in a file', () => {
  it('The user store follows the users file when it is replaced, keeps the last valid users while it is broken, and reports its repair', async () => {
    await write('alice');
    const { users, next } = await open();
    assert.deepEqual(await next(), { event: 'users-loaded', users: 1, problems: [] });
    await write('alice', 'bob');
    assert.deepEqual(await next(), { event: 'users-loaded', users: 2, problems: [] });
    await writeFile(path, '{');
    const mistake = 'it is not JSON: the mistake is in line 1, column 2';
    const reason = `USERS: the file ${path} cannot be used: ${mistake}`;
    assert.deepEqual(await next(), { event: 'config-reload-failed', config: 'users', reason });
    assert.equal(users.find('bob')?.user.name, 'bob');
    // The last valid version again, as after an edit that is taken back.
    await write('alice', 'bob');
    assert.deepEqual(await next(), { event: 'users-loaded', users: 2, problems: [] });
    await write('bob');
    assert.deepEqual(await next(), { event: 'users-loaded', users: 1, problems: [] });
    assert.equal(users.find('alice'), undefined);
    users.close();
  });

  it('The user store refuses to start without the users file', async () => {
    await rm(path, { force: true });
    await assert.rejects(
      open(),
      /^Error: USERS: the file .*users\.json cannot be used: no such file or directory \(ENOENT\)/,
    );
  });

  it('A user logs in only with the right password, and an unknown user is refused the same way', async () => {
    await write('alice');
    const { users } = await open();
    assert.deepEqual(await login(users, 'alice', 'secret'), {
      name: 'alice',
      home: { bucket: 'homes', prefix: '' },
      permissions: 'read-write',
    });
    assert.equal(await login(users, 'alice', 'wrong'), 'LOGIN-PASSWORD');
    assert.equal(await login(users, 'nobody', 'secret'), 'LOGIN-USER');
    users.close();
  });

  it('A verified password is remembered while its entry does not change, whatever else changes in the document', async () => {
    await write('alice');
    const { users, next } = await open();
    await next();
    const remembered = () =>
      passwordAuthenticator(() => users).remembered?.({
        username: 'alice',
        password: 'secret',
        clientAddress: '192.0.2.1',
        secure: false,
      });
    assert.equal(remembered(), undefined);
    await login(users, 'alice', 'secret');
    const account = users.find('alice');
    assert.equal(remembered()?.name, 'alice');
    await write('alice', 'bob');
    await next();
    assert.equal(users.find('alice'), account);
    assert.equal(remembered()?.name, 'alice');
    const changed = {
      name: 'alice',
      password: await PasswordHash.create('secret'),
      permissions: 'read-only',
    };
    await writeFile(`${path}.new`, JSON.stringify({ users: [changed] }));
    await rename(`${path}.new`, path);
    await next();
    assert.equal(remembered(), undefined);
    users.close();
  });

  it('Users are revoked when they are removed, or their password, home or permissions change, and no others', async () => {
    const entry = (name: string, change: object = {}) => ({
      name,
      password,
      permissions: 'read-write',
      home: { prefix: `${name}/` },
      ...change,
    });
    const rewrite = async (...users: readonly object[]): Promise<void> => {
      await writeFile(`${path}.new`, JSON.stringify({ users }));
      await rename(`${path}.new`, path);
    };
    const names = ['same', 'removed', 'password', 'home', 'permissions', 'invalid'];
    await rewrite(...names.map((name) => entry(name)));
    const revoked = Promise.withResolvers<ReadonlySet<string>>();
    const { users } = await open(revoked.resolve);
    await rewrite(
      entry('new'),
      entry('permissions', { permissions: 'read-only' }),
      entry('home', { home: { prefix: 'elsewhere/' } }),
      entry('password', { password: await PasswordHash.create('other') }),
      entry('invalid', { permissions: 'all' }),
      entry('same'),
    );
    assert.deepEqual([...(await revoked.promise)].sort(), names.filter((name) => name !== 'same').sort());
    users.close();
  });

  it('A login is checked against the users document as it is when the check ends', async () => {
    await write('alice');
    const { users, next } = await open();
    await next();
    const started = login(users, 'alice', 'secret');
    await write('bob');
    await next();
    assert.equal(await started, 'LOGIN-USER');
    users.close();
  });

  it('A login of an unknown user takes as long as one with a wrong password', async () => {
    await write('alice');
    const { users } = await open();
    const cost = async (name: string): Promise<number> => {
      const before = process.cpuUsage();
      await login(users, name, 'wrong');
      const { user, system } = process.cpuUsage(before);
      return user + system;
    };
    await cost('alice');
    const wrong = await cost('alice');
    const unknown = await cost('nobody');
    // A scrypt costs tens of milliseconds; finding no name costs microseconds.
    assert.ok(unknown > wrong / 3 && unknown < wrong * 3, `${unknown} µs beside ${wrong} µs`);
    users.close();
  });
});
