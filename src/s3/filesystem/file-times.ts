/**
 * The modification times that clients gave files, for listings. ListObjectsV2 returns no metadata, so each file costs a HeadObject;
 * the result is cached for as long as listings show the same version of the object. docs/decisions/0017-modification-times.md.
 */
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { forEachConcurrent } from '../../util/for-each-concurrent.ts';
import type { ListedObject } from '../client/list-objects.ts';
import type { ObjectHead } from '../client/object-headers.ts';
import type { FileTimeCache } from '../file-time-cache.ts';
import { modifiedAtOf } from './object-attributes.ts';

const maxConcurrentLookupsOfListing = 32;

/**
 * A version last written this long ago, by the clock of S3, cannot be confused with a later one: dates of objects may be whole
 * seconds only.
 */
const minAgeMs = 5_000;

/** What a lookup found: size and time of one and the same version. */
export type ObjectTime = { readonly sizeBytes: number; readonly modifiedAt: Date };

type HeadLookup = (object: {
  readonly bucket: string;
  readonly key: string;
  readonly signal: AbortSignal;
}) => Promise<ObjectHead | undefined>;

export type FileTimesOptions = {
  readonly bucket: string;
  readonly signal: AbortSignal;
  /** Called for an object whose HeadObject S3 refuses; it keeps the time of the listing. */
  readonly onRefused: (error: FilesystemError) => void;
};

/** Looks up file times, through the cache that all sessions share. Per session. */
export class FileTimeLookup {
  readonly #lookUp: HeadLookup;
  readonly #cache: FileTimeCache;

  constructor(lookUp: HeadLookup, cache: FileTimeCache) {
    this.#lookUp = lookUp;
    this.#cache = cache;
  }

  /**
   * Size and time (`modifiedAtOf`) of the objects of a listing page, by key. Objects that no longer exist are missing.
   * @throws FilesystemError where S3 keeps failing for longer than a transfer retries; the signal's reason.
   */
  async timesOf(
    objects: readonly ListedObject[],
    options: FileTimesOptions,
  ): Promise<ReadonlyMap<string, ObjectTime>> {
    const found = new Map<string, ObjectTime>();
    const unknown: ListedObject[] = [];
    for (const object of objects) {
      const modifiedAt = this.#cache.get(options.bucket, object);
      if (modifiedAt === undefined) unknown.push(object);
      else found.set(object.key, { sizeBytes: object.sizeBytes, modifiedAt });
    }
    const { signal } = options;
    await forEachConcurrent(
      unknown,
      maxConcurrentLookupsOfListing,
      async (object) => {
        const time = await this.#cache.lookups.run(signal, () => this.#fetch(object, options));
        if (time !== undefined) found.set(object.key, time);
      },
      signal,
    );
    return found;
  }

  async #fetch(
    listed: ListedObject,
    { bucket, signal, onRefused }: FileTimesOptions,
  ): Promise<ObjectTime | undefined> {
    let head: ObjectHead | undefined;
    try {
      head = await this.#lookUp({ bucket, key: listed.key, signal });
    } catch (error) {
      // One object that may not be read (its KMS key, a policy) must not hide all the others.
      if (!isRefusal(error)) throw error;
      onRefused(error);
      return { sizeBytes: listed.sizeBytes, modifiedAt: listed.lastModified };
    }
    if (head === undefined) return undefined;
    const modifiedAt = modifiedAtOf(head);
    if (isUnambiguous(listed, head)) this.#cache.set(bucket, listed, modifiedAt);
    return { sizeBytes: head.ContentLength ?? listed.sizeBytes, modifiedAt };
  }
}

function isRefusal(error: unknown): error is FilesystemError {
  if (!(error instanceof FilesystemError)) return false;
  return error.kind === 'permission-denied' || error.kind === 'misconfigured';
}

/** Whether no other version of the object can ever have the ETag, date and size of this one in a listing. */
function isUnambiguous(
  listed: ListedObject,
  { ETag, LastModified, RespondedAt: AnsweredAt }: ObjectHead,
): boolean {
  if (listed.etag === '' || ETag !== listed.etag || !LastModified || !AnsweredAt) return false;
  // A multipart upload has the date of its start and may be completed at any time after it (Amazon S3 User Guide, "Uploading
  // and copying objects using multipart upload"). Its ETag ends in the number of its parts.
  if (ETag.includes('-')) return false;
  return AnsweredAt.getTime() - LastModified.getTime() >= minAgeMs;
}
