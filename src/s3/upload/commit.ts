/**
 * The one request that makes an upload visible, and the truth about it: S3 may have done what it never got to answer.
 * Each upload carries a mark of its own in the object's metadata, so that a look at the object tells.
 */
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { ObjectHead } from '../client/object-headers.ts';
import { findObject, findObjectAtOnce } from '../client/object-lookup.ts';
import { isNoSuchUpload, withRetries } from '../client/retry.ts';
import { toFilesystemError, isNotFound, isPreconditionFailed } from '../client/errors.ts';
import type { S3Storage } from '../s3-storage.ts';

/** What must be true of the name at the moment of publishing. */
export type Condition =
  | { readonly require: 'nothing' }
  /** No object of this key (`If-None-Match: *`). */
  | { readonly require: 'absence' }
  /** The object that this upload continues, unchanged (`If-Match`). */
  | { readonly require: 'version'; readonly etag: string };

/**
 * What the object is known by: the mark in its metadata under `uploadMarkName`; or, of an upload that an earlier session
 * began, whose mark nobody remembers, its length and checksum.
 */
export type UploadIdentity =
  { readonly mark: string } | { readonly sizeBytes: number; readonly crc32: string };

export type Commit = {
  readonly bucket: string;
  readonly key: string;
  readonly identity: UploadIdentity;
  readonly condition: Condition;
  readonly operation: 'PutObject' | 'CompleteMultipartUpload';
  /** One attempt. The signal is not the transfer's: a cancelled attempt leaves open what S3 does, so it may take its time. */
  send(
    conditions: { readonly IfNoneMatch?: string; readonly IfMatch?: string },
    signal: AbortSignal,
  ): Promise<unknown>;
};

/** The metadata entry (`x-amz-meta-ftp-upload`) that tells one upload from all others. */
export const uploadIdMetadata = 'ftp-upload';

/**
 * Publishes, and resolves only when the object is in S3. The signal stops further attempts; one under way, and the question
 * what became of it, get some more time (`settling.ts`).
 * @throws FilesystemError `exists` or `changed` where the condition is not met, `unconfirmed` where S3 may have published or
 * may still publish and does not tell, or what S3 answered; the signal's reason.
 */
export async function commitUpload(
  storage: S3Storage,
  publication: Commit,
  signal: AbortSignal,
): Promise<void> {
  // Servers without conditional writes ignore the header, so a name that is taken already is found here.
  if (
    publication.condition.require === 'absence' &&
    (await findObject(storage, { ...publication, signal })) !== undefined
  )
    throw nameTaken();
  const requests = storage.client.settling.after(signal);
  try {
    await publishWithin(storage, publication, signal, requests.signal);
  } finally {
    requests.release();
  }
}

/** @param settling aborts some time after `signal`: what becomes of an attempt is to be found out until then. */
async function publishWithin(
  storage: S3Storage,
  publication: Commit,
  signal: AbortSignal,
  settling: AbortSignal,
): Promise<void> {
  const { operation } = publication;
  const header = headerOf(publication.condition);
  /** Set while an attempt may have published, and the object could not be looked at since. */
  let openQuestion: unknown;
  try {
    await withRetries(
      async () => {
        try {
          await publication.send(header, settling);
        } catch (error) {
          if (!isDecided(error, operation)) {
            openQuestion = error;
            const isThere = await isCommitted(storage, publication, settling);
            openQuestion = undefined;
            if (isThere) return;
          }
          throw failureOf(error, publication);
        }
      },
      { signal, operation, retryTimeoutMs: storage.retryTimeoutMs },
    );
  } catch (error) {
    if (openQuestion === undefined) throw error;
    if (await isPublishedAtLast(storage, publication, signal, settling, openQuestion)) return;
    throw error;
  }
}

function failureOf(error: unknown, { operation, condition }: Commit): unknown {
  if (operation === 'CompleteMultipartUpload' && isBadDigest(error)) return mismatch(error);
  if (condition.require === 'absence' && isPreconditionFailed(error)) return nameTaken(error);
  if (condition.require === 'version' && isNotFound(error)) return gone(error);
  return error;
}

/** Whether S3 has refused without doing anything, so that there is no need to look. */
function isDecided(error: unknown, operation: Commit['operation']): boolean {
  // Not among them: 412 and NoSuchUpload. A first attempt whose answer was lost makes the second one fail like that.
  if (isPreconditionFailed(error) || isNoSuchUpload(error)) return false;
  if (isBadDigest(error)) return true;
  try {
    return toFilesystemError(error, operation).kind !== 'unavailable';
  } catch {
    return false;
  }
}

function isBadDigest(error: unknown): boolean {
  return error instanceof Error && error.name === 'BadDigest';
}

/** Looks once. @throws where S3 does not tell. */
async function isCommitted(storage: S3Storage, publication: Commit, signal: AbortSignal): Promise<boolean> {
  return isOwn(await findObjectAtOnce(storage, { ...publication, signal }), publication);
}

/**
 * Looks for as long as there is time, where an abort has ended the attempts before their outcome was known.
 * @throws FilesystemError `unconfirmed` where S3 does not tell.
 */
async function isPublishedAtLast(
  storage: S3Storage,
  publication: Commit,
  signal: AbortSignal,
  settling: AbortSignal,
  openQuestion: unknown,
): Promise<boolean> {
  const { bucket, key, operation } = publication;
  try {
    // Without an abort the attempts, and the looks between them, have used up the patience already.
    if (signal.aborted)
      return isOwn(await findObject(storage, { bucket, key, signal: settling }), publication);
  } catch {
    // The question stays open.
  }
  const errorName = openQuestion instanceof Error ? openQuestion.name : 'Unknown';
  storage.observe({ event: 'storage-error', operation, bucket, key, errorName: 'Unconfirmed' });
  throw new FilesystemError(
    'unconfirmed',
    `${operation}: no answer (${errorName}), and whether the object was published could not be found out`,
  );
}

function isOwn(head: ObjectHead | undefined, { identity }: Commit): boolean {
  if ('mark' in identity) return head?.Metadata?.[uploadIdMetadata] === identity.mark;
  return head?.ContentLength === identity.sizeBytes && head.ChecksumCRC32 === identity.crc32;
}

function headerOf(condition: Condition): { readonly IfNoneMatch?: string; readonly IfMatch?: string } {
  if (condition.require === 'absence') return { IfNoneMatch: '*' };
  return condition.require === 'version' ? { IfMatch: condition.etag } : {};
}

function nameTaken(cause?: unknown): FilesystemError {
  return new FilesystemError('exists', 'another object took the name', { cause });
}

function gone(cause: unknown): FilesystemError {
  return new FilesystemError('changed', 'the object to continue is gone', { cause });
}

function mismatch(cause: unknown): FilesystemError {
  return new FilesystemError('changed', 'S3 put together other bytes than were sent', { cause });
}
