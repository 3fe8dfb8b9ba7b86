/**
 * Uploads that broke and may be continued by the user who began them. What there is to know of them is in S3.
 * See docs/decisions/0008-resume-interrupted-uploads.md.
 */
import type { Part as ListedPart } from '@aws-sdk/client-s3';
import { crc32FromBase64 } from '../../util/crc32.ts';
import type { UploadedPart } from './multipart-upload.ts';
import { newestUpload, listUploads, listParts } from './list-uploads.ts';
import { partBytesOf } from './part-size.ts';
import { gatewayTagPart, hasMark, maxDataParts, ownerTagPart, supersededMark } from './owner-parts.ts';
import type { S3Storage } from '../s3-storage.ts';

/** Who may continue an upload, and for how long after its last part. */
export type ResumePolicy = { readonly owner: string; readonly windowMs: number };

export type ResumableUpload = {
  readonly uploadId: string;
  /** An unbroken run from part 1. */
  readonly parts: readonly UploadedPart[];
  /** Of that run, in bytes. */
  readonly sizeBytes: number;
  /** Numbers behind that run under which S3 has bytes. Whoever goes on must void them: they need not fit what comes now. */
  readonly staleParts: readonly number[];
  /** When it was begun, by S3's clock. */
  readonly initiatedAt: Date;
};

type Target = {
  readonly bucket: string;
  readonly key: string;
  readonly resumption: ResumePolicy;
  readonly signal: AbortSignal;
};

/** Uploads of one key that are looked at, the newest first: a stranger's many must not cost much. */
const maxCandidates = 20;

/**
 * The user's interrupted upload of this key. Undefined where there is none, and where there are several: every new upload
 * supersedes the older ones, so only a race between tasks leaves two, and which is the newer one is not known then.
 */
export async function findResumableUpload(
  storage: S3Storage,
  { bucket, key, resumption, signal }: Target,
): Promise<ResumableUpload | undefined> {
  const open = [];
  for await (const upload of listUploads(storage, bucket, key, signal)) {
    // Keys come in order, and the shortest that begins with the key is the key itself.
    if (upload.key !== key) break;
    open.push(upload);
  }
  open.sort((one, other) => other.initiated.getTime() - one.initiated.getTime());
  const owner = ownerTagPart(resumption.owner, bucket, key);
  const found = [];
  for (const upload of open.slice(0, maxCandidates)) {
    const listed = await listParts(storage, bucket, upload, signal);
    if (!hasMark(gatewayTagPart, listed) || !hasMark(owner, listed) || hasMark(supersededMark, listed))
      continue;
    if (newestUpload(upload, listed).getTime() < Date.now() - resumption.windowMs) continue;
    found.push({ upload, listed });
  }
  const [newest, older] = found;
  if (!newest || older) return undefined;
  const { upload, listed } = newest;
  const parts = contiguousParts(listed, partBytesOf(storage).smallest);
  if (parts.length === 0) return undefined;
  return {
    uploadId: upload.uploadId,
    parts,
    sizeBytes: sizeOf(parts),
    staleParts: dataNumbersAfter(parts.length, listed),
    initiatedAt: upload.initiated,
  };
}

/** The same upload cut to exactly so many bytes; undefined where no part ends there. */
export function truncateTo(interrupted: ResumableUpload, sizeBytes: number): ResumableUpload | undefined {
  for (let count = interrupted.parts.length; count > 0; count--) {
    const parts = interrupted.parts.slice(0, count);
    if (sizeOf(parts) !== sizeBytes) continue;
    const cut = interrupted.parts.slice(count).map(({ PartNumber = 0 }) => PartNumber);
    return { ...interrupted, parts, sizeBytes, staleParts: [...cut, ...interrupted.staleParts] };
  }
  return undefined;
}

/**
 * The same upload, cut so that its length is surely less than the file's: without its last part, unless bytes behind it show
 * that the file is longer. A client that finds the length of its whole file takes it for uploaded, and nothing is published.
 */
export function withoutLastPart(interrupted: ResumableUpload): ResumableUpload | undefined {
  if (interrupted.staleParts.length > 0) return interrupted;
  const lastBytes = interrupted.parts.at(-1)?.sizeBytes ?? 0;
  return truncateTo(interrupted, interrupted.sizeBytes - lastBytes);
}

function contiguousParts(listed: readonly ListedPart[], smallestPartBytes: number): UploadedPart[] {
  const run: UploadedPart[] = [];
  for (const { PartNumber, ETag, Size, ChecksumCRC32 } of listed) {
    const crc32 = crc32FromBase64(ChecksumCRC32);
    const isNext = PartNumber === run.length + 1 && PartNumber <= maxDataParts;
    if (!isNext || ETag === undefined || Size === undefined || crc32 === undefined) break;
    // The tail of a file whose commit failed, or a void: nothing may follow it.
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
