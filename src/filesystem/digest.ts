/** Digests of a file's bytes for HASH and the older commands (XCRC, XMD5, XSHA1, XSHA256, XSHA512). */
import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import type { ChecksumAlgorithm } from './filesystem.ts';

/** A digest being computed. */
export type Digest = { update(bytes: Uint8Array): void; hex(): string };

/** The digest of a stream of bytes, in lower-case hexadecimal. */
export async function digestOf(
  algorithm: ChecksumAlgorithm,
  content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<string> {
  const digest = newDigest(algorithm);
  for await (const bytes of content) digest.update(bytes);
  return digest.hex();
}

/** The most bytes that a worker has been sent and has not confirmed. */
const maxUnconfirmedBytes = 1024 * 1024;

/** JavaScript in the package and the image, TypeScript in the repository. */
const workerUrl = new URL(
  `./digest-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`,
  import.meta.url,
);

/**
 * The same in a thread of its own, so that hashing takes no time of the event loop. It starts one for each digest: worth it from
 * about a megabyte on. Rejects with what `content` throws.
 */
export async function digestInWorker(
  algorithm: ChecksumAlgorithm,
  content: AsyncIterable<Uint8Array>,
): Promise<string> {
  const worker = new Worker(workerUrl, { workerData: algorithm });
  const { promise: result, resolve, reject } = Promise.withResolvers<string>();
  result.catch(() => undefined);
  let unconfirmedBytes = 0;
  let wake = (): void => undefined;
  worker.on('message', (message: number | string) => {
    if (typeof message === 'string') resolve(message);
    else unconfirmedBytes -= message;
    wake();
  });
  worker.once('error', (error) => {
    reject(error);
    wake();
  });
  worker.once('exit', () => reject(new Error('the thread of a digest has ended')));
  try {
    for await (const bytes of content) {
      // A chunk can be part of a larger buffer, or of one that is used again.
      const own = new Uint8Array(bytes);
      unconfirmedBytes += own.byteLength;
      worker.postMessage(own, [own.buffer]);
      while (unconfirmedBytes > maxUnconfirmedBytes) {
        const progress = new Promise<void>((proceed) => (wake = proceed));
        await Promise.race([progress, result]);
      }
    }
    worker.postMessage('end');
    return await result;
  } finally {
    await worker.terminate();
  }
}

/** The first `lengthBytes` bytes of a stream. Then ends the iteration, which closes the stream. */
export async function* firstBytesOf(
  content: AsyncIterable<Uint8Array>,
  lengthBytes: number,
): AsyncGenerator<Uint8Array> {
  if (lengthBytes === 0) return;
  let missingBytes = lengthBytes;
  for await (const bytes of content) {
    yield bytes.subarray(0, missingBytes);
    missingBytes -= bytes.length;
    if (missingBytes <= 0) return;
  }
}

/** A new digest of no bytes yet. */
export function newDigest(algorithm: ChecksumAlgorithm): Digest {
  return algorithm === 'CRC32' ? newCrc32() : newHash(algorithm);
}

function newCrc32(): Digest {
  let value = 0;
  return {
    update(bytes) {
      value = crc32(bytes, value);
    },
    hex: () => value.toString(16).padStart(8, '0'),
  };
}

function newHash(algorithm: Exclude<ChecksumAlgorithm, 'CRC32'>): Digest {
  const hash = createHash(algorithm.replace('-', '').toLowerCase());
  return {
    update(bytes) {
      hash.update(bytes);
    },
    hex: () => hash.digest('hex'),
  };
}
