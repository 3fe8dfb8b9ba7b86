/**
 * The times that clients gave files, for listings. ListObjectsV2 tells no metadata, so each file costs a HeadObject; the answer
 * is remembered for as long as the listing shows the same version of the object. docs/decisions/0017-modification-times.md.
 */
import { hash } from 'node:crypto';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { Semaphore } from '../../util/semaphore.ts';
import { forEachConcurrent } from '../../util/for-each-concurrent.ts';
import { modifiedAtOf } from './object-attributes.ts';
import type { ObjectHead } from '../client/object-headers.ts';
import { findObject } from '../client/object-lookup.ts';
import type { S3Storage } from '../s3-storage.ts';
import type { ListedObject } from '../client/list-objects.ts';

/** Requests of one listing, and of all listings of the process together. */
const atOnce = { listing: 32, process: 128 } as const;

/** Some 150 bytes each. */
const mostRemembered = 100_000;

/**
 * A version whose last write lies so far back, by the clock of S3, cannot be confused with a later one: dates of objects may be
 * whole seconds only.
 */
const settledMs = 5_000;

/** What a lookup found: size and time of one and the same version. */
export type ObjectTime = { readonly sizeBytes: number; readonly modifiedAt: Date };

type LookUp = (question: {
  readonly bucket: string;
  readonly key: string;
  readonly signal: AbortSignal;
}) => Promise<ObjectHead | undefined>;

export type LookUpOptions = {
  readonly bucket: string;
  readonly signal: AbortSignal;
  /** Called for an object that S3 does not let us look at; it keeps the time of the listing. */
  readonly onRefused: (error: FilesystemError) => void;
};

export class KeptTimes {
  readonly #lookUp: LookUp;
  readonly #turns = new Semaphore(atOnce.process);
  /** The oldest first. By fingerprint of bucket and key. */
  readonly #remembered = new Map<string, { readonly version: string; readonly modifiedAtMs: number }>();

  constructor(lookUp: LookUp) {
    this.#lookUp = lookUp;
  }

  /**
   * The objects of a page of a listing with the times that `modifiedAtOf` has for them, by key. Objects that are gone are missing.
   * @throws FilesystemError where S3 fails for longer than a transfer waits; the signal's reason.
   */
  async of(
    objects: readonly ListedObject[],
    { bucket, signal, onRefused }: LookUpOptions,
  ): Promise<ReadonlyMap<string, ObjectTime>> {
    const found = new Map<string, ObjectTime>();
    const unknown: ListedObject[] = [];
    for (const object of objects) {
      const known = this.#recall(bucket, object);
      if (known === undefined) unknown.push(object);
      else found.set(object.key, known);
    }
    await forEachConcurrent(
      unknown,
      atOnce.listing,
      async (object) => {
        const time = await this.#turns.run(signal, () => this.#ask(bucket, object, signal, onRefused));
        if (time !== undefined) found.set(object.key, time);
      },
      signal,
    );
    return found;
  }

  /** To be called when a time is set: not every server gives the object a new date then, as S3 does. */
  forget(bucket: string, key: string): void {
    this.#remembered.delete(fingerprintOf(bucket, key));
  }

  async #ask(
    bucket: string,
    listed: ListedObject,
    signal: AbortSignal,
    onRefused: LookUpOptions['onRefused'],
  ): Promise<ObjectTime | undefined> {
    let head: ObjectHead | undefined;
    try {
      head = await this.#lookUp({ bucket, key: listed.key, signal });
    } catch (error) {
      // One object that may not be read (its key of KMS, a policy) must not hide all the others.
      if (!(error instanceof FilesystemError) || error.kind !== 'permission-denied') throw error;
      onRefused(error);
      return { sizeBytes: listed.sizeBytes, modifiedAt: listed.lastModified };
    }
    if (head === undefined) return undefined;
    const modifiedAt = modifiedAtOf(head);
    if (isSettled(listed, head)) this.#remember(bucket, listed, modifiedAt);
    return { sizeBytes: head.ContentLength ?? listed.sizeBytes, modifiedAt };
  }

  #recall(bucket: string, object: ListedObject): ObjectTime | undefined {
    const remembered = this.#remembered.get(fingerprintOf(bucket, object.key));
    if (remembered?.version !== versionOf(object)) return undefined;
    return { sizeBytes: object.sizeBytes, modifiedAt: new Date(remembered.modifiedAtMs) };
  }

  #remember(bucket: string, object: ListedObject, modifiedAt: Date): void {
    const name = fingerprintOf(bucket, object.key);
    this.#remembered.delete(name);
    this.#remembered.set(name, { version: versionOf(object), modifiedAtMs: modifiedAt.getTime() });
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size > mostRemembered && oldest !== undefined) this.#remembered.delete(oldest);
  }
}

/** Whether another version of the object can never look like this one in a listing. */
function isSettled(listed: ListedObject, { ETag, LastModified, AnsweredAt }: ObjectHead): boolean {
  if (listed.etag === '' || ETag !== listed.etag || !LastModified || !AnsweredAt) return false;
  // A multipart upload has the date of its beginning and may be completed at any time after it (Amazon S3 User Guide, "Uploading
  // and copying objects using multipart upload"). Its ETag ends in the number of its parts.
  if (ETag.includes('-')) return false;
  return AnsweredAt.getTime() - LastModified.getTime() >= settledMs;
}

function versionOf({ etag, lastModified, sizeBytes }: ListedObject): string {
  return `${etag} ${lastModified.getTime()} ${sizeBytes}`;
}

/** Sixteen bytes instead of a key of up to a thousand. */
function fingerprintOf(bucket: string, key: string): string {
  return hash('sha256', `${bucket}/${key}`, 'base64url').slice(0, 22);
}

const known = new WeakMap<S3Storage, KeptTimes>();

/** What all sessions on this storage know together. */
export function keptTimesOf(storage: S3Storage): KeptTimes {
  let times = known.get(storage);
  if (!times) known.set(storage, (times = new KeptTimes((question) => findObject(storage, question))));
  return times;
}
