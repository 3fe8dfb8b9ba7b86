/** What downloads hold of the process's memory while their clients read slowly. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { bytesOf, mib, putObject } from '../../s3/transfer.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { residentMiB, startContainerProcess } from './container-process.ts';

const budgetMiB = 64;
const downloads = 64;

it('64 downloads whose clients pause keep the process within its budget and 200 MiB, and arrive whole', async (test) => {
  const container = await startContainerProcess(test, { TRANSFER_MEMORY_MIB: String(budgetMiB) });
  const { s3, port } = container;
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
  const pausedMiB = await residentMiB(container, 'VmRSS');
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
  const peakMiB = await residentMiB(container, 'VmHWM');
  console.log(`paused ${pausedMiB.toFixed(0)} MiB, peak ${peakMiB.toFixed(0)} MiB`);
  assert.ok(peakMiB <= budgetMiB + 200, `${peakMiB} MiB`);
});
