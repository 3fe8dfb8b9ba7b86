/** A user who is removed from the users file while the gateway runs. */
import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PasswordHash } from '../../../src/users/password.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { endGatewayProcesses, GatewayProcess } from '../../support/gateway-process.ts';

let folder: string;
let path: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ftp-gateway-revocation-'));
  path = join(folder, 'users.json');
});

after(async () => {
  await endGatewayProcesses();
  await rm(folder, { recursive: true });
});

const password = await PasswordHash.create('secret');

async function write(...names: readonly string[]): Promise<void> {
  const users = names.map((name) => ({
    name,
    password,
    permissions: 'read-write',
    home: { bucket: 'homes', prefix: '' },
  }));
  await writeFile(`${path}.new`, JSON.stringify({ users }));
  await rename(`${path}.new`, path);
}

describe('revocation', () => {
  it('A user who is removed from the users file loses their session within three seconds, and others keep theirs', async () => {
    await write('alice', 'bob');
    const gateway = new GatewayProcess({ USERS: `file:${path}` });
    const { controlPort: port } = await gateway.event('gateway-started');
    const removed = await Dialogue.logIn({ port });
    const other = await Dialogue.logIn({ port }, 'bob');
    const startMs = performance.now();
    await write('bob');
    await removed.expect('421 Your account has changed; log in again. [USER-REVOKED]');
    await removed.expectClosed();
    assert.ok(performance.now() - startMs < 3_000);
    await other.says('NOOP', /^200 /);
    await other.quit();
    assert.equal((await gateway.stop()).code, 0);
  });
});
