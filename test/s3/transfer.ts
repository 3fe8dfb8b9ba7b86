/** What the tests of uploads and downloads share: bytes to send, and a look at what S3 has. */
import { createHash } from 'node:crypto';
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';

export const mib = 1024 * 1024;

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
