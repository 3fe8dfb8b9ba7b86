/** What the tests of uploads and downloads need: a storage on the test's S3 server, bytes, and a look at what is there. */
import { createHash } from 'node:crypto';
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import type { Upload } from '../../src/filesystem/filesystem.ts';
import type { GatewayEvent } from '../../src/observability/event.ts';
import { createS3Client } from '../../src/s3/client/s3-client.ts';
import type { SilenceLimits } from '../../src/s3/active-uploads.ts';
import { S3Storage } from '../../src/s3/s3-storage.ts';
import { TransferMemory } from '../../src/s3/transfer-memory.ts';
import { openS3Upload, type S3UploadOptions } from '../../src/s3/upload/upload.ts';
import { onEmulator, type S3Server } from '../support/s3-server.ts';
import { unfinishedUploads } from '../support/unfinished-uploads.ts';

export const mib = 1024 * 1024;

export type TestStorage = S3Storage & { readonly events: readonly GatewayEvent[] };

/** A storage as the gateway has it. Time limits are the gateway's own unless given. */
export function storageOn(
  endpoint: string,
  options: {
    readonly budgetBytes?: number;
    readonly idleTimeoutMs?: number;
    readonly retryTimeoutMs?: number;
    /** Short by default, so that tests do not wait for silent clients. */
    readonly silenceMs?: SilenceLimits;
  } = {},
): TestStorage {
  const events: GatewayEvent[] = [];
  const storage = new S3Storage({
    client: createS3Client({
      endpoint,
      forcePathStyle: true,
      region: process.env['AWS_REGION'] ?? 'us-east-1',
      ...(onEmulator && { credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }),
      idleTimeoutMs: options.idleTimeoutMs,
      retryTimeoutMs: options.retryTimeoutMs,
    }),
    memory: new TransferMemory(options.budgetBytes ?? 128 * mib),
    observe: (event) => events.push(event),
    silenceMs: options.silenceMs ?? { here: 20, elsewhere: 0 },
  });
  return Object.assign(storage, { events });
}

/** Opens an upload that replaces the whole object, unless the options say otherwise. */
export function openUpload(
  storage: S3Storage,
  bucket: string,
  key: string,
  options: Partial<S3UploadOptions> = {},
): Promise<Upload> {
  const { signal } = new AbortController();
  return openS3Upload(storage, { bucket, key, offset: 0, ifExists: 'replace', signal, ...options });
}

/** Of the unfinished multipart uploads whose keys begin like this. */
export async function openUploadIds(s3: S3Server, key: string): Promise<string[]> {
  const open = await unfinishedUploads(s3);
  return open.filter((upload) => upload.key.startsWith(key)).map(({ uploadId }) => uploadId);
}

/** Bytes that differ at every place and do not repeat in any power of two; the same for the same seed. */
export function bytesOf(sizeBytes: number, seed = 1): Buffer {
  const words = new Uint32Array(Math.ceil(sizeBytes / 4));
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return Buffer.from(words.buffer, 0, sizeBytes);
}

/** Bytes as a socket delivers them: chunks of the given length, each with a buffer of its own. */
export function* chunksOf(bytes: Uint8Array, chunkBytes = 65536): Generator<Uint8Array> {
  for (let start = 0; start < bytes.byteLength; start += chunkBytes) {
    yield new Uint8Array(bytes.subarray(start, start + chunkBytes));
  }
}

/** Writes them all, waiting where the upload says so. */
export async function writeAll(
  upload: { write(bytes: Uint8Array): Promise<void> | undefined },
  bytes: Uint8Array,
  chunkBytes?: number,
): Promise<void> {
  for (const chunk of chunksOf(bytes, chunkBytes)) await upload.write(chunk);
}

export async function readAll(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of content) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

export async function putObject(client: S3Client, bucket: string, key: string, bytes: Uint8Array) {
  return await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes }));
}

/** The object's bytes as the SDK reads them; undefined where there is none. */
export async function getObject(client: S3Client, bucket: string, key: string): Promise<Buffer | undefined> {
  try {
    const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
    return Buffer.from(await Body!.transformToByteArray());
  } catch (error) {
    if (error instanceof Error && error.name === 'NoSuchKey') return undefined;
    throw error;
  }
}

export async function headObject(client: S3Client, bucket: string, key: string) {
  return await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key, ChecksumMode: 'ENABLED' }));
}

/** For comparisons that should not print megabytes. */
export function digest(bytes: Uint8Array | undefined): string | undefined {
  return bytes && `${bytes.byteLength} bytes, ${createHash('sha256').update(bytes).digest('hex')}`;
}

export const neverAborted = new AbortController().signal;
