/** Failures of the storage through the whole gateway: what the client gets, and what the operator sees. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { GatewayEvent } from '../../src/observability/event.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { createS3Client, type S3ClientOptions } from '../../src/s3/client/s3-client.ts';
import { S3Filesystem } from '../../src/s3/filesystem/s3-filesystem.ts';
import { S3Storage } from '../../src/s3/s3-storage.ts';
import { TransferMemory } from '../../src/s3/transfer-memory.ts';
import { Dialogue } from '../support/dialogue.ts';
import { type StorageFault, startFailingStorage } from '../support/failing-storage.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';

type Row = {
  readonly what: string;
  readonly fault: StorageFault;
  readonly cause: string;
  readonly errorName: string;
  readonly reply: RegExp;
  /** Instead of the credentials that every fault accepts. */
  readonly credentials?: S3ClientOptions['credentials'];
  /** No request gets as far as an endpoint. */
  readonly hasNoEndpoint?: true;
  /** It is reported while it lasts, and not only when the request has failed. */
  readonly isSlow?: true;
  /** Its clocks cannot be scaled, so that the reply is left to test/system/faults/storage-failures.test.ts. */
  readonly takesSeconds?: true;
};

const refusesGateway =
  /^451 The storage rejected the gateway's request; the operator of the gateway must correct this\./;
const isNotAvailable = /^451 The storage is not available; try again later\./;
const error = (status: number, code: string, message?: string): StorageFault => ({
  kind: 'error',
  status,
  code,
  ...(message !== undefined && { message }),
});

const rows: readonly Row[] = [
  {
    what: 'a connection that is refused',
    fault: { kind: 'refused' },
    cause: 'STORAGE-UNREACHABLE',
    errorName: 'ECONNREFUSED',
    reply: isNotAvailable,
  },
  {
    what: 'a connection that is reset',
    fault: { kind: 'reset' },
    cause: 'STORAGE-UNREACHABLE',
    errorName: 'ECONNRESET',
    reply: isNotAvailable,
  },
  {
    what: 'an endpoint that speaks another protocol',
    fault: { kind: 'not-http' },
    cause: 'STORAGE-INVALID-RESPONSE',
    errorName: 'HTTPParserError',
    reply: isNotAvailable,
  },
  {
    what: 'a server that does not respond',
    fault: { kind: 'silent' },
    cause: 'STORAGE-NO-RESPONSE',
    errorName: 'UND_ERR_HEADERS_TIMEOUT',
    reply: isNotAvailable,
    isSlow: true,
  },
  {
    what: 'a secret key that is wrong',
    fault: error(403, 'SignatureDoesNotMatch'),
    cause: 'STORAGE-SIGNATURE',
    errorName: 'SignatureDoesNotMatch',
    reply: refusesGateway,
  },
  {
    what: 'a key that S3 does not know',
    fault: error(403, 'InvalidAccessKeyId'),
    cause: 'STORAGE-CREDENTIALS',
    errorName: 'InvalidAccessKeyId',
    reply: refusesGateway,
  },
  {
    what: 'no credentials',
    fault: { kind: 'refused' },
    credentials: () => Promise.reject(Object.assign(new Error('none'), { name: 'CredentialsProviderError' })),
    hasNoEndpoint: true,
    cause: 'STORAGE-CREDENTIALS',
    errorName: 'CredentialsProviderError',
    reply: refusesGateway,
  },
  {
    what: 'a role without permission',
    fault: error(403, 'AccessDenied'),
    cause: 'STORAGE-DENIED',
    errorName: 'AccessDenied',
    reply: refusesGateway,
  },
  {
    what: 'a KMS key that the role may not use',
    fault: {
      kind: 'error',
      status: 403,
      code: 'AccessDenied',
      message: 'User: arn:aws:sts::1:assumed-role/task is not authorized to perform: kms:GenerateDataKey',
      only: 'PUT',
    },
    cause: 'STORAGE-KMS',
    errorName: 'AccessDenied',
    reply: refusesGateway,
  },
  {
    what: 'a KMS key that is disabled',
    fault: { kind: 'error', status: 400, code: 'KMS.DisabledException', only: 'PUT' },
    cause: 'STORAGE-KMS',
    errorName: 'KMS.DisabledException',
    reply: refusesGateway,
  },
  {
    what: 'a bucket that does not exist',
    fault: error(404, 'NoSuchBucket'),
    cause: 'STORAGE-BUCKET',
    errorName: 'NoSuchBucket',
    reply: refusesGateway,
  },
  {
    what: 'a bucket in another region',
    fault: error(301, 'PermanentRedirect'),
    cause: 'STORAGE-REGION',
    errorName: 'PermanentRedirect',
    reply: refusesGateway,
  },
  {
    what: 'throttling',
    fault: error(503, 'SlowDown'),
    cause: 'STORAGE-THROTTLED',
    errorName: 'SlowDown',
    reply: isNotAvailable,
    takesSeconds: true,
  },
  {
    what: 'an error inside S3',
    fault: error(500, 'InternalError'),
    cause: 'STORAGE-ERROR',
    errorName: 'InternalError',
    reply: isNotAvailable,
  },
];

type FailingGateway = TestGateway & {
  readonly endpoint: string;
  readonly storage: S3Storage;
  metrics(): Promise<string>;
  closeAll(): Promise<void>;
};

/** A gateway whose clocks are scaled: what takes seconds in production takes some hundredths of that. */
async function startFailing(
  { fault, credentials = { accessKeyId: 'id', secretAccessKey: 'secret' } }: Row,
  { retryTimeoutMs, idleTimeoutMs }: { readonly retryTimeoutMs: number; readonly idleTimeoutMs: number },
): Promise<FailingGateway> {
  const server = await startFailingStorage(fault);
  const { endpoint } = server;
  const client = createS3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials,
    retryTimeoutMs,
    idleTimeoutMs,
    slowAfterMs: 50,
  });
  const metrics = createMetrics(() => ({
    sessions: 0,
    passivePortLeases: 0,
    passivePortWaiters: 0,
    transferMemoryBytes: 0,
    waitingUploads: 0,
  }));
  const home = { bucket: 'bucket', prefix: 'home/' };
  const gateway = await startTestGateway({
    filesystemFor: (_user, sessionId) => new S3Filesystem(storage, home, undefined, 'upload', sessionId),
    observe: (event) => metrics.observe(event),
  });
  const storage = new S3Storage({
    client,
    memory: new TransferMemory(64 * 1024 ** 2),
    observe(event) {
      metrics.observe(event);
      gateway.observe(event);
    },
    responded: (operation, seconds) => metrics.storageResponded(operation, seconds),
  });
  return Object.assign(gateway, {
    endpoint,
    storage,
    metrics: () => metrics.registry.metrics(),
    async closeAll() {
      await gateway.close();
      client.destroy();
      await server.close();
    },
  });
}

/** Retries last so long that a client gives up before them. */
const patient = { retryTimeoutMs: 60_000, idleTimeoutMs: 60_000 };
/** Retries end within the second. */
const shortTimeouts = { retryTimeoutMs: 150, idleTimeoutMs: 100 };
/** What the reply may take besides the retries, on a busy machine. */
const marginSeconds = 3;

const isSeen = (row: Row) => (event: GatewayEvent) =>
  (event.event === 'storage-error' || event.event === 'storage-slow') && event.cause === row.cause;

async function store(gateway: FailingGateway): Promise<Dialogue> {
  const dialogue = await Dialogue.logIn({ port: gateway.controlPort });
  const data = await dialogue.passive();
  await dialogue.says('STOR report.csv', /^150 /);
  // The gateway resets it when the transfer fails.
  data.on('error', () => undefined);
  data.end('a file');
  data.resume();
  return dialogue;
}

describe('failures of the storage', () => {
  for (const row of rows.filter(({ takesSeconds }) => takesSeconds !== true)) {
    it(`An upload that fails because of ${row.what} is reported as ${row.cause}, once, and the client gets the reply`, async () => {
      const gateway = await startFailing(row, shortTimeouts);
      const startedAtMs = performance.now();
      const dialogue = await store(gateway);
      const reply = await dialogue.reply();
      const seconds = (performance.now() - startedAtMs) / 1000;
      assert.ok(seconds <= shortTimeouts.retryTimeoutMs / 1000 + marginSeconds, `after ${seconds} s`);
      assert.match(reply, row.reply);
      assert.ok(reply.endsWith(`[${row.cause}]`), reply);
      const { outcome, cause: endCause, detail, sessionId } = await gateway.nextEvent('transfer');
      assert.deepEqual([outcome, endCause], ['failed', row.cause]);
      assert.match(detail ?? '', new RegExp(row.errorName.replaceAll('.', '\\.')));
      const failed = gateway.events.filter((event) => event.event === 'storage-error' && !event.retrying);
      assert.equal(failed.length, 1, JSON.stringify(failed));
      const [failure] = failed;
      assert.ok(failure?.event === 'storage-error');
      const { cause, errorName, endpoint, bucket } = failure;
      assert.deepEqual(
        { cause, errorName, endpoint, bucket, sessionId: failure.sessionId },
        {
          cause: row.cause,
          errorName: row.errorName,
          endpoint: row.hasNoEndpoint ? undefined : gateway.endpoint,
          bucket: 'bucket',
          sessionId,
        },
      );
      const metrics = await gateway.metrics();
      const labels = `cause="${row.cause}",side="storage"`;
      assert.match(metrics, new RegExp(`ftp_gateway_storage_errors_total{.*,${labels}} 1`));
      assert.match(metrics, new RegExp(`ftp_gateway_transfers_total{.*outcome="failed",.*${labels}} 1`));
      assert.match(metrics, new RegExp(`ftp_gateway_storage_retries_total{cause="${row.cause}"} [1-9]`));
      assert.equal(gateway.storage.health.failing[0]?.cause, row.cause);
      await dialogue.quit();
      await gateway.closeAll();
    });
  }

  for (const row of rows) {
    it(`An upload whose client gives up during ${row.what} ends as a failure of the storage`, async () => {
      const gateway = await startFailing(row, patient);
      const dialogue = await store(gateway);
      const seen = row.isSlow
        ? await gateway.nextEvent('storage-slow')
        : await gateway.nextEvent('storage-error', ({ retrying }) => retrying);
      assert.ok(isSeen(row)(seen), JSON.stringify(seen));
      dialogue.destroy();
      const { outcome, cause: endCause, detail, sessionId } = await gateway.nextEvent('transfer');
      assert.deepEqual([outcome, endCause], ['failed', row.cause]);
      assert.match(
        detail ?? '',
        row.isSlow ? /no response/ : new RegExp(row.errorName.replaceAll('.', '\\.')),
      );
      assert.equal(seen.sessionId, sessionId);
      if (!row.hasNoEndpoint) assert.equal(seen.endpoint, gateway.endpoint);
      await gateway.closeAll();
    });
  }
});
