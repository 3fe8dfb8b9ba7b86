/** Whether there is an object, and what it carries: asked with the patience of a transfer. */
import { FilesystemError } from '../filesystem/filesystem-error.ts';
import type { ObjectHead } from './object-headers.ts';
import { headObject } from './object-requests.ts';
import { withRetries } from './retry.ts';
import type { S3Storage } from './storage.ts';

/** Undefined where there is none. @throws FilesystemError for what else S3 answered; the signal's reason. */
export async function findObject(
  storage: S3Storage,
  { bucket, key, signal }: { readonly bucket: string; readonly key: string; readonly signal: AbortSignal },
): Promise<ObjectHead | undefined> {
  try {
    return await withRetries(() => headObject(storage.client, { bucket, key, signal }), {
      signal,
      operation: 'HeadObject',
      patienceMs: storage.patienceMs,
    });
  } catch (error) {
    if (error instanceof FilesystemError && error.kind === 'not-found') return undefined;
    throw error;
  }
}
