/**
 * The S3 server of a test: an embedded one in memory, or a fresh bucket on the server that `S3_ENDPOINT`
 * names (credentials and region by the AWS default chain, self-signed certificates through NODE_EXTRA_CA_CERTS).
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  paginateListObjectsV2,
  S3Client,
} from '@aws-sdk/client-s3';
import { startLocalS3 } from '../../dev/s3-server.ts';

export type S3Server = {
  readonly endpoint: string;
  readonly bucket: string;
  readonly client: S3Client;
  /** Lets the clock of the server reach its next second, which is the resolution of its times. */
  nextSecond(): Promise<void>;
  /** Removes everything and releases every socket; awaited in the suite's `after`. */
  close(): Promise<void>;
};

/** Whether the tests run on the embedded server; how it differs is in docs/local-s3.md. */
export const onEmulator = process.env['S3_ENDPOINT'] === undefined;

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
    nextSecond: () => delay(1_000 - (Date.now() % 1_000)),
    async close() {
      await emptyBucket(client, bucket);
      await client.send(new DeleteBucketCommand({ Bucket: bucket }));
      client.destroy();
    },
  };
}

async function deleteObject(client: S3Client, bucket: string, key: string): Promise<void> {
  await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }));
}

/** Removes every object and every unfinished multipart upload. */
export async function emptyBucket(client: S3Client, bucket: string): Promise<void> {
  const keys: string[] = [];
  for await (const page of paginateListObjectsV2({ client }, { Bucket: bucket, EncodingType: 'url' })) {
    const isEncoded = page.EncodingType === 'url';
    for (const { Key = '' } of page.Contents ?? []) {
      keys.push(isEncoded ? decodeURIComponent(Key.replaceAll('+', ' ')) : Key);
    }
  }
  // One by one: a batch is XML, which cannot carry every key that these tests use. And markers after what is below them:
  // VersityGW keeps a folder whose marker went first.
  const isMarker = (key: string): boolean => key.endsWith('/');
  const files = keys.filter((key) => !isMarker(key));
  for (let start = 0; start < files.length; start += 50) {
    await Promise.all(files.slice(start, start + 50).map((key) => deleteObject(client, bucket, key)));
  }
  for (const key of keys.filter(isMarker).reverse()) await deleteObject(client, bucket, key);
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  for (const { Key, UploadId } of Uploads) {
    await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }));
  }
}

async function startEmbedded(): Promise<S3Server> {
  const bucket = 'test-bucket';
  let aheadMs = 0;
  const server = await startLocalS3({ buckets: [bucket], port: 0, nowMs: () => Date.now() + aheadMs });
  const { endpoint, credentials } = server;
  // For clients that are made as the gateway makes its own, with credentials from the AWS default chain.
  process.env['AWS_ACCESS_KEY_ID'] ??= credentials.accessKeyId;
  process.env['AWS_SECRET_ACCESS_KEY'] ??= credentials.secretAccessKey;
  const client = new S3Client({ endpoint, forcePathStyle: true, region: 'us-east-1', credentials });
  return {
    endpoint,
    bucket,
    client,
    nextSecond() {
      aheadMs += 1_000;
      return Promise.resolve();
    },
    async close() {
      client.destroy();
      await server.close();
    },
  };
}
