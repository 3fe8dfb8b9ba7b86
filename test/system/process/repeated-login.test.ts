import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { PasswordHash } from '../../../src/users/password.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { GatewayProcess } from '../../support/gateway-process.ts';

it('A user who logs in again with the same password does not cost another check of the password', async (test) => {
  const folder = await mkdtemp(join(tmpdir(), 'ftp-gateway-logins-'));
  test.after(() => rm(folder, { recursive: true }));
  const users = join(folder, 'users.json');
  const password = await PasswordHash.create('secret');
  await writeFile(users, JSON.stringify({ users: [{ name: 'alice', password, permissions: 'read-write' }] }));
  const gateway = new GatewayProcess({ USERS: `file:${users}`, S3_BUCKET: 'bucket' });
  test.after(() => gateway.stop());
  const { controlPort: port } = await gateway.event('gateway-started');
  const logIn = async (): Promise<void> => (await Dialogue.logIn({ port })).quit();
  await logIn();
  const checkSeconds = await secondsOfScrypt();
  const before = await cpuSeconds(gateway);
  for (let login = 0; login < 20; login++) await logIn();
  const used = (await cpuSeconds(gateway)) - before;
  assert.ok(used < 10 * checkSeconds, `20 logins took ${used} s, and a check takes ${checkSeconds} s`);
});

async function secondsOfScrypt(): Promise<number> {
  const before = process.cpuUsage();
  await PasswordHash.create('secret');
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

/** From /proc of Linux, in ticks of 10 ms (proc(5)). */
async function cpuSeconds(gateway: GatewayProcess): Promise<number> {
  const stat = await readFile(`/proc/${gateway.child.pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
