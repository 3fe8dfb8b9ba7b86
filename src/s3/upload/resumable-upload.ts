/**
 * Uploads that broke and that the user who began them may resume. Their whole state is in S3.
 * See docs/decisions/0008-resume-interrupted-uploads.md.
 */
import type { Part as ListedPart } from '@aws-sdk/client-s3';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { crc32FromBase64 } from '../../util/crc32.ts';
import type { UploadedPart } from './multipart-upload.ts';
import { lastActivity, listParts, listUploads } from './list-uploads.ts';
import { partBytesOf } from './part-size.ts';
import {
  gatewayTagPart,
  hasPart,
  hasTagPart,
  maxDataParts,
  ownerTagPart,
  resumableTagPart,
  supersededTagPart,
} from './tag-parts.ts';
import type { S3Storage } from '../s3-storage.ts';

/** Who may resume an upload, and for how long after its last part. */
export type ResumePolicy = { readonly owner: string; readonly windowMs: number };

export type ResumableUpload = {
  readonly uploadId: string;
  /** A contiguous run from part 1. */
  readonly parts: readonly UploadedPart[];
  /** Of that run, in bytes. */
  readonly sizeBytes: number;
  /** Part numbers after that run under which S3 has bytes. They must be voided before new parts: they may be of another file. */
  readonly staleParts: readonly number[];
  /** When it was begun, by S3's clock. */
  readonly initiatedAt: Date;
};

/** Why an upload ends whose client has reconnected to resume it. */
export class UploadTakenOver extends FilesystemError {
  constructor() {
    super('changed', 'another session of the user resumes the upload');
  }
}

type Target = {
  readonly bucket: string;
  readonly key: string;
  readonly resumePolicy: ResumePolicy;
  readonly signal: AbortSignal;
};

/** Uploads of one key that are inspected, newest first: many uploads by other programs must not cost many requests. */
const maxCandidates = 20;

/**
 * The user's resumable upload of this key. Undefined where there is none, where a live session writes it, and where there are
 * several: every new upload supersedes the older ones, so only a race between tasks leaves two, and then it is unknown which is newer.
 */
export async function findResumableUpload(
  storage: S3Storage,
  { bucket, key, resumePolicy, signal }: Target,
): Promise<ResumableUpload | undefined> {
  const open = [];
  for await (const upload of listUploads(storage.client, bucket, key, signal)) {
    // Keys come in order, and the shortest that begins with the key is the key itself.
    if (upload.key !== key) break;
    open.push(upload);
  }
  open.sort((one, other) => other.initiated.getTime() - one.initiated.getTime());
  const owner = ownerTagPart(resumePolicy.owner, bucket, key);
  const found = [];
  for (const upload of open.slice(0, maxCandidates)) {
    // Before its parts are listed, because the last ones may arrive while this waits.
    const isHere = storage.activeUploads.has(upload.uploadId);
    if (!(await storage.activeUploads.isAbandoned(upload.uploadId, signal))) return undefined;
    const listed = await listParts(storage.client, bucket, upload, signal);
    if (
      !hasTagPart(gatewayTagPart, listed) ||
      !hasTagPart(owner, listed) ||
      hasTagPart(supersededTagPart, listed)
    )
      continue;
    const silentMs = Date.now() - lastActivity(upload, listed).getTime();
    if (silentMs > resumePolicy.windowMs) continue;
    const hasBroken = isHere || hasPart(resumableTagPart.partNumber, listed);
    // Another process writes it, or was killed: with the next parts, or their absence, this becomes known.
    if (!hasBroken && silentMs < storage.activeUploads.silenceMs.elsewhere) return undefined;
    found.push({ upload, listed });
  }
  const [newest, older] = found;
  if (!newest || older) return undefined;
  const { upload, listed } = newest;
  const parts = contiguousParts(listed, partBytesOf(storage).minimum);
  if (parts.length === 0) return undefined;
  return {
    uploadId: upload.uploadId,
    parts,
    sizeBytes: sizeOf(parts),
    staleParts: dataNumbersAfter(parts.length, listed),
    initiatedAt: upload.initiated,
  };
}

/** The same upload cut to exactly `sizeBytes`; undefined where no part ends there. */
export function truncateTo(upload: ResumableUpload, sizeBytes: number): ResumableUpload | undefined {
  for (let count = upload.parts.length; count > 0; count--) {
    const parts = upload.parts.slice(0, count);
    if (sizeOf(parts) !== sizeBytes) continue;
    const cut = upload.parts.slice(count).map(({ PartNumber = 0 }) => PartNumber);
    return { ...upload, parts, sizeBytes, staleParts: [...cut, ...upload.staleParts] };
  }
  return undefined;
}

/**
 * The same upload, cut so that it is certainly shorter than the file: without its last part, unless bytes after it prove that the
 * file is longer. A client that sees the length of its whole file considers it uploaded, although nothing was committed.
 */
export function withoutLastPart(upload: ResumableUpload): ResumableUpload | undefined {
  if (upload.staleParts.length > 0) return upload;
  const lastBytes = upload.parts.at(-1)?.sizeBytes ?? 0;
  return truncateTo(upload, upload.sizeBytes - lastBytes);
}

function contiguousParts(listed: readonly ListedPart[], smallestPartBytes: number): UploadedPart[] {
  const run: UploadedPart[] = [];
  for (const { PartNumber, ETag, Size, ChecksumCRC32 } of listed) {
    const crc32 = crc32FromBase64(ChecksumCRC32);
    const isNext = PartNumber === run.length + 1 && PartNumber <= maxDataParts;
    if (!isNext || ETag === undefined || Size === undefined || crc32 === undefined) break;
    // The last part of a file whose commit failed, or a voided part: no part may follow it.
    if (Size < smallestPartBytes) break;
    run.push({ PartNumber, ETag, ChecksumCRC32, sizeBytes: Size, crc32 });
  }
  return run;
}

function dataNumbersAfter(last: number, listed: readonly ListedPart[]): number[] {
  return listed
    .map(({ PartNumber = 0 }) => PartNumber)
    .filter((number) => number > last && number <= maxDataParts);
}

function sizeOf(parts: readonly UploadedPart[]): number {
  return parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
