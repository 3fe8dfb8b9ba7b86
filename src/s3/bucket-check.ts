/**
 * Checks at start, beside the sessions, that each bucket can be reached and listed, so that a wrong name, role or region is found
 * before the first partner finds it. A listing of one key and not a HeadBucket: the response to a HEAD has no body that names its
 * error, and a role may be allowed to list a prefix only.
 */
import { forEachConcurrent } from '../util/for-each-concurrent.ts';
import { listFirst } from './client/list-objects.ts';
import type { S3Storage } from './s3-storage.ts';

/** A bucket, and a prefix in it that the gateway needs. */
export type CheckedHome = { readonly bucket: string; readonly prefix: string };

const maxConcurrentChecks = 4;

/** Reports each bucket that cannot be used as a `storage-error` of `check-at-start`. Never rejects: the gateway runs without it. */
export async function checkBuckets(
  storage: S3Storage,
  homes: readonly CheckedHome[],
  signal: AbortSignal,
): Promise<void> {
  const check = async ({ bucket, prefix }: CheckedHome): Promise<void> => {
    try {
      await listFirst(storage.client, { bucket, prefix, maxEntries: 1, signal });
    } catch (error) {
      if (signal.aborted) return;
      if (!storage.reportError(error, 'check-at-start', { bucket })) {
        storage.observe({ event: 'unexpected-error', error });
      }
    }
  };
  const byBucket = new Map(homes.map((home) => [home.bucket, home]));
  await forEachConcurrent(byBucket.values(), maxConcurrentChecks, check, signal).catch(() => undefined);
}
