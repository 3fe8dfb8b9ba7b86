/**
 * Which checksum goes with a body. S3 verifies the CRC32 that was computed as the bytes came in. Not every server does;
 * whether it names the CRC in its answer tells. Until that is known, and where it is not so, an MD5 goes along, which
 * every S3 server verifies.
 */
import { createHash } from 'node:crypto';
import { crc32ToBase64 } from '../../util/crc32.ts';
import type { Part } from './part.ts';
import type { GatewayS3Client } from '../client/s3-client.ts';

const verifiesCrc32 = new WeakSet<GatewayS3Client>();

/** The headers that make the server verify a whole object: to be spread into PutObject's input. */
export function objectChecksum(
  client: GatewayS3Client,
  part: Part,
): { readonly ChecksumCRC32: string; readonly ContentMD5?: string } {
  const ChecksumCRC32 = crc32ToBase64(part.crc32);
  return verifiesCrc32.has(client) ? { ChecksumCRC32 } : { ChecksumCRC32, ContentMD5: md5Of(part.finish()) };
}

/** Remembers that the server named the CRC in its answer. */
export function noteChecksumSupport(
  client: GatewayS3Client,
  answer: { readonly ChecksumCRC32?: string | undefined },
): void {
  if (answer.ChecksumCRC32 !== undefined) verifiesCrc32.add(client);
}

/** As the Content-MD5 header carries it. */
export function md5Of(pieces: readonly Uint8Array[]): string {
  const md5 = createHash('md5');
  for (const bytes of pieces) md5.update(bytes);
  return md5.digest('base64');
}
