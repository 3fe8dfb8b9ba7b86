/** basic-ftp, the client library of the Node world, in one session over each kind of security. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Readable, Writable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { Client } from 'basic-ftp';
import { startS3Gateway, type S3Gateway } from '../../support/s3-gateway.ts';
import type { Security } from './client.ts';

const whole = randomBytes(700_000);

describe('basic-ftp', () => {
  let gateway: S3Gateway;

  before(async () => {
    gateway = await startS3Gateway();
  });
  after(() => gateway.close());

  for (const security of ['plain', 'explicit', 'implicit'] as const) {
    it(`basic-ftp uploads, appends, downloads, resumes, lists, renames and removes over ${security}`, async () => {
      const client = new Client(60_000);
      try {
        await access(client, security);
        const directory = `/basic-ftp-${security}`;
        await client.ensureDir(directory);
        await client.uploadFrom(Readable.from([whole.subarray(0, 500_000)]), 'a.bin');
        await client.appendFrom(Readable.from([whole.subarray(500_000)]), 'a.bin');
        assert.equal(await client.size('a.bin'), whole.length);
        assert.deepEqual(await gateway.getObject(`${directory}/a.bin`), whole);
        assert.deepEqual(await download(client, 'a.bin', 0), whole);
        assert.deepEqual(await download(client, 'a.bin', 650_000), whole.subarray(650_000));
        await client.rename('a.bin', 'b.bin');
        const [entry] = await client.list();
        assert.equal(entry?.name, 'b.bin');
        assert.equal(entry.size, whole.length);
        const modifiedAt = await client.lastMod('b.bin');
        assert.ok(Math.abs(Date.now() - modifiedAt.getTime()) < 600_000);
        await client.remove('b.bin');
        await client.cd('/');
        await client.removeDir(directory);
        assert.deepEqual(
          (await client.list()).filter((found) => found.name === directory.slice(1)),
          [],
        );
      } finally {
        client.close();
      }
    });
  }

  async function access(client: Client, security: Security): Promise<void> {
    const { host, port, username, password, caFile } = gateway.server(security);
    await client.access({
      host,
      port,
      user: username,
      password,
      secure: security === 'implicit' ? 'implicit' : security === 'explicit',
      secureOptions: { ca: await readFile(caFile) },
    });
  }
});

async function download(client: Client, name: string, offsetBytes: number): Promise<Buffer> {
  const received: Buffer[] = [];
  const sink = new Writable({
    write(bytes: Buffer, _encoding, done) {
      received.push(bytes);
      done();
    },
  });
  await client.downloadTo(sink, name, offsetBytes);
  return Buffer.concat(received);
}
