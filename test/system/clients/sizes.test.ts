/** Files whose sizes stand at the borders of S3 parts come back as they went in. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { after, before, describe, it } from 'node:test';
import { startS3Gateway, type S3Gateway } from '../../support/s3-gateway.ts';
import { missing, run } from './client.ts';
import { clients } from './clients.ts';

const mebibyte = 1024 * 1024;
const curl = clients.find((client) => client.name === 'curl')!;

describe('curl moves a file of', () => {
  let gateway: S3Gateway;
  let folder: string;

  before(async () => {
    gateway = await startS3Gateway();
    folder = await mkdtemp(join(tmpdir(), 'sizes-'));
  });
  after(async () => {
    await gateway.close();
    await rm(folder, { recursive: true });
  });

  for (const sizeBytes of [0, 1, 5 * mebibyte - 1, 5 * mebibyte, 5 * mebibyte + 1, 100 * mebibyte]) {
    it(`curl uploads and downloads a file of ${sizeBytes} bytes`, async (t) => {
      const reason = await missing(curl);
      if (reason !== undefined) {
        t.skip(reason);
        return;
      }
      const local = join(folder, 'there.bin');
      const back = join(folder, 'back.bin');
      const remote = `/sizes/${sizeBytes}.bin`;
      await writeRandomFile(local, sizeBytes);
      const server = gateway.server('plain');
      await run(curl.invocation(server, { deed: 'put', local, remote })!);
      await run(curl.invocation(server, { deed: 'get', remote, local: back })!);
      assert.equal(await digest(back), await digest(local));
      assert.equal(await gateway.objectSizeBytes(remote), sizeBytes);
    });
  }
});

async function writeRandomFile(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, 'w');
  for (let written = 0; written < sizeBytes; written += mebibyte) {
    await file.write(randomBytes(Math.min(mebibyte, sizeBytes - written)));
  }
  await file.close();
}

async function digest(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
