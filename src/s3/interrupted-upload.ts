/**
 * Uploads that broke and may be continued by the user who began them. What there is to know of them is in S3; only which
 * of them are still being written is known to the process that writes.
 * See docs/decisions/0008-resume-interrupted-uploads.md.
 */
import type { Part as ListedPart } from '@aws-sdk/client-s3';
import { crc32FromBase64 } from './crc32.ts';
import type { SentPart } from './multipart-upload.ts';
import { newestOf, openUploadsBelow, partsOf } from './open-uploads.ts';
import { smallestPartBytes } from './part-size.ts';
import { isMark, gatewayMark, ownerMark, mostDataParts } from './upload-mark.ts';
import type { S3Storage } from './storage.ts';

/** Who may continue an upload, and for how long after its last part. */
export type Resumption = { readonly owner: string; readonly windowMs: number };

export type InterruptedUpload = {
  readonly uploadId: string;
  /** An unbroken run from part 1. */
  readonly parts: readonly SentPart[];
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
  readonly resumption: Resumption;
  readonly signal: AbortSignal;
};

/** Uploads of one key that are looked at: one user leaves few behind, and a stranger's many must not cost much. */
const mostCandidates = 20;

/** The user's newest interrupted upload of this key; undefined where there is none, or where S3 cannot tell. */
export async function findInterruptedUpload(
  storage: S3Storage,
  { bucket, key, resumption, signal }: Target,
): Promise<InterruptedUpload | undefined> {
  const candidates = [];
  for await (const upload of openUploadsBelow(storage, bucket, key, signal)) {
    // Keys come in order, and the shortest that begins with the key is the key itself.
    if (upload.key !== key || candidates.length >= mostCandidates) break;
    candidates.push(upload);
  }
  candidates.sort((one, other) => other.initiated.getTime() - one.initiated.getTime());
  const owner = ownerMark(resumption.owner, bucket, key);
  for (const upload of candidates) {
    const listed = await partsOf(storage, bucket, upload, signal);
    if (!isMark(gatewayMark, listed.at(-1)) || !isMark(owner, listed.at(-2))) continue;
    if (newestOf(upload, listed).getTime() < Date.now() - resumption.windowMs) continue;
    const parts = unbrokenRun(listed);
    if (parts.length === 0) continue;
    return {
      uploadId: upload.uploadId,
      parts,
      sizeBytes: sizeOf(parts),
      staleParts: dataNumbersAfter(parts.length, listed),
      initiatedAt: upload.initiated,
    };
  }
  return undefined;
}

/** The same upload cut to exactly so many bytes; undefined where no part ends there. */
export function firstBytesOf(
  interrupted: InterruptedUpload,
  sizeBytes: number,
): InterruptedUpload | undefined {
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
export function surelyUnfinished(interrupted: InterruptedUpload): InterruptedUpload | undefined {
  if (interrupted.staleParts.length > 0) return interrupted;
  const lastBytes = interrupted.parts.at(-1)?.sizeBytes ?? 0;
  return firstBytesOf(interrupted, interrupted.sizeBytes - lastBytes);
}

function unbrokenRun(listed: readonly ListedPart[]): SentPart[] {
  const run: SentPart[] = [];
  for (const { PartNumber, ETag, Size, ChecksumCRC32 } of listed) {
    const crc32 = crc32FromBase64(ChecksumCRC32);
    const isNext = PartNumber === run.length + 1 && PartNumber <= mostDataParts;
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
    .filter((number) => number > last && number <= mostDataParts);
}

function sizeOf(parts: readonly SentPart[]): number {
  return parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** Ends an upload that is still open in this process, and resolves when it is over. */
type Interrupt = (reason: unknown) => Promise<void>;

const beingWritten = new Map<string, Interrupt>();

/** Until the returned function is called, whoever adopts the upload ends it here first. */
export function registerUpload(uploadId: string, interrupt: Interrupt): () => void {
  beingWritten.set(uploadId, interrupt);
  return () => {
    if (beingWritten.get(uploadId) === interrupt) beingWritten.delete(uploadId);
  };
}

/** Whether this process is writing it. */
export function isBeingWritten(uploadId: string): boolean {
  return beingWritten.has(uploadId);
}

/** Ends the session's own predecessor, which has not noticed yet that its client is gone. */
export async function takeOver(uploadId: string): Promise<void> {
  await beingWritten.get(uploadId)?.(new Error('the client came back and continues the upload'));
}
