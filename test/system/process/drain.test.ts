import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import { PasswordHash } from '../../../src/users/password.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { endGatewayProcesses, GatewayProcess } from '../../support/gateway-process.ts';
import { type S3Server, startS3Server } from '../../support/s3-server.ts';
import { unfinishedUploads } from '../../support/unfinished-uploads.ts';

let s3: S3Server;
let folder: string;
let usersPath: string;

before(async () => {
  s3 = await startS3Server();
  folder = await mkdtemp(join(tmpdir(), 'ftp-gateway-drain-'));
  usersPath = join(folder, 'users.json');
  const password = await PasswordHash.create('secret');
  await writeFile(
    usersPath,
    JSON.stringify({ users: [{ name: 'alice', password, permissions: 'read-write' }] }),
  );
});

after(async () => {
  await endGatewayProcesses();
  await s3.close();
  await rm(folder, { recursive: true });
});

function startGateway(drainSeconds: number): GatewayProcess {
  return new GatewayProcess({
    USERS: `file:${usersPath}`,
    S3_ENDPOINT: s3.endpoint,
    S3_FORCE_PATH_STYLE: 'true',
    S3_BUCKET: s3.bucket,
    DRAIN_SECONDS: String(drainSeconds),
  });
}

const half = randomBytes(6 * 1024 * 1024);

/** An upload of which the gateway has half, parts of it in S3 already. */
async function beginUpload(port: number, name: string) {
  const client = await Dialogue.logIn({ port });
  await client.says('TYPE I', /^200 /);
  const data = await client.passive();
  await client.says(`STOR ${name}`, /^150 /);
  data.on('error', () => undefined);
  await new Promise<void>((resolve) => data.write(half, () => resolve()));
  return { client, data };
}

describe('drain', () => {
  it('A drain ends idle sessions with 421, accepts no new ones, fails /readyz and lets a running upload finish', async () => {
    const gateway = startGateway(60);
    const { controlPort, operationsPort } = await gateway.event('gateway-started');
    const operations = `http://127.0.0.1:${operationsPort}`;
    assert.equal((await fetch(`${operations}/readyz`)).status, 200);
    const idle = await Dialogue.logIn({ port: controlPort });
    const { client, data } = await beginUpload(controlPort, 'whole.bin');

    gateway.child.kill('SIGTERM');
    const { sessions } = await gateway.event('drain-started');
    assert.equal(sessions, 2);
    assert.match(await idle.reply(), /^421 /);
    await idle.expectClosed();
    assert.equal((await fetch(`${operations}/readyz`)).status, 503);
    assert.equal((await fetch(`${operations}/healthz`)).status, 200);
    await assert.rejects(Dialogue.open({ port: controlPort }), { code: 'ECONNREFUSED' });

    data.end(half);
    data.resume();
    await client.expect(/^226 /, /^421 /);
    await client.expectClosed();
    const { code, stderr } = await gateway.ended;
    assert.equal(code, 0, stderr);
    const { Body } = await s3.client.send(new GetObjectCommand({ Bucket: s3.bucket, Key: 'whole.bin' }));
    const stored = Buffer.from(await Body!.transformToByteArray());
    assert.ok(stored.equals(Buffer.concat([half, half])), 'the upload is whole');
  });

  it('A drain aborts without a trace what runs longer than DRAIN_SECONDS, and still exits with 0', async () => {
    const gateway = startGateway(1);
    const { controlPort } = await gateway.event('gateway-started');
    const { client, data } = await beginUpload(controlPort, 'cut-off.bin');
    gateway.child.kill('SIGTERM');
    await client.expect(/^4(?:26|51|21) /);
    const { code, stderr } = await gateway.ended;
    assert.equal(code, 0, stderr);
    data.destroy();
    const { outcome, cause } = await gateway.event('transfer');
    assert.deepEqual({ outcome, cause }, { outcome: 'aborted', cause: 'DRAIN' });
    await assert.rejects(s3.client.send(new HeadObjectCommand({ Bucket: s3.bucket, Key: 'cut-off.bin' })), {
      name: 'NotFound',
    });
    assert.deepEqual(await unfinishedUploads(s3), []);
  });

  it('A drain ends immediately on a second signal', async () => {
    const gateway = startGateway(60);
    const { controlPort } = await gateway.event('gateway-started');
    const { client } = await beginUpload(controlPort, 'given-up.bin');
    gateway.child.kill('SIGTERM');
    await gateway.event('drain-started');
    // Within a third of a second it would count as the same wish: npm and the terminal both send Ctrl-C.
    const again = setInterval(() => gateway.child.kill('SIGTERM'), 100);
    const { code } = await gateway.ended;
    clearInterval(again);
    client.destroy();
    assert.equal(code, 143);
  });

  it('The gateway logs one line per login and transfer, with the session id and without the password', async () => {
    const gateway = startGateway(5);
    const { controlPort, operationsPort } = await gateway.event('gateway-started');
    const client = await Dialogue.logIn({ port: controlPort });
    await client.upload('STOR log.txt', 'hello');
    assert.equal((await client.download('RETR log.txt')).toString(), 'hello');
    const guesser = await Dialogue.open({ port: controlPort });
    await guesser.expect(/^220 /);
    await guesser.says('USER alice', /^331 /);
    await guesser.says('PASS hunter2', /^530 /);
    guesser.destroy();

    const login = await gateway.event('login', ({ outcome }) => outcome === 'accepted');
    const upload = await gateway.event('transfer', ({ verb }) => verb === 'STOR');
    const download = await gateway.event('transfer', ({ verb }) => verb === 'RETR');
    assert.equal(upload.sessionId, login.sessionId);
    assert.equal(download.sessionId, login.sessionId);
    assert.deepEqual(
      [upload.username, upload.pathname, upload.sizeBytes, upload.outcome],
      ['alice', '/log.txt', 5, 'completed'],
    );
    await gateway.event('login', ({ outcome }) => outcome === 'refused');
    assert.equal(gateway.lines.filter((line) => line.includes('"event":"transfer"')).length, 2);
    assert.doesNotMatch(gateway.lines.join('\n'), /secret|hunter2|scrypt/);

    const metrics = await (await fetch(`http://127.0.0.1:${operationsPort}/metrics`)).text();
    assert.match(metrics, /^ftp_gateway_logins_total\{outcome="accepted",tls="false"\} 1$/m);
    assert.match(
      metrics,
      /^ftp_gateway_logins_total\{outcome="refused",tls="false",cause="LOGIN-PASSWORD",side="client"\} 1$/m,
    );
    assert.match(
      metrics,
      /^ftp_gateway_transfers_total\{direction="upload",outcome="completed",tls="false"\} 1$/m,
    );
    assert.match(metrics, /^ftp_gateway_transfer_bytes_total\{direction="download"\} 5$/m);
    const closed = once(client.socket, 'close');
    await client.quit();
    await closed;
    assert.equal((await gateway.stop()).code, 0);
  });
});
