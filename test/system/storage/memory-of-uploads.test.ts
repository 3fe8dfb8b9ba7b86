/** What uploads hold of the process's memory, with the flags of the image. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { it } from 'node:test';
import { bytesOf, digest, getObject, mib } from '../../s3/transfer.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { residentMiB, startContainerProcess } from './container-process.ts';

const budgetMiB = 256;
const uploads = 64;
const pieceBytes = 256 * 1024;

type Begun = { readonly client: Dialogue; readonly data: Socket };

it('64 uploads in clear at the same time keep the process within its budget and 200 MiB, and arrive whole', async (test) => {
  const container = await startContainerProcess(test, { TRANSFER_MEMORY_MIB: String(budgetMiB) });
  const { s3, port } = container;
  const file = bytesOf(12 * mib, 6);
  const begun: Begun[] = [];
  for (let index = 0; index < uploads; index++) {
    const client = await Dialogue.logIn({ port });
    await client.says('TYPE I', /^200 /);
    const data = await client.passive();
    await client.says(`STOR file-${index}`, /^150 /);
    begun.push({ client, data });
  }
  await Promise.all(begun.map((each) => upload(each, file)));
  const peakMiB = await residentMiB(container, 'VmHWM');
  assert.ok(peakMiB <= budgetMiB + 200, `${peakMiB} MiB`);
  for (let index = 0; index < uploads; index++)
    assert.equal(digest(await getObject(s3.client, s3.bucket, `file-${index}`)), digest(file));
});

async function upload({ client, data }: Begun, file: Uint8Array): Promise<void> {
  data.resume();
  for (let start = 0; start < file.length; start += pieceBytes) {
    if (!data.write(file.subarray(start, start + pieceBytes))) await once(data, 'drain');
  }
  data.end();
  assert.match(await client.reply(120_000), /^226 /);
  client.destroy();
}
