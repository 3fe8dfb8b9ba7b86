/** Whose fault a transfer is that waits for S3: never the client's, who had a port and would have connected. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { S3Filesystem } from '../../../src/s3/filesystem/s3-filesystem.ts';
import { mib, putObject } from '../../s3/transfer.ts';
import { storageOn, type ObservedStorage } from '../../support/s3-storage.ts';
import { Dialogue, readAll } from '../../support/dialogue.ts';
import { startFaultProxy, type FaultProxy } from '../../support/fault-proxy.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { startS3Server, type S3Server } from '../../support/s3-server.ts';

/** How long a client has for its data connection: much less than S3 is silent here. */
const dataConnectionTimeoutMs = 100;
/** The longest timeout for S3: those of most requests are a quarter of it. */
const longestMs = 4_000;

describe('transfers while S3 is silent', () => {
  let s3: S3Server;
  let proxy: FaultProxy;
  let storage: ObservedStorage;
  let gateway: TestGateway;
  let client: Dialogue;

  before(async () => {
    s3 = await startS3Server();
    proxy = await startFaultProxy(s3.endpoint);
    storage = storageOn(proxy.endpoint, {
      budgetBytes: 64 * mib,
      idleTimeoutMs: longestMs,
      retryTimeoutMs: 0,
    });
    const home = { bucket: s3.bucket, prefix: 'slow/' };
    gateway = await startTestGateway({
      users: [{ name: 'alice', password: 'secret', home }],
      filesystemFor: () => new S3Filesystem(storage, home, { owner: 'alice', windowMs: 0 }),
      dataConnectionTimeoutMs,
    });
    await putObject(s3.client, s3.bucket, 'slow/f', Buffer.from('abc'));
  });
  afterEach(() => {
    proxy.onRequest = () => undefined;
    client.destroy();
  });
  after(async () => {
    await gateway.close();
    storage.client.destroy();
    await proxy.close();
    await s3.close();
  });

  for (const command of ['RETR f', 'STOR new', 'APPE f', 'LIST', 'NLST', 'MLSD']) {
    for (const connects of ['at once', 'after the 150'] as const) {
      it(`${command} is answered 451 and not 425 when S3 stays silent and the client connects ${connects}`, async () => {
        client = await logIn();
        const port = await passivePort();
        const data = connects === 'at once' ? dial(port) : undefined;
        proxy.onRequest = () => ({ kind: 'stall' });
        await client.send(`${command}\r\n`);
        let answer = await client.reply(30_000);
        if (answer.startsWith('150 ')) {
          // An upload asks S3 for nothing before it has the bytes.
          (data ?? dial(port)).end('content');
          answer = await client.reply(30_000);
        }
        // An upload whose directory was checked before may have sent its PutObject, whose outcome is then unknown.
        const isUnconfirmed = command === 'STOR new' && answer.includes('did not confirm');
        if (!isUnconfirmed)
          assert.equal(answer, '451 The storage is not available; try again later. [STORAGE-NO-RESPONSE]');
        assert.match(answer, /^451 /);
        data?.destroy();
      });

      it(`${command} is carried out when S3 responds late and the client connects ${connects}`, async () => {
        client = await logIn();
        const port = await passivePort();
        const early = connects === 'at once' ? dial(port) : undefined;
        proxy.onRequest = () => ({ kind: 'slow-first-byte', delayMs: dataConnectionTimeoutMs * 4 });
        await client.send(`${command}\r\n`);
        assert.match(await client.reply(), /^150 /);
        const data = early ?? dial(port);
        if (command.startsWith('STOR') || command.startsWith('APPE')) data.resume().end('content');
        else void readAll(data);
        assert.match(await client.reply(), /^226 /);
      });
    }
  }

  it('A command that waits for S3 between PASV and RETR leaves the port leased', async () => {
    client = await logIn();
    const port = await passivePort();
    proxy.onRequest = () => ({ kind: 'slow-first-byte', delayMs: dataConnectionTimeoutMs * 4 });
    await client.says('SIZE f', /^213 /);
    proxy.onRequest = () => undefined;
    await client.send('RETR f\r\n');
    assert.match(await client.reply(), /^150 /);
    void readAll(dial(port));
    assert.match(await client.reply(), /^226 /);
  });

  async function logIn(): Promise<Dialogue> {
    const dialogue = await Dialogue.logIn({ port: gateway.controlPort });
    await dialogue.says('TYPE I', /^200 /);
    return dialogue;
  }

  async function passivePort(): Promise<number> {
    const [, port] = /\|\|\|(\d+)\|/.exec(await client.ask('EPSV')) ?? [];
    return Number(port);
  }

  function dial(port: number): Socket {
    const socket = connect({ host: '127.0.0.1', port });
    return socket.on('error', () => undefined);
  }
});
