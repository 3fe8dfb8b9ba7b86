/**
 * The modification times that clients gave files, by version of the object, for listings of all sessions. What is looked up where,
 * and why: `filesystem/file-times.ts`.
 */
import { hash } from 'node:crypto';
import { BoundedMap } from '../util/bounded-map.ts';
import { Semaphore } from '../util/semaphore.ts';
import type { ListedObject } from './client/list-objects.ts';

/** Some 150 bytes each. */
const maxEntries = 100_000;

/** HeadObject requests of all listings of the process. */
const maxConcurrentLookups = 128;

/** The cache, and the limit for lookups on a miss, because both belong to the process and not to a session. */
export class FileTimeCache {
  /** Limits the lookups of all sessions together. */
  readonly lookups = new Semaphore(maxConcurrentLookups);
  /** By fingerprint of bucket and key. */
  readonly #times = new BoundedMap<string, { readonly version: string; readonly modifiedAtMs: number }>(
    maxEntries,
  );

  /** Undefined where the version that the listing shows is unknown. */
  get(bucket: string, object: ListedObject): Date | undefined {
    const known = this.#times.get(fingerprintOf(bucket, object.key));
    return known?.version === versionOf(object) ? new Date(known.modifiedAtMs) : undefined;
  }

  set(bucket: string, object: ListedObject, modifiedAt: Date): void {
    const entry = { version: versionOf(object), modifiedAtMs: modifiedAt.getTime() };
    this.#times.set(fingerprintOf(bucket, object.key), entry);
  }

  /** Call it when a time is set: S3 then gives the object a new date, but not every server does. */
  delete(bucket: string, key: string): void {
    this.#times.delete(fingerprintOf(bucket, key));
  }
}

function versionOf({ etag, lastModified, sizeBytes }: ListedObject): string {
  return `${etag} ${lastModified.getTime()} ${sizeBytes}`;
}

/** Sixteen bytes instead of a key of up to a thousand. */
function fingerprintOf(bucket: string, key: string): string {
  return hash('sha256', `${bucket}/${key}`, 'base64url').slice(0, 22);
}
