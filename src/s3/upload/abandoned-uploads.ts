/**
 * Removes multipart uploads that nobody will complete: those of this gateway, by their mark, in which nothing has come in for
 * long. What a crash leaves between the first request of an upload and its mark is the bucket's lifecycle rule's to remove.
 */
import { AbortMultipartUploadCommand } from '@aws-sdk/client-s3';
import { forEachConcurrent } from '../../util/for-each-concurrent.ts';
import { liveUploadsOf } from '../active-uploads.ts';
import { newestUpload, listUploads, listParts, type UnfinishedUpload } from './list-uploads.ts';
import { isNoSuchUpload } from '../client/retry.ts';
import { toFilesystemError, storageErrorEvent } from '../client/errors.ts';
import type { S3Storage } from '../s3-storage.ts';
import { gatewayTagPart, isTagPart } from './owner-parts.ts';

export type Sweep = {
  readonly bucket: string;
  /** Keys to look at; empty for the whole bucket. */
  readonly prefix: string;
  /** Uploads in which anything has come in since then are left alone, here or in another task. */
  readonly silentForMs: number;
  readonly signal: AbortSignal;
};

const maxConcurrentRequests = 8;

/**
 * Sweeps once, and resolves to the number of uploads removed.
 * @throws FilesystemError where S3 does not list uploads; one that cannot be removed is reported and left.
 */
export async function abortAbandonedUploads(storage: S3Storage, sweep: Sweep): Promise<number> {
  const { bucket, prefix, signal } = sweep;
  let removed = 0;
  const removeIfLeftOver = async (upload: UnfinishedUpload): Promise<void> => {
    try {
      if (await isAbandoned(storage, upload, sweep)) {
        await abort(storage, bucket, upload, signal);
        removed++;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (isNoSuchUpload(error)) return;
      const event = storageErrorEvent(error, 'sweep', bucket);
      if (event) storage.observe({ ...event, key: upload.key, uploadId: upload.uploadId });
    }
  };
  try {
    const uploads = listUploads(storage, bucket, prefix, signal);
    await forEachConcurrent(uploads, maxConcurrentRequests, removeIfLeftOver, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw toFilesystemError(error, 'ListMultipartUploads');
  }
  return removed;
}

async function isAbandoned(
  storage: S3Storage,
  upload: UnfinishedUpload,
  { bucket, silentForMs, signal }: Sweep,
): Promise<boolean> {
  const silentSinceMs = Date.now() - silentForMs;
  if (upload.initiated.getTime() > silentSinceMs) return false;
  if (liveUploadsOf(storage).isBeingWritten(upload.uploadId)) return false;
  const parts = await listParts(storage, bucket, upload, signal);
  return isTagPart(gatewayTagPart, parts.at(-1)) && newestUpload(upload, parts).getTime() <= silentSinceMs;
}

async function abort(
  { client }: S3Storage,
  bucket: string,
  { key, uploadId }: UnfinishedUpload,
  signal: AbortSignal,
): Promise<void> {
  await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: uploadId }), {
    abortSignal: signal,
  });
}
