/**
 * Tag parts: small parts under the last four part numbers that say whose a multipart upload is and in which state. The completed
 * object leaves them out; ListParts returns their sizes and checksums. See docs/decisions/0008-resume-interrupted-uploads.md.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Part as ListedPart } from '@aws-sdk/client-s3';
import { crc32ToBase64 } from '../../util/crc32.ts';
import { maxParts } from './part-size.ts';

/** Part numbers available for data. */
export const maxDataParts = maxParts - 4;

/** The number of the part that identifies the user (`ownerTagPart`). */
export const ownerPartNumber = maxParts - 1;

/** A part with fixed content under a reserved number. */
export type TagPart = { readonly partNumber: number; readonly bytes: Uint8Array };

/** Distinguishes this gateway's uploads from those of other programs. */
export const gatewayTagPart: TagPart = {
  partNumber: maxParts,
  bytes: Buffer.from('multipart upload of an FTP gateway, version 1\n'),
};

/** A newer upload of the key was begun, or the key was deleted: this one must not be resumed. Permanent. */
export const supersededTagPart: TagPart = {
  partNumber: maxParts - 2,
  bytes: Buffer.from('superseded by a newer upload of an FTP gateway, version 1\n'),
};

/** The upload broke and no process writes it; a session that resumes it replaces this part. */
export const resumableTagPart: TagPart = {
  partNumber: maxParts - 3,
  bytes: Buffer.from('interrupted upload of an FTP gateway, version 1\n'),
};

/** Identifies the user's upload of one key. */
export function ownerTagPart(owner: string, bucket: string, key: string): TagPart {
  const hash = createHash('sha256')
    .update(JSON.stringify([owner, bucket, key]))
    .digest();
  // The length is part of the identity: where encryption hides the MD5, only a CRC32 is left beside it.
  const sizeBytes = hash.byteLength + (hash.readUInt16BE() % 4096);
  return { partNumber: ownerPartNumber, bytes: Buffer.alloc(sizeBytes, hash) };
}

/** Whether a part that S3 lists is this tag part. */
export function isTagPart(tagPart: TagPart, part: ListedPart | undefined): boolean {
  if (part?.PartNumber !== tagPart.partNumber || part.Size !== tagPart.bytes.byteLength) return false;
  if (part.ChecksumCRC32 !== undefined) return part.ChecksumCRC32 === crc32ToBase64(crc32(tagPart.bytes));
  return part.ETag === `"${createHash('md5').update(tagPart.bytes).digest('hex')}"`;
}

/** Whether the parts that S3 lists contain this tag part. */
export function hasTagPart(tagPart: TagPart, parts: readonly ListedPart[]): boolean {
  return parts.some((part) => isTagPart(tagPart, part));
}

/** Whether S3 lists a part of this number, whatever its content. */
export function hasPart(partNumber: number, parts: readonly ListedPart[]): boolean {
  return parts.some(({ PartNumber }) => PartNumber === partNumber);
}
