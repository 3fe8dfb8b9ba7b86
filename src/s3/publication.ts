/**
 * The one request that makes an upload visible, and the truth about it: S3 may have done what it never got to answer.
 * Each upload carries a mark of its own in the object's metadata, so that a look at the object tells.
 */
import { FilesystemError } from '../filesystem/filesystem-error.ts';
import { findObject } from './object-lookup.ts';
import { isNoSuchUpload, withRetries } from './retry.ts';
import { filesystemErrorOf, isNotFound, isPreconditionFailed } from './s3-error.ts';
import type { S3Storage } from './storage.ts';

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
export type Identity = { readonly mark: string } | { readonly sizeBytes: number; readonly crc32: string };

export type Publication = {
  readonly bucket: string;
  readonly key: string;
  readonly identity: Identity;
  readonly condition: Condition;
  readonly operation: 'PutObject' | 'CompleteMultipartUpload';
  /** One attempt. Not cancelled by anything: a cancelled attempt would leave the truth open. */
  send(conditions: { readonly IfNoneMatch?: string; readonly IfMatch?: string }): Promise<unknown>;
};

/** The metadata entry (`x-amz-meta-ftp-upload`) that tells one upload from all others. */
export const uploadMarkName = 'ftp-upload';

/**
 * Publishes, and resolves only when the object is in S3. The signal stops further attempts, not one under way.
 * @throws FilesystemError `exists` or `changed` where the condition is not met, or what S3 answered.
 */
export async function publish(
  storage: S3Storage,
  publication: Publication,
  signal: AbortSignal,
): Promise<void> {
  const { operation, condition } = publication;
  const header = headerOf(condition);
  // Servers without conditional writes ignore the header, so a name that is taken already is found here.
  if (
    condition.require === 'absence' &&
    (await findObject(storage, { ...publication, signal })) !== undefined
  )
    throw nameTaken();
  let answered = false;
  await withRetries(
    async () => {
      if (answered) return;
      try {
        await publication.send(header);
      } catch (error) {
        if (!isDecided(error, operation) && (await isPublished(storage, publication, signal))) {
          answered = true;
          return;
        }
        if (operation === 'CompleteMultipartUpload' && isBadDigest(error)) throw mismatch(error);
        if (condition.require === 'absence' && isPreconditionFailed(error)) throw nameTaken(error);
        if (condition.require === 'version' && isNotFound(error)) throw gone(error);
        throw error;
      }
    },
    { signal, operation, patienceMs: storage.patienceMs },
  );
}

/** Whether S3 has refused without doing anything, so that there is no need to look. */
function isDecided(error: unknown, operation: Publication['operation']): boolean {
  // Not among them: 412 and NoSuchUpload. A first attempt whose answer was lost makes the second one fail like that.
  if (isPreconditionFailed(error) || isNoSuchUpload(error)) return false;
  if (isBadDigest(error)) return true;
  try {
    return filesystemErrorOf(error, operation).kind !== 'unavailable';
  } catch {
    return false;
  }
}

function isBadDigest(error: unknown): boolean {
  return error instanceof Error && error.name === 'BadDigest';
}

async function isPublished(
  storage: S3Storage,
  publication: Publication,
  signal: AbortSignal,
): Promise<boolean> {
  const head = await findObject(storage, { ...publication, signal: withoutAbort(signal) });
  const { identity } = publication;
  if ('mark' in identity) return head?.Metadata?.[uploadMarkName] === identity.mark;
  return head?.ContentLength === identity.sizeBytes && head.ChecksumCRC32 === identity.crc32;
}

// After an abort the question whether the object is there still needs its answer.
function withoutAbort(signal: AbortSignal): AbortSignal {
  return signal.aborted ? new AbortController().signal : signal;
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
