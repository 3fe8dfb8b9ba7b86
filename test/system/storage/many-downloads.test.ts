/** What downloads hold of the process's memory while their clients read slowly. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { PasswordHash } from '../../../src/users/password.ts';
import { bytesOf, mib, putObject } from '../../s3/transfer.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { GatewayProcess } from '../../support/gateway-process.ts';
import { startS3Server } from '../../support/s3-server.ts';

const budgetMiB = 64;
const downloads = 64;

it('64 downloads whose clients pause keep the process within its budget and 200 MiB, and arrive whole', async (test) => {
  const s3 = await startS3Server();
  test.after(() => s3.close());
  const folder = await mkdtemp(join(tmpdir(), 'ftp-gateway-downloads-'));
  test.after(() => rm(folder, { recursive: true }));
  const users = join(folder, 'users.json');
  const password = await PasswordHash.create('secret');
  await writeFile(users, JSON.stringify({ users: [{ name: 'alice', password, permissions: 'read-write' }] }));
  const gateway = new GatewayProcess({
    USERS: `file:${users}`,
    S3_ENDPOINT: s3.endpoint,
    S3_FORCE_PATH_STYLE: 'true',
    S3_BUCKET: s3.bucket,
    TRANSFER_MEMORY_MIB: String(budgetMiB),
    // As in the image.
    MALLOC_ARENA_MAX: '1',
    NODE_OPTIONS: '--max-semi-space-size=8',
  });
  test.after(() => gateway.stop());
  const { controlPort: port } = await gateway.event('gateway-started');
  const file = bytesOf(24 * mib, 6);
  const expected = createHash('sha256').update(file).digest('hex');
  await putObject(s3.client, s3.bucket, 'file', file);

  const begun: { readonly client: Dialogue; readonly data: Socket }[] = [];
  for (let index = 0; index < downloads; index++) {
    const client = await Dialogue.logIn({ port });
    await client.says('TYPE I', /^200 /);
    const data = await client.passive();
    data.pause();
    await client.says('RETR file', /^150 /);
    begun.push({ client, data });
  }
  // Everything that can be received is received meanwhile.
  await delay(1_500);
  const pausedMiB = await residentMiB(gateway, 'VmRSS');
  await Promise.all(
    begun.map(async ({ client, data }, index) => {
      const hash = createHash('sha256');
      let receivedBytes = 0;
      for await (const bytes of data) {
        hash.update(bytes as Buffer);
        receivedBytes += (bytes as Buffer).length;
        // Some clients read in bursts.
        if (index % 4 === 0 && receivedBytes % (8 * mib) < 65_536) await delay(20);
      }
      assert.equal(receivedBytes, file.length);
      assert.equal(hash.digest('hex'), expected);
      await client.expect(/^226 /);
      client.destroy();
    }),
  );
  const peakMiB = await residentMiB(gateway, 'VmHWM');
  console.log(`paused ${pausedMiB.toFixed(0)} MiB, peak ${peakMiB.toFixed(0)} MiB`);
  assert.ok(peakMiB <= budgetMiB + 200, `${peakMiB} MiB`);
});

/** Of the gateway's process, from /proc of Linux (proc(5)). */
async function residentMiB(gateway: GatewayProcess, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${gateway.child.pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024;
}
