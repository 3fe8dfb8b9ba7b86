/** Whether there is an object, and what it carries: HeadObject with the patience of a transfer, or in a single question. */
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { ObjectHead } from './object-headers.ts';
import { headObject } from './operations.ts';
import { withRetries } from './retry.ts';
import { isNotFound } from './errors.ts';
import type { S3Storage } from '../s3-storage.ts';

type Question = { readonly bucket: string; readonly key: string; readonly signal: AbortSignal };

/** @throws FilesystemError `not-found`, or what else S3 answered; the signal's reason. */
export function headObjectWithRetries(
  storage: S3Storage,
  { bucket, key, signal }: Question,
): Promise<ObjectHead> {
  return withRetries(() => headObject(storage.client, { bucket, key, signal }), {
    signal,
    operation: 'HeadObject',
    retryTimeoutMs: storage.retryTimeoutMs,
  });
}

/** Undefined where there is none. @throws FilesystemError for what else S3 answered; the signal's reason. */
export async function findObject(storage: S3Storage, question: Question): Promise<ObjectHead | undefined> {
  try {
    return await headObjectWithRetries(storage, question);
  } catch (error) {
    if (error instanceof FilesystemError && error.kind === 'not-found') return undefined;
    throw error;
  }
}

/** The same without that patience. @throws S3's own error for all but a missing object; the signal's reason. */
export async function findObjectAtOnce(
  storage: S3Storage,
  question: Question,
): Promise<ObjectHead | undefined> {
  try {
    return await headObject(storage.client, question);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
