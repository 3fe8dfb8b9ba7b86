/**
 * The S3 server of a test: an embedded one in a folder of its own, or a fresh bucket on the server that `S3_ENDPOINT`
 * names (credentials and region by the AWS default chain, self-signed certificates through NODE_EXTRA_CA_CERTS).
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  paginateListObjectsV2,
  S3Client,
} from '@aws-sdk/client-s3';

export type S3Server = {
  readonly endpoint: string;
  readonly bucket: string;
  readonly client: S3Client;
  /** Removes everything and releases every socket; awaited in the suite's `after`. */
  close(): Promise<void>;
};

/** Whether the tests run on the emulator; what it cannot do is in docs/local-s3.md. */
export const onEmulator = process.env['S3_ENDPOINT'] === undefined;

/** For tests of what the emulator lacks: `it('...', { skip: skippedOnEmulator('conditional writes') }, ...)`. */
export function skippedOnEmulator(lack: string): string | false {
  return onEmulator && `the embedded S3 server has no ${lack}; run npm run test:s3`;
}

export async function startS3Server(): Promise<S3Server> {
  return await (process.env['S3_ENDPOINT'] ? bucketOn(process.env['S3_ENDPOINT']) : startEmbedded());
}

async function bucketOn(endpoint: string): Promise<S3Server> {
  const client = new S3Client({
    endpoint,
    forcePathStyle: true,
    region: process.env['AWS_REGION'] ?? 'us-east-1',
  });
  const bucket = `test-${randomUUID()}`;
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  return {
    endpoint,
    bucket,
    client,
    async close() {
      await emptyBucket(client, bucket);
      await client.send(new DeleteBucketCommand({ Bucket: bucket }));
      client.destroy();
    },
  };
}

/** Removes every object and every unfinished multipart upload. */
export async function emptyBucket(client: S3Client, bucket: string): Promise<void> {
  for await (const page of paginateListObjectsV2({ client }, { Bucket: bucket, EncodingType: 'url' })) {
    // One by one: a batch is XML, which cannot carry every key that these tests use.
    const keys = (page.Contents ?? []).map(({ Key }) => decodeURIComponent(Key!.replaceAll('+', ' ')));
    await Promise.all(keys.map((Key) => client.send(new DeleteObjectCommand({ Bucket: bucket, Key }))));
  }
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  for (const { Key, UploadId } of Uploads) {
    await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }));
  }
}

type Emulator = {
  run(): Promise<{ port: number }>;
  getMiddleware(): (request: unknown, response: unknown) => void;
  close(): Promise<void>;
  httpServer: Server;
  on(event: 'error', listener: (error: Error) => void): void;
};
type EmulatorOptions = {
  readonly address: string;
  readonly port: number;
  readonly directory: string;
  readonly silent: boolean;
  readonly vhostBuckets: boolean;
  readonly allowMismatchedSignatures: boolean;
  readonly configureBuckets: readonly { readonly name: string }[];
};
const S3rver = createRequire(import.meta.url)('@20minutes/s3rver') as new (
  options: EmulatorOptions,
) => Emulator;

async function startEmbedded(): Promise<S3Server> {
  const bucket = 'test-bucket';
  const directory = await mkdtemp(join(tmpdir(), 'ftp-gateway-s3-'));
  const emulator = new S3rver({
    address: '127.0.0.1',
    port: 0,
    directory,
    silent: true,
    vhostBuckets: false,
    allowMismatchedSignatures: true,
    configureBuckets: [{ name: bucket }],
  });
  // Koa prints errors of requests that a test cut off on purpose, unless somebody listens.
  emulator.on('error', () => undefined);
  const { port } = await emulator.run();
  emulator.httpServer.prependListener('request', (request) => {
    repairCopySource(request.headers);
  });
  const endpoint = `http://127.0.0.1:${port}`;
  const client = new S3Client({
    endpoint,
    forcePathStyle: true,
    region: 'us-east-1',
    credentials: { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' },
  });
  return {
    endpoint,
    bucket,
    client,
    async close() {
      client.destroy();
      const closed = once(emulator.httpServer, 'close');
      emulator.httpServer.close();
      emulator.httpServer.closeAllConnections();
      await closed;
      await rm(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

// The emulator reads the header with decodeURI, which leaves %2B, %26, %3F and the like as they are; S3 decodes them all.
function repairCopySource(headers: NodeJS.Dict<string | string[]>): void {
  const source = headers['x-amz-copy-source'];
  if (typeof source === 'string') headers['x-amz-copy-source'] = encodeURI(decodeURIComponent(source));
}
