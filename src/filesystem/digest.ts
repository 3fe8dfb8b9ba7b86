/** Digests of a file's bytes for HASH and the older commands (XCRC, XMD5, XSHA1, XSHA256, XSHA512). */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { ChecksumAlgorithm } from './filesystem.ts';

/** A digest being computed. */
type Digest = { update(bytes: Uint8Array): void; hex(): string };

/** The digest of a stream of bytes, in lower-case hexadecimal. */
export async function digestOf(
  algorithm: ChecksumAlgorithm,
  content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<string> {
  const digest = algorithm === 'CRC32' ? newCrc32() : newHash(algorithm);
  for await (const bytes of content) digest.update(bytes);
  return digest.hex();
}

/** The first `lengthBytes` bytes of a stream. Then leaves the loop, which closes the stream. */
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
