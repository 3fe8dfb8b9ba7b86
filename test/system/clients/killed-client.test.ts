/** A client that dies in mid-upload leaves nothing behind and destroys nothing. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';

import { startS3Gateway, type S3Gateway } from '../../support/s3-gateway.ts';
import { missing } from './client.ts';
import { clients } from './clients.ts';

const curl = clients.find((client) => client.name === 'curl')!;
const mebibyte = 1024 * 1024;

describe('a client killed in mid-upload', () => {
  let gateway: S3Gateway;

  before(async () => {
    gateway = await startS3Gateway();
  });
  after(() => gateway.close());

  it('A client that is killed during an upload leaves no object', async (t) => {
    if (await skipped(t)) return;
    await killInMidUpload('/new.bin');
    assert.equal(await gateway.getObject('/new.bin'), undefined);
  });

  it('A client that is killed during an upload leaves no multipart upload', async (t) => {
    if (await skipped(t)) return;
    await killInMidUpload('/unfinished.bin');
    assert.deepEqual(await gateway.unfinishedUploads(), []);
  });

  it('A client that is killed during an upload leaves the existing object unchanged', async (t) => {
    if (await skipped(t)) return;
    const before = Buffer.from('the version of yesterday');
    await gateway.putObject('/old.bin', before);
    await killInMidUpload('/old.bin');
    assert.deepEqual(await gateway.getObject('/old.bin'), before);
  });

  async function skipped(t: { skip(reason: string): void }): Promise<boolean> {
    const reason = await missing(curl);
    if (reason !== undefined) t.skip(reason);
    return reason !== undefined;
  }

  /** Sends enough for several parts through curl's standard input, kills it there, and waits for the gateway's verdict. */
  async function killInMidUpload(remote: string): Promise<void> {
    const { program, arguments: args } = curl.invocation(gateway.server('plain'), {
      deed: 'put',
      local: '-',
      remote,
    })!;
    const ended = gateway.nextEvent('transfer');
    const client = spawn(program, args, { stdio: ['pipe', 'ignore', 'ignore'] });
    client.stdin.on('error', () => undefined);
    const bytes = Buffer.alloc(mebibyte, 'x');
    for (let sent = 0; sent < 40; sent++) {
      if (!client.stdin.write(bytes)) await once(client.stdin, 'drain');
    }
    client.kill('SIGKILL');
    const { outcome } = await ended;
    assert.equal(outcome, 'aborted');
  }
});
