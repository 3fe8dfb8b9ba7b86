/** What a gateway that was killed, or stopped before its uploads were over, leaves to the next one. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { CreateMultipartUploadCommand, UploadPartCommand } from '@aws-sdk/client-s3';
import { firstPartBytes, minPartBytes } from '../../../src/s3/upload/part-size.ts';
import { PasswordHash } from '../../../src/users/password.ts';
import { bytesOf, digest, getObject, mib } from '../../s3/transfer.ts';
import { type AgeingProxy, startAgeingProxy } from '../../support/ageing-proxy.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { endGatewayProcesses, GatewayProcess } from '../../support/gateway-process.ts';
import { emptyBucket, type S3Server, startS3Server } from '../../support/s3-server.ts';
import { partsArrived, unfinishedUploads } from '../../support/unfinished-uploads.ts';

const whole = bytesOf(2 * firstPartBytes + 3 * mib, 7);

let s3: S3Server;
/** The same server as it will answer two hours later. */
let s3Later: AgeingProxy;
/** Half an hour later: the parts of a process that was killed have stopped coming. */
let s3SoonAfter: AgeingProxy;
let folder: string;
let usersPath: string;

before(async () => {
  s3 = await startS3Server();
  s3Later = await startAgeingProxy(s3.endpoint, 2);
  s3SoonAfter = await startAgeingProxy(s3.endpoint, 0.5);
  folder = await mkdtemp(join(tmpdir(), 'abandoned-uploads-'));
  usersPath = join(folder, 'users.json');
  const password = await PasswordHash.create('secret');
  const users = [
    { name: 'alice', password, permissions: 'read-write' },
    { name: 'carol', password, permissions: 'read-write', home: { prefix: 'elsewhere/' } },
  ];
  await writeFile(usersPath, JSON.stringify({ users }));
});
after(async () => {
  await endGatewayProcesses();
  await s3Later.close();
  await s3SoonAfter.close();
  await s3.close();
  await rm(folder, { recursive: true });
});

/** A gateway whose homes are below `homes/` unless a user has another. */
function startGateway(environment: Readonly<Record<string, string>>): GatewayProcess {
  return new GatewayProcess({
    USERS: `file:${usersPath}`,
    S3_ENDPOINT: s3.endpoint,
    S3_FORCE_PATH_STYLE: 'true',
    S3_BUCKET: s3.bucket,
    S3_PREFIX: 'homes/',
    DRAIN_SECONDS: '0',
    ...environment,
  });
}

async function logIn(gateway: GatewayProcess, username = 'alice'): Promise<Dialogue> {
  const { controlPort } = await gateway.event('gateway-started');
  const client = await Dialogue.logIn({ port: controlPort }, username);
  await client.says('TYPE I', /^200 /);
  return client;
}

/** Uploads up to the last bytes, until S3 has the parts and the marks; the connections stay open. */
async function beginUpload(
  gateway: GatewayProcess,
  key: string,
  marks: number,
  username?: string,
): Promise<void> {
  const client = await logIn(gateway, username);
  const data = await client.passive();
  data.on('error', () => undefined);
  await client.says(`STOR ${key.slice(key.indexOf('/'))}`, /^150 /);
  data.write(whole.subarray(0, -mib));
  await partsArrived(s3, key, { dataParts: 2, marks });
}

describe('the uploads that a gateway leaves', () => {
  afterEach(async () => {
    await endGatewayProcesses();
    await emptyBucket(s3.client, s3.bucket);
  });

  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    it(`Uploads that a gateway leaves behind at ${signal} are resumed at the next one within the window and not removed`, async () => {
      const environment = { RESUME_WINDOW_MINUTES: '60', ABANDONED_UPLOAD_HOURS: '1' };
      const key = `homes/${signal}.bin`;
      const first = startGateway(environment);
      await beginUpload(first, key, 2);
      await first.stop(signal);
      const next = startGateway({ ...environment, S3_ENDPOINT: s3SoonAfter.endpoint });
      const { uploads } = await next.event('abandoned-uploads-aborted');
      assert.equal(uploads, 0);

      const client = await logIn(next);
      const [, offered = ''] = /^213 (\d+)$/.exec(await client.ask(`SIZE ${signal}.bin`)) ?? [];
      const offset = Number(offered);
      assert.ok(
        offset >= firstPartBytes && offset < 2 * firstPartBytes,
        `${offset} bytes, the first of two parts`,
      );
      await client.says(`REST ${offset}`, /^350 /);
      await client.upload(`STOR ${signal}.bin`, whole.subarray(offset));
      assert.equal(digest(await getObject(s3.client, s3.bucket, key)), digest(whole));
      assert.deepEqual(await unfinishedUploads(s3), []);
      await client.quit();
      assert.equal((await next.stop()).code, 0);
    });
  }

  it('An upload that a gateway left behind cannot be resumed after the window', async () => {
    const environment = { RESUME_WINDOW_MINUTES: '60' };
    const first = startGateway(environment);
    await beginUpload(first, 'homes/late.bin', 2);
    await first.stop('SIGKILL');
    const later = startGateway({ ...environment, S3_ENDPOINT: s3Later.endpoint });
    const client = await logIn(later);
    await client.says('SIZE late.bin', /^550 /);
    await client.upload('STOR late.bin', whole);
    assert.equal(digest(await getObject(s3.client, s3.bucket, 'homes/late.bin')), digest(whole));
    await client.quit();
    assert.equal((await later.stop()).code, 0);
  });

  it('Uploads that were inactive for ABANDONED_UPLOAD_HOURS are removed at a start with a log line, and foreign ones are kept', async () => {
    const sweeping = { ABANDONED_UPLOAD_HOURS: '1' };
    const killed = startGateway({});
    await beginUpload(killed, 'homes/left.bin', 1);
    await beginUpload(killed, 'elsewhere/left.bin', 1, 'carol');
    await killed.stop('SIGKILL');
    await beginStrangersUpload('homes/stranger.bin');
    const everyKey = ['elsewhere/left.bin', 'homes/left.bin', 'homes/stranger.bin'];

    await startAndStop(sweeping, 0);
    assert.deepEqual(await unfinishedKeys(), everyKey, 'too young');
    await startAndStop({ S3_ENDPOINT: s3Later.endpoint }, undefined);
    assert.deepEqual(await unfinishedKeys(), everyKey, 'not asked for');
    await startAndStop({ ...sweeping, S3_ENDPOINT: s3Later.endpoint, RESUME_WINDOW_MINUTES: '180' }, 0);
    assert.deepEqual(await unfinishedKeys(), everyKey, 'still to be continued');
    await startAndStop({ ...sweeping, S3_ENDPOINT: s3Later.endpoint }, 1);
    assert.deepEqual(await unfinishedKeys(), ['elsewhere/left.bin', 'homes/stranger.bin']);
  });

  /** One whole life of a gateway, and what it says of its sweep: so many removed, or, where undefined, nothing at all. */
  async function startAndStop(
    environment: Readonly<Record<string, string>>,
    removed: number | undefined,
  ): Promise<void> {
    const gateway = startGateway(environment);
    // Meanwhile it serves; and where it should not sweep, it has had the time.
    const client = await logIn(gateway);
    for (const command of ['NLST', 'MLSD']) await client.download(command);
    await client.quit();
    if (removed !== undefined) {
      const { bucket, prefix, uploads, level } = await gateway.event('abandoned-uploads-aborted');
      assert.deepEqual(
        { bucket, prefix, uploads, level },
        { bucket: s3.bucket, prefix: 'homes/', uploads: removed, level: 'info' },
      );
    }
    assert.equal((await gateway.stop()).code, 0);
    if (removed === undefined) assert.doesNotMatch(gateway.lines.join(), /abandoned-uploads/);
  }

  async function beginStrangersUpload(key: string): Promise<void> {
    const name = { Bucket: s3.bucket, Key: key };
    const { UploadId } = await s3.client.send(new CreateMultipartUploadCommand(name));
    const Body = whole.subarray(0, minPartBytes);
    await s3.client.send(new UploadPartCommand({ ...name, UploadId, PartNumber: 1, Body }));
  }

  async function unfinishedKeys(): Promise<string[]> {
    return (await unfinishedUploads(s3)).map(({ key }) => key).sort();
  }
});

describe('a sweep that cannot be done', () => {
  it('A sweep that fails is logged, and the gateway serves clients', async () => {
    const gateway = startGateway({ ABANDONED_UPLOAD_HOURS: '1', S3_BUCKET: 'no-such-bucket' });
    // The check of the bucket at start fails for the same reason, and its line holds this one back for 10 s.
    const { bucket, level } = await gateway.event('storage-error', ({ operation }) => operation === 'sweep');
    assert.deepEqual({ bucket, level }, { bucket: 'no-such-bucket', level: 'warn' });
    const client = await logIn(gateway);
    await client.says('NOOP', /^200 /);
    await client.quit();
    assert.equal((await gateway.stop()).code, 0);
  });
});
