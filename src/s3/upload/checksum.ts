/**
 * Which checksum is sent with a body. S3 verifies the CRC32 that was computed as the bytes arrived. A server that verifies it names
 * it in its response (`S3Storage.verifiesCrc32`); until one has, an MD5 is sent as well, which every S3 server verifies.
 */
import { createHash } from 'node:crypto';
import { crc32ToBase64 } from '../../util/crc32.ts';
import type { Part } from './part.ts';
import type { BodyChecksum } from '../client/operations.ts';

/** The checksums with which the server verifies a whole object. */
export function objectChecksum(part: Part, withMd5: boolean): BodyChecksum {
  const ChecksumCRC32 = crc32ToBase64(part.crc32);
  return withMd5 ? { ChecksumCRC32, ContentMD5: md5Of(part.finish()) } : { ChecksumCRC32 };
}

/** The MD5 as the Content-MD5 header carries it. */
export function md5Of(chunks: readonly Uint8Array[]): string {
  const md5 = createHash('md5');
  for (const bytes of chunks) md5.update(bytes);
  return md5.digest('base64');
}
