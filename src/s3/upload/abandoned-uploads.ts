/**
 * Aborts abandoned multipart uploads: those of this gateway, recognized by their tag part, that have received nothing for long.
 * An upload that a crash left without its tag part is removed by the bucket's lifecycle rule.
 */
import { forEachConcurrent } from '../../util/for-each-concurrent.ts';
import { isNoSuchUpload, toFilesystemError } from '../client/errors.ts';
import type { S3Storage } from '../s3-storage.ts';
import { abortUpload, lastActivity, listParts, listUploads, type UnfinishedUpload } from './list-uploads.ts';
import { gatewayTagPart, isTagPart } from './tag-parts.ts';

export type Sweep = {
  readonly bucket: string;
  /** Keys to look at; empty for the whole bucket. */
  readonly prefix: string;
  /** Uploads that have received anything within this time are left alone, whichever task writes them. */
  readonly silentForMs: number;
  readonly signal: AbortSignal;
};

const maxConcurrentRequests = 8;

/** Sweeps once, beside the sessions, and reports the result as an event. Never rejects: the gateway runs without it. */
export async function sweepAtStart(storage: S3Storage, sweep: Sweep): Promise<void> {
  const { bucket, prefix, signal } = sweep;
  try {
    const uploads = await abortAbandonedUploads(storage, sweep);
    storage.observe({ event: 'abandoned-uploads-aborted', bucket, prefix, uploads });
  } catch (error) {
    if (signal.aborted) return;
    if (!storage.reportError(error, 'sweep', { bucket }))
      storage.observe({ event: 'unexpected-error', error });
  }
}

/**
 * Sweeps once, and resolves to the number of uploads aborted.
 * @throws FilesystemError where S3 does not list uploads. An upload that cannot be aborted is reported and skipped.
 */
export async function abortAbandonedUploads(storage: S3Storage, sweep: Sweep): Promise<number> {
  const { bucket, prefix, signal } = sweep;
  let aborted = 0;
  const abortIfAbandoned = async (upload: UnfinishedUpload): Promise<void> => {
    try {
      if (await isAbandoned(storage, upload, sweep)) {
        await abortUpload(storage.client, bucket, upload, signal);
        aborted++;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (isNoSuchUpload(error)) return;
      storage.reportError(error, 'sweep', { bucket, key: upload.key, uploadId: upload.uploadId });
    }
  };
  try {
    const uploads = listUploads(storage.client, bucket, prefix, signal);
    await forEachConcurrent(uploads, maxConcurrentRequests, abortIfAbandoned, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw toFilesystemError(error, 'ListMultipartUploads');
  }
  return aborted;
}

async function isAbandoned(
  storage: S3Storage,
  upload: UnfinishedUpload,
  { bucket, silentForMs, signal }: Sweep,
): Promise<boolean> {
  const silentSinceMs = Date.now() - silentForMs;
  if (upload.initiated.getTime() > silentSinceMs) return false;
  if (storage.activeUploads.has(upload.uploadId)) return false;
  const parts = await listParts(storage.client, bucket, upload, signal);
  return isTagPart(gatewayTagPart, parts.at(-1)) && lastActivity(upload, parts).getTime() <= silentSinceMs;
}
