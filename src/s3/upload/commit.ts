/**
 * Commits an upload: sends the one request that makes its object visible. If the response is lost, reads the object back to find
 * out whether the commit succeeded: each upload has an id in the object's metadata. See docs/decisions/0019-commit-without-a-response.md.
 */
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { StoredObject } from '../../filesystem/filesystem.ts';
import type { ObjectHead } from '../client/object-headers.ts';
import { findObject } from '../client/operations.ts';
import { classify, isNoSuchUpload, isNotFound, isConflict } from '../client/errors.ts';
import { errorCodeOf, errorNameOf } from '../client/storage-cause.ts';
import { withRetries } from '../client/retry.ts';
import type { S3Storage } from '../s3-storage.ts';

/** What must be true of the key at the moment of the commit. */
export type Condition =
  | { readonly require: 'nothing' }
  /** No object of this key (`If-None-Match: *`). */
  | { readonly require: 'absence' }
  /** The object that this upload appends to, unchanged (`If-Match`). */
  | { readonly require: 'version'; readonly etag: string };

/**
 * How the committed object is recognized: by the upload's id in its metadata (`uploadIdMetadata`); or, for an upload that an
 * earlier session began and whose id is unknown, by length and checksum.
 */
export type UploadIdentity = { readonly id: string } | { readonly sizeBytes: number; readonly crc32: string };

export type ConditionHeaders = { readonly IfNoneMatch?: string; readonly IfMatch?: string };

export type Commit = {
  readonly bucket: string;
  readonly key: string;
  readonly identity: UploadIdentity;
  readonly condition: Condition;
  readonly operation: 'PutObject' | 'CompleteMultipartUpload';
  /**
   * One attempt. The signal is not the transfer's: after a cancelled attempt it is unknown what S3 does, so the attempt gets more
   * time.
   */
  send(conditions: ConditionHeaders, signal: AbortSignal): Promise<unknown>;
};

/**
 * Servers that assemble an object by copying its parts may take minutes, and lookups meanwhile show that they are alive. Without a
 * successful lookup the retries end as those of any other request do.
 */
const assemblyFactor = 4;

/** The metadata entry (`x-amz-meta-ftp-upload`) that holds an upload's id. */
export const uploadIdMetadata = 'ftp-upload';

/**
 * Commits, and resolves, only when the object is in S3, to what S3 reported about it. The signal stops further attempts; a running
 * attempt, and the lookup of its outcome, get some more time (`settling.ts`).
 * @throws FilesystemError `exists` or `changed` where the condition is not met, `unconfirmed` where it cannot be found out
 * whether S3 has committed or will commit, or what S3 responded; the signal's reason.
 */
export async function commitUpload(
  storage: S3Storage,
  commit: Commit,
  signal: AbortSignal,
): Promise<StoredObject> {
  const requests = storage.client.settling.graceSignal(signal);
  try {
    return await commitWithin(storage, commit, signal, requests.signal);
  } finally {
    requests.release();
  }
}

/** @param settling aborts some time after `signal`: the limit for finding out the outcome of an attempt. */
async function commitWithin(
  storage: S3Storage,
  commit: Commit,
  signal: AbortSignal,
  settling: AbortSignal,
): Promise<StoredObject> {
  const { operation } = commit;
  let response: unknown;
  const headers = headersOf(commit.condition);
  /** The failure of an attempt that may have committed, as long as the lookup of its outcome has not succeeded. */
  let unresolved: unknown;
  try {
    await withRetries(
      async () => {
        try {
          response = await commit.send(headers, settling);
        } catch (error) {
          if (!isDecided(error)) {
            unresolved = error;
            const committed = await findCommitted(storage, commit, settling);
            unresolved = undefined;
            if (committed) return;
          }
          throw failureOf(error, commit);
        }
      },
      {
        signal,
        operation,
        client: storage.client,
        ...(operation === 'CompleteMultipartUpload' && {
          retryTimeoutMs: assemblyFactor * storage.client.retryTimeoutMs,
        }),
      },
    );
  } catch (error) {
    if (unresolved === undefined) throw error;
    if (await findCommittedFinally(storage, commit, signal, settling, unresolved)) return {};
    throw error;
  }
  return storedOf(response);
}

/** What the response to the commit reports; nothing where the response was lost. */
function storedOf(response: unknown): StoredObject {
  const { VersionId, ChecksumCRC32 } = (response ?? {}) as {
    readonly VersionId?: string | undefined;
    readonly ChecksumCRC32?: string | undefined;
  };
  return {
    versionId: VersionId,
    checksum: ChecksumCRC32 === undefined ? undefined : `CRC32 ${ChecksumCRC32}`,
  };
}

function failureOf(error: unknown, { operation, condition }: Commit): unknown {
  if (operation === 'CompleteMultipartUpload' && isBadDigest(error)) {
    return new FilesystemError('changed', 'S3 assembled other bytes than were sent', { cause: error });
  }
  if (condition.require === 'absence' && isConflict(error)) {
    return new FilesystemError('exists', 'another object took the name', { cause: error });
  }
  if (condition.require === 'version' && isNotFound(error)) {
    return new FilesystemError('changed', 'the object to append to was deleted', { cause: error });
  }
  return error;
}

/** Whether S3 has certainly refused without doing anything, so that no lookup is needed. */
function isDecided(error: unknown): boolean {
  // Not decided: 412 and NoSuchUpload. If the response of a first attempt was lost, the second attempt fails like that.
  if (isConflict(error) || isNoSuchUpload(error)) return false;
  if (isBadDigest(error)) return true;
  const kind = classify(error);
  return kind !== undefined && kind !== 'unavailable';
}

function isBadDigest(error: unknown): boolean {
  return errorNameOf(error) === 'BadDigest';
}

/** Looks once. @throws where S3 does not respond. */
async function findCommitted(
  { client }: S3Storage,
  { bucket, key, identity }: Commit,
  signal: AbortSignal,
): Promise<boolean> {
  return isIdentified(await findObject(client, { bucket, key, signal }), identity);
}

/**
 * Looks with retries, where an abort has ended the attempts before their outcome was known.
 * @throws FilesystemError `unconfirmed` where S3 does not respond.
 */
async function findCommittedFinally(
  storage: S3Storage,
  { bucket, key, operation, identity }: Commit,
  signal: AbortSignal,
  settling: AbortSignal,
  unresolved: unknown,
): Promise<boolean> {
  try {
    // Without an abort the attempts, and the lookups between them, have used up the retry timeout already.
    if (signal.aborted) {
      const head = await findObject(storage.client, { bucket, key, signal: settling, retry: true });
      return isIdentified(head, identity);
    }
  } catch {
    // The outcome remains unknown.
  }
  storage.reportUnconfirmed(operation, { bucket, key });
  throw new FilesystemError(
    'unconfirmed',
    `${operation}: no response (${errorCodeOf(unresolved)}), and it is unknown whether the object was committed`,
  );
}

function isIdentified(head: ObjectHead | undefined, identity: UploadIdentity): boolean {
  if ('id' in identity) return head?.Metadata?.[uploadIdMetadata] === identity.id;
  return head?.ContentLength === identity.sizeBytes && head.ChecksumCRC32 === identity.crc32;
}

function headersOf(condition: Condition): ConditionHeaders {
  if (condition.require === 'absence') return { IfNoneMatch: '*' };
  return condition.require === 'version' ? { IfMatch: condition.etag } : {};
}
