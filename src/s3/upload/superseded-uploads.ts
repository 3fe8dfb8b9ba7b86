/**
 * Supersedes resumable uploads: after a new version of a file, or its deletion, no older upload of its key may be resumed. S3 is
 * the only state that tasks share, so this is written there before the client gets its reply: a broken upload is aborted; one that
 * another session is still writing gets a tag part that says so, and can still be committed.
 * See docs/decisions/0008-resume-interrupted-uploads.md.
 */
import type { Part as ListedPart } from '@aws-sdk/client-s3';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { forEachConcurrent } from '../../util/for-each-concurrent.ts';
import type { UploadClaim } from '../active-uploads.ts';
import { MultipartUpload } from './multipart-upload.ts';
import { abortUpload, listParts, listUploads, type UnfinishedUpload } from './list-uploads.ts';
import { isNoSuchUpload } from '../client/errors.ts';
import { withRetries } from '../client/retry.ts';
import type { S3Storage } from '../s3-storage.ts';
import {
  gatewayTagPart,
  hasTagPart,
  hasPart,
  resumableTagPart,
  ownerPartNumber,
  supersededTagPart,
} from './tag-parts.ts';

/** The keys whose uploads are superseded. */
type SupersedeOptions = {
  readonly bucket: string;
  /** The upload that supersedes the others. */
  readonly except?: UploadClaim | undefined;
  readonly signal: AbortSignal;
} & (
  | { readonly key: string }
  /** Every key that begins with it. */
  | { readonly prefix: string }
);

const maxConcurrentRequests = 8;

/**
 * Resolves when no upload of these keys can be resumed any more, to the number of those that could be. Costs one
 * ListMultipartUploads where there is none.
 * @throws FilesystemError `unavailable` where S3 does not respond; the signal's reason.
 */
export async function supersedeUploads(storage: S3Storage, names: SupersedeOptions): Promise<number> {
  const { bucket, signal } = names;
  if ('key' in names) storage.activeUploads.supersede(bucket, names.key, names.except);
  else storage.activeUploads.supersedeBelow(bucket, names.prefix);
  let resumable = 0;
  await forEachConcurrent(await uploadsOf(storage, names), maxConcurrentRequests, async (upload) => {
    if (await supersede(storage, bucket, upload, signal)) resumable++;
  });
  return resumable;
}

async function uploadsOf(storage: S3Storage, names: SupersedeOptions): Promise<UnfinishedUpload[]> {
  const { bucket, signal } = names;
  const list = async (): Promise<UnfinishedUpload[]> => {
    const uploads: UnfinishedUpload[] = [];
    const prefix = 'key' in names ? names.key : names.prefix;
    for await (const upload of listUploads(storage.client, bucket, prefix, signal)) {
      // Keys come in order, and the shortest that begins with the key is the key itself.
      if ('key' in names && upload.key !== names.key) break;
      uploads.push(upload);
    }
    return uploads;
  };
  try {
    return await retry(storage, 'ListMultipartUploads', signal, list);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof FilesystemError && error.kind === 'unavailable') throw error;
    // A server without this operation, or a role without the permission for it: then no upload can be resumed either.
    storage.reportError(error, 'ListMultipartUploads', { bucket });
    return [];
  }
}

/** Supersedes one upload. Resolves to whether it could be resumed until now. */
async function supersede(
  storage: S3Storage,
  bucket: string,
  upload: UnfinishedUpload,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const parts = await retry(storage, 'ListParts', signal, () =>
      listParts(storage.client, bucket, upload, signal),
    );
    if (!isResumable(parts) || hasTagPart(supersededTagPart, parts)) return false;
    if (hasTagPart(resumableTagPart, parts) && !storage.activeUploads.has(upload.uploadId)) {
      if (await tryAbort(storage, bucket, upload, signal)) return true;
    }
    const target = { bucket, key: upload.key, attributes: {}, integrity: 'whole' } as const;
    const multipart = MultipartUpload.adopt(storage, target, { uploadId: upload.uploadId, parts: [] });
    await retry(storage, 'UploadPart', signal, () => multipart.uploadTagPart(supersededTagPart, signal));
    // It may have broken meanwhile in another task, which looked for the tag part before it was written. The client need not wait.
    void removeIfSuperseded(storage, bucket, upload);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (isNoSuchUpload(error)) return false;
    throw error;
  }
}

/** Whether a session could resume it: an upload of this gateway with an owner, and checksums of all parts. */
function isResumable(parts: readonly ListedPart[]): boolean {
  return (
    hasTagPart(gatewayTagPart, parts) &&
    hasPart(ownerPartNumber, parts) &&
    parts.every(({ ChecksumCRC32 }) => ChecksumCRC32 !== undefined)
  );
}

/** Aborts an upload that has both broken and been superseded. Never rejects: what remains is left to the sweep. */
export async function removeIfSuperseded(
  storage: S3Storage,
  bucket: string,
  upload: Pick<UnfinishedUpload, 'key' | 'uploadId'>,
  signal: AbortSignal = AbortSignal.timeout(removalMs),
): Promise<void> {
  try {
    const parts = await listParts(storage.client, bucket, upload, signal);
    if (hasTagPart(supersededTagPart, parts) && hasTagPart(resumableTagPart, parts)) {
      await abortUpload(storage.client, bucket, upload, signal);
      storage.keptUploads.delete(upload.uploadId);
    }
  } catch (error) {
    if (signal.aborted || isNoSuchUpload(error)) return;
    const { key, uploadId } = upload;
    storage.reportError(error, 'AbortMultipartUpload', { bucket, key, uploadId });
  }
}

const removalMs = 15_000;

/** Aborts a broken upload. False where S3 refuses: a role may be allowed to write parts but not to abort. */
async function tryAbort(
  storage: S3Storage,
  bucket: string,
  upload: UnfinishedUpload,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await retry(storage, 'AbortMultipartUpload', signal, () =>
      abortUpload(storage.client, bucket, upload, signal),
    );
    storage.keptUploads.delete(upload.uploadId);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof FilesystemError) || error.kind === 'unavailable') throw error;
    const { key, uploadId } = upload;
    storage.reportError(error, 'AbortMultipartUpload', { bucket, key, uploadId });
    return false;
  }
}

function retry<Result>(
  { client }: S3Storage,
  operation: string,
  signal: AbortSignal,
  run: () => Promise<Result>,
): Promise<Result> {
  // A role may lack the permission altogether, and every upload would wait for it.
  return withRetries(run, { signal, operation, client, refusedTimeoutMs: 0 });
}
