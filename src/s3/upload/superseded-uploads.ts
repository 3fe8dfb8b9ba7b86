/**
 * What a new version of a file, or its end, does to interrupted uploads of its name: none of them may be resumed any more.
 * S3 is the only state that tasks share, so this is written there before the client gets its answer: an interrupted upload
 * is aborted; one that another session is still writing gets a part under a number of its own that says so, and can be
 * published all the same. See docs/decisions/0008-resume-interrupted-uploads.md.
 */
import { AbortMultipartUploadCommand, type Part as ListedPart } from '@aws-sdk/client-s3';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { forEachConcurrent } from '../../util/for-each-concurrent.ts';
import { liveUploadsOf, type UploadClaim } from '../active-uploads.ts';
import { MultipartUpload } from './multipart-upload.ts';
import { listUploads, listParts, type UnfinishedUpload } from './list-uploads.ts';
import { isNoSuchUpload, withRetries } from '../client/retry.ts';
import { storageErrorEvent } from '../client/errors.ts';
import type { S3Storage } from '../s3-storage.ts';
import {
  gatewayTagPart,
  hasMark,
  hasPart,
  interruptedMark,
  ownerPartNumber,
  supersededMark,
} from './owner-parts.ts';

type Names = {
  readonly bucket: string;
  /** The upload that supersedes the others. */
  readonly except?: UploadClaim;
  readonly signal: AbortSignal;
} & (
  | { readonly key: string }
  /** Every key that begins with it. */
  | { readonly prefix: string }
);

const requestsAtOnce = 8;

/**
 * Resolves when no upload of these names can be resumed, to the number of those that could be. One ListMultipartUploads
 * where there is none.
 * @throws FilesystemError `unavailable` where S3 does not answer; the signal's reason.
 */
export async function supersedeUploads(storage: S3Storage, names: Names): Promise<number> {
  const { bucket, signal } = names;
  const live = liveUploadsOf(storage);
  if ('key' in names) live.supersede(bucket, names.key, names.except);
  else live.supersedeBelow(bucket, names.prefix);
  let resumable = 0;
  await forEachConcurrent(await uploadsOf(storage, names), requestsAtOnce, async (upload) => {
    if (await supersede(storage, bucket, upload, signal)) resumable++;
  });
  return resumable;
}

async function uploadsOf(storage: S3Storage, names: Names): Promise<UnfinishedUpload[]> {
  const { bucket, signal } = names;
  const list = async (): Promise<UnfinishedUpload[]> => {
    const uploads: UnfinishedUpload[] = [];
    const prefix = 'key' in names ? names.key : names.prefix;
    for await (const upload of listUploads(storage, bucket, prefix, signal)) {
      // Keys come in order, and the shortest that begins with the key is the key itself.
      if ('key' in names && upload.key !== names.key) break;
      uploads.push(upload);
    }
    return uploads;
  };
  try {
    return await retried(storage, 'ListMultipartUploads', signal, list);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof FilesystemError && error.kind === 'unavailable') throw error;
    // A server without this operation, or a role that may not use it: such uploads are never offered either.
    const cause = error instanceof FilesystemError ? error.cause : error;
    const event = storageErrorEvent(cause, 'ListMultipartUploads', bucket);
    if (event) storage.observe(event);
    return [];
  }
}

/** Whether it could be resumed until now. */
async function supersede(
  storage: S3Storage,
  bucket: string,
  upload: UnfinishedUpload,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const parts = await retried(storage, 'ListParts', signal, () =>
      listParts(storage, bucket, upload, signal),
    );
    if (!isGateways(parts) || hasMark(supersededMark, parts)) return false;
    if (hasMark(interruptedMark, parts) && !liveUploadsOf(storage).isBeingWritten(upload.uploadId)) {
      if (await isAborted(storage, bucket, upload, signal)) return true;
    }
    const target = { bucket, key: upload.key, attributes: {}, integrity: 'whole' } as const;
    const multipart = MultipartUpload.adopt(storage, target, { uploadId: upload.uploadId, parts: [] });
    await retried(storage, 'UploadPart', signal, () => multipart.uploadTagPart(supersededMark, signal));
    // It may have broken meanwhile, in another task, which looked for the mark before it was there.
    void removeIfSuperseded(storage, bucket, upload);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (isNoSuchUpload(error instanceof FilesystemError ? error.cause : error)) return false;
    throw error;
  }
}

/** Whether a session could resume it: an upload of this gateway with its owner's mark, and checksums of its parts. */
function isGateways(parts: readonly ListedPart[]): boolean {
  return (
    hasMark(gatewayTagPart, parts) &&
    hasPart(ownerPartNumber, parts) &&
    parts.every(({ ChecksumCRC32 }) => ChecksumCRC32 !== undefined)
  );
}

/** Aborts an upload that has both broken and been superseded. Never rejects: what stays is left to the sweep. */
export async function removeIfSuperseded(
  storage: S3Storage,
  bucket: string,
  upload: Pick<UnfinishedUpload, 'key' | 'uploadId'>,
  signal: AbortSignal = AbortSignal.timeout(removalMs),
): Promise<void> {
  try {
    const parts = await listParts(storage, bucket, upload, signal);
    if (hasMark(supersededMark, parts) && hasMark(interruptedMark, parts)) {
      await abort(storage, bucket, upload, signal);
    }
  } catch (error) {
    if (signal.aborted || isNoSuchUpload(error)) return;
    const event = storageErrorEvent(error, 'AbortMultipartUpload', bucket);
    if (event) storage.observe({ ...event, key: upload.key, uploadId: upload.uploadId });
  }
}

const removalMs = 15_000;

/** False where S3 refuses: a role may write parts without the right to abort. */
async function isAborted(
  storage: S3Storage,
  bucket: string,
  upload: UnfinishedUpload,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await retried(storage, 'AbortMultipartUpload', signal, () => abort(storage, bucket, upload, signal));
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof FilesystemError) || error.kind === 'unavailable') throw error;
    const event = storageErrorEvent(error.cause, 'AbortMultipartUpload', bucket);
    if (event) storage.observe({ ...event, key: upload.key, uploadId: upload.uploadId });
    return false;
  }
}

async function abort(
  { client }: S3Storage,
  bucket: string,
  { key, uploadId }: Pick<UnfinishedUpload, 'key' | 'uploadId'>,
  signal: AbortSignal,
): Promise<void> {
  await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: uploadId }), {
    abortSignal: signal,
  });
}

function retried<Result>(
  { retryTimeoutMs: patienceMs }: S3Storage,
  operation: string,
  signal: AbortSignal,
  run: () => Promise<Result>,
): Promise<Result> {
  return withRetries(run, { signal, operation, retryTimeoutMs: patienceMs });
}
