/**
 * Failures of the storage with the real clocks of the process: what is logged within ten seconds of an upload, and that a client
 * which then gives up is not taken for the cause. test/s3/storage-failures.test.ts has every cause, with scaled clocks.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PasswordHash } from '../../../src/users/password.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { type StorageFault, startFailingStorage } from '../../support/failing-storage.ts';
import { endGatewayProcesses, GatewayProcess } from '../../support/gateway-process.ts';

type Row = {
  readonly what: string;
  readonly fault: StorageFault;
  readonly cause: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** The client waits for its reply, which comes soon because no retry can help. */
  readonly isRefused?: true;
};

const rows: readonly Row[] = [
  { what: 'a connection that is refused', fault: { kind: 'refused' }, cause: 'STORAGE-UNREACHABLE' },
  { what: 'a server that does not respond', fault: { kind: 'silent' }, cause: 'STORAGE-NO-RESPONSE' },
  {
    what: 'throttling',
    fault: { kind: 'error', status: 503, code: 'SlowDown' },
    cause: 'STORAGE-THROTTLED',
  },
  {
    what: 'a secret key that is wrong',
    fault: { kind: 'error', status: 403, code: 'SignatureDoesNotMatch' },
    cause: 'STORAGE-SIGNATURE',
    isRefused: true,
  },
  {
    what: 'no credentials',
    fault: { kind: 'refused' },
    cause: 'STORAGE-CREDENTIALS',
    environment: {
      AWS_ACCESS_KEY_ID: '',
      AWS_SECRET_ACCESS_KEY: '',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_SHARED_CREDENTIALS_FILE: '/nowhere/credentials',
      AWS_CONFIG_FILE: '/nowhere/config',
    },
    isRefused: true,
  },
];

/** The promise: an operator sees the cause within this time. */
const loggedWithinMs = 10_000;
/** Retries of some seconds, and the time of a busy machine. */
const repliedWithinMs = 15_000;
/** The same where retries last a minute, and the last of them waits for a response: docs/decisions/0030-silent-storage.md. */
const retriedWithinMs = 90_000;

let folder: string;
let usersFile: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'storage-failures-'));
  usersFile = join(folder, 'users.json');
  const password = await PasswordHash.create('secret');
  const home = { bucket: 'bucket', prefix: 'home/' };
  const users = [{ name: 'alice', password, home, permissions: 'read-write' }];
  await writeFile(usersFile, JSON.stringify({ users }));
});

after(async () => {
  await endGatewayProcesses();
  await rm(folder, { recursive: true });
});

/** A gateway in front of a storage with this fault, and a client whose upload has sent all its bytes. */
async function startUpload({ fault, environment }: Row) {
  const storage = await startFailingStorage(fault);
  const gateway = new GatewayProcess({
    USERS: `file:${usersFile}`,
    S3_ENDPOINT: storage.endpoint,
    S3_FORCE_PATH_STYLE: 'true',
    DRAIN_SECONDS: '0',
    ...environment,
  });
  const { controlPort } = await gateway.event('gateway-started');
  const client = await Dialogue.logIn({ port: controlPort });
  const data = await client.passive();
  data.on('error', () => undefined);
  const startedAtMs = Date.now();
  await client.says('STOR report.csv', /^150 /);
  data.end('a file');
  data.resume();
  const end = async (): Promise<void> => {
    client.destroy();
    await gateway.stop('SIGKILL');
    await storage.close();
  };
  return { gateway, client, startedAtMs, end };
}

describe('failures of the storage, as the process logs them', () => {
  for (const row of rows) {
    const { what, cause, isRefused } = row;
    it(`The gateway logs ${cause} within ten seconds of an upload into ${what}, and never blames the client`, async () => {
      const { gateway, client, startedAtMs, end } = await startUpload(row);
      type Seen = {
        readonly event: string;
        readonly time: string;
        readonly cause?: string;
        readonly sessionId?: string;
      };
      const seen = await gateway.line((text) => {
        const line = JSON.parse(text) as Seen;
        const isOfStorage = line.event === 'storage-error' || line.event === 'storage-slow';
        return isOfStorage && line.sessionId !== undefined ? line : undefined;
      });
      assert.equal(seen.cause, cause, JSON.stringify(seen));
      assert.ok(
        Date.parse(seen.time) - startedAtMs < loggedWithinMs,
        `${seen.time}: ${JSON.stringify(seen)}`,
      );

      if (isRefused) {
        const reply = await client.reply(repliedWithinMs);
        assert.ok(reply.startsWith('451 ') && reply.endsWith(`[${cause}]`), reply);
      } else client.destroy();
      const ended = await gateway.event('transfer');
      const { outcome, level, cause: endCause } = ended;
      assert.deepEqual({ outcome, level, endCause }, { outcome: 'failed', level: 'warn', endCause: cause });
      assert.equal((ended as unknown as { side: string }).side, 'storage');
      await end();
    });
  }
});

describe('the check of buckets', () => {
  it('The gateway logs a bucket that cannot be used when a user of it is added while it runs', async () => {
    const storage = await startFailingStorage({ kind: 'error', status: 404, code: 'NoSuchBucket' });
    const path = join(folder, 'growing-users.json');
    const password = await PasswordHash.create('secret');
    const user = (name: string, bucket: string) => ({
      name,
      password,
      home: { bucket, prefix: '' },
      permissions: 'read-write',
    });
    await writeFile(path, JSON.stringify({ users: [user('alice', 'first')] }));
    const gateway = new GatewayProcess({
      USERS: `file:${path}`,
      S3_ENDPOINT: storage.endpoint,
      S3_FORCE_PATH_STYLE: 'true',
      DRAIN_SECONDS: '0',
    });
    const checked = (bucket: string) =>
      gateway.line((text) => {
        const { event, operation, cause, ...line } = JSON.parse(text) as Readonly<Record<string, unknown>>;
        const isCheck = event === 'storage-error' && operation === 'check-at-start';
        return isCheck && line['bucket'] === bucket ? cause : undefined;
      });
    assert.equal(await checked('first'), 'STORAGE-BUCKET');
    await writeFile(path, JSON.stringify({ users: [user('alice', 'first'), user('bob', 'second')] }));
    assert.equal(await checked('second'), 'STORAGE-BUCKET');
    await gateway.stop('SIGKILL');
    await storage.close();
  });
});

describe('replies to clients that wait for a failing storage', { concurrency: true }, () => {
  for (const row of rows.filter(({ isRefused }) => isRefused !== true)) {
    const { what, cause } = row;
    it(`A client that waits during ${what} reads 451 with ${cause} within 90 seconds, and the log has the time`, async () => {
      const { gateway, client, startedAtMs, end } = await startUpload(row);
      const reply = await client.reply(retriedWithinMs);
      const seconds = (Date.now() - startedAtMs) / 1000;
      assert.ok(reply.startsWith('451 ') && reply.endsWith(`[${cause}]`), reply);
      const ended = await gateway.event('transfer');
      assert.deepEqual([ended.outcome, ended.cause], ['failed', cause]);
      const logged = Number(/for (\d+) s$/.exec(String(ended['detail']))?.[1]);
      assert.ok(Math.abs(logged - seconds) <= 5, `${JSON.stringify(ended)} after ${seconds} s`);
      await end();
    });
  }
});
