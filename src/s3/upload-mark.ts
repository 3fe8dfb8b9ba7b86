/**
 * How a multipart upload says whose it is: by small parts under the last two numbers, which the completed object leaves
 * out. ListParts tells their sizes and checksums. See docs/decisions/0008-resume-interrupted-uploads.md.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Part as ListedPart } from '@aws-sdk/client-s3';
import { crc32ToBase64 } from './crc32.ts';
import { mostParts } from './part-size.ts';

/** Numbers that are left for data. */
export const mostDataParts = mostParts - 2;

export type Mark = { readonly partNumber: number; readonly bytes: Uint8Array };

/** Tells this gateway's uploads from those of other programs. */
export const gatewayMark: Mark = {
  partNumber: mostParts,
  bytes: Buffer.from('multipart upload of an FTP gateway, version 1\n'),
};

/** Tells one user's upload of one key from another's. */
export function ownerMark(owner: string, bucket: string, key: string): Mark {
  const hash = createHash('sha256')
    .update(JSON.stringify([owner, bucket, key]))
    .digest();
  // The length says something too: where encryption hides the MD5, there is only a CRC32 beside it.
  const sizeBytes = hash.byteLength + (hash.readUInt16BE() % 4096);
  return { partNumber: mostParts - 1, bytes: Buffer.alloc(sizeBytes, hash) };
}

/** Whether a part that S3 lists is this mark. */
export function isMark(mark: Mark, part: ListedPart | undefined): boolean {
  if (part?.PartNumber !== mark.partNumber || part.Size !== mark.bytes.byteLength) return false;
  if (part.ChecksumCRC32 !== undefined) return part.ChecksumCRC32 === crc32ToBase64(crc32(mark.bytes));
  return part.ETag === `"${createHash('md5').update(mark.bytes).digest('hex')}"`;
}
