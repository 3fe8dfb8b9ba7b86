/**
 * How a multipart upload says whose it is and how it stands: by small parts under the last four numbers, which the completed
 * object leaves out. ListParts tells their sizes and checksums. See docs/decisions/0008-resume-interrupted-uploads.md.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Part as ListedPart } from '@aws-sdk/client-s3';
import { crc32ToBase64 } from '../../util/crc32.ts';
import { maxParts } from './part-size.ts';

/** Numbers that are left for data. */
export const maxDataParts = maxParts - 4;

export const ownerPartNumber = maxParts - 1;

export type TagPart = { readonly partNumber: number; readonly bytes: Uint8Array };

/** Tells this gateway's uploads from those of other programs. */
export const gatewayTagPart: TagPart = {
  partNumber: maxParts,
  bytes: Buffer.from('multipart upload of an FTP gateway, version 1\n'),
};

/** A newer upload of the name was begun, or the name was deleted: nothing may continue this one. Never taken back. */
export const supersededMark: TagPart = {
  partNumber: maxParts - 2,
  bytes: Buffer.from('superseded by a newer upload of an FTP gateway, version 1\n'),
};

/** The upload broke and no process writes it; a session that continues it replaces the part by another. */
export const interruptedMark: TagPart = {
  partNumber: maxParts - 3,
  bytes: Buffer.from('interrupted upload of an FTP gateway, version 1\n'),
};

/** Tells one user's upload of one key from another's. */
export function ownerTagPart(owner: string, bucket: string, key: string): TagPart {
  const hash = createHash('sha256')
    .update(JSON.stringify([owner, bucket, key]))
    .digest();
  // The length says something too: where encryption hides the MD5, there is only a CRC32 beside it.
  const sizeBytes = hash.byteLength + (hash.readUInt16BE() % 4096);
  return { partNumber: ownerPartNumber, bytes: Buffer.alloc(sizeBytes, hash) };
}

/** Whether a part that S3 lists is this mark. */
export function isTagPart(mark: TagPart, part: ListedPart | undefined): boolean {
  if (part?.PartNumber !== mark.partNumber || part.Size !== mark.bytes.byteLength) return false;
  if (part.ChecksumCRC32 !== undefined) return part.ChecksumCRC32 === crc32ToBase64(crc32(mark.bytes));
  return part.ETag === `"${createHash('md5').update(mark.bytes).digest('hex')}"`;
}

export function hasMark(mark: TagPart, parts: readonly ListedPart[]): boolean {
  return parts.some((part) => isTagPart(mark, part));
}

export function hasPart(partNumber: number, parts: readonly ListedPart[]): boolean {
  return parts.some(({ PartNumber }) => PartNumber === partNumber);
}
