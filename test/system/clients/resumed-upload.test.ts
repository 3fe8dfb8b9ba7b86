/** Every client that can go on with an upload, as its users let it, after one that broke in the middle. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { bytesOf, digest, mib } from '../../s3/transfer.ts';
import { startS3Gateway, type S3Gateway } from '../../support/s3-gateway.ts';

import { breakUpload, sentBytes, wholeFile } from './broken-upload.ts';
import { missing, run, type Client, type Invocation, type Security, type Server } from './client.ts';
import { clients } from './clients.ts';

const anyServer: Server = {
  host: '127.0.0.1',
  port: 21,
  security: 'plain',
  username: '',
  password: '',
  caFile: '',
};
const resumingClients = clients.filter(
  (client) =>
    client.invocation(anyServer, { deed: 'resume-put', local: '', remote: '', offsetBytes: 0 }) !== undefined,
);

describe('an interrupted upload', () => {
  let gateway: S3Gateway;
  let folder: string;
  let local: string;

  before(async () => {
    gateway = await startS3Gateway({ resumeWindowMs: 3_600_000 });
    folder = await mkdtemp(join(tmpdir(), 'resumed-upload-'));
    local = join(folder, 'whole.bin');
    await writeFile(local, wholeFile);
  });
  after(async () => {
    await gateway.close();
    await rm(folder, { recursive: true });
  });

  for (const client of resumingClients) {
    const [security] = client.securities;
    it(`${client.name} resumes an interrupted upload`, async (t) => {
      const remote = `/${client.name.replaceAll(/\W/g, '-')}.bin`;
      if (await isSkipped(t, client)) return;
      const offeredBytes = await breakUpload(gateway, remote, 'data connection');
      await assertContinues(client, security!, remote, offeredBytes);
    });
  }

  for (const client of resumingClients.filter(({ name }) => name === 'curl' || name === 'lftp')) {
    for (const security of client.securities) {
      it(`${client.name}, killed during an upload over ${security}, resumes it when it is started again`, async (t) => {
        const remote = `/killed-${client.name}-${security}.bin`;
        if (await isSkipped(t, client)) return;
        const put = { deed: 'put', local: '/dev/stdin', remote } as const;
        const offeredBytes = await killInMidUpload(client.invocation(gateway.server(security), put)!, remote);
        await assertContinues(client, security, remote, offeredBytes);
      });
    }
  }

  for (const client of resumingClients.filter(({ name }) => name === 'curl' || name === 'lftp')) {
    it(`${client.name} does not resume an upload of an older version after an upload of a newer version was interrupted before its first part`, async (t) => {
      const remote = `/changed-${client.name}.bin`;
      if (await isSkipped(t, client)) return;
      const server = gateway.server('plain');
      const put = client.invocation(server, { deed: 'put', local: '/dev/stdin', remote })!;
      await killInMidUpload(put, remote, bytesOf(wholeFile.byteLength, 77));
      const child = spawnFed(put);
      const ended = gateway.nextEvent('transfer', ({ pathname }) => pathname === remote);
      child.stdin.write(wholeFile.subarray(0, 2 * mib));
      await once(child.stdin, 'drain');
      process.kill(-child.pid!, 'SIGKILL');
      assert.equal((await ended).outcome, 'aborted');
      const deed = { deed: 'resume-put', local, remote, offsetBytes: 0 } as const;
      await run(client.invocation(server, deed)!);
      assert.equal(digest(await gateway.getObject(remote)), digest(wholeFile));
      assert.ok(!(await gateway.unfinishedUploads()).includes(remote), 'nothing unfinished is left');
    });
  }

  /** That the client sends what is missing and no more, and that the object is the file. */
  async function assertContinues(
    client: Client,
    security: Security,
    remote: string,
    offeredBytes: number,
  ): Promise<void> {
    const deed = { deed: 'resume-put', local, remote, offsetBytes: offeredBytes } as const;
    const ended = gateway.nextEvent('transfer', ({ pathname }) => pathname === remote);
    await run(client.invocation(gateway.server(security), deed)!);
    const { sizeBytes, outcome, resumed, offsetBytes = 0 } = await ended;
    // A part that was under way when the client was killed can arrive, too.
    assert.ok(offsetBytes >= offeredBytes, `${offsetBytes} bytes of at least ${offeredBytes} were kept`);
    assert.deepEqual(
      { sizeBytes, outcome, resumed },
      { sizeBytes: wholeFile.byteLength - offsetBytes, outcome: 'completed', resumed: true },
    );
    assert.equal(digest(await gateway.getObject(remote)), digest(wholeFile));
    assert.ok(!(await gateway.unfinishedUploads()).includes(remote), 'nothing unfinished is left');
  }

  /** Hands the client the file but for its end, kills it when the parts are in S3, and waits for the gateway's verdict. */
  async function killInMidUpload(
    invocation: Invocation,
    remote: string,
    content: Uint8Array = wholeFile,
  ): Promise<number> {
    const child = spawnFed(invocation);
    child.stdin.write(content.subarray(0, sentBytes));
    const parts = await gateway.partsArrived(remote, 3);
    const ended = gateway.nextEvent('transfer', ({ pathname }) => pathname === remote);
    process.kill(-child.pid!, 'SIGKILL');
    assert.equal((await ended).outcome, 'aborted');
    return parts.slice(0, -1).reduce((sum, sizeBytes) => sum + sizeBytes, 0);
  }
});

/** A client that reads its file from our pipe, in a process group of its own. */
function spawnFed({ program, arguments: args }: Invocation) {
  // Node's own pipe is a socket, which cannot be opened by name.
  const child = spawn('sh', ['-c', 'cat | "$@"', 'sh', program, ...args], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  child.stdin.on('error', () => undefined);
  return child;
}

async function isSkipped(t: TestContext, client: Client): Promise<boolean> {
  const reason = await missing(client);
  if (reason !== undefined) t.skip(reason);
  return reason !== undefined;
}
