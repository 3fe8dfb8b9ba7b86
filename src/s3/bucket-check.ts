/**
 * Checks at start, and when users with another bucket are added, that each bucket can be reached and listed, so that a wrong name,
 * role or region is found before the first partner finds it. A listing of one key and not a HeadBucket: the response to a HEAD has no body that names its
 * error, and a role may be allowed to list a prefix only.
 */
import { forEachConcurrent } from '../util/for-each-concurrent.ts';
import { listFirst } from './client/list-objects.ts';
import type { S3Storage } from './s3-storage.ts';

/** A bucket, and a prefix in it that the gateway needs. */
export type CheckedHome = { readonly bucket: string; readonly prefix: string };

const maxConcurrentChecks = 4;

export class BucketCheck {
  readonly #storage: S3Storage;
  readonly #signal: AbortSignal;
  readonly #checked = new Set<string>();
  #running: Promise<void> = Promise.resolve();

  constructor(storage: S3Storage, signal: AbortSignal) {
    this.#storage = storage;
    this.#signal = signal;
  }

  /**
   * Reports each bucket that cannot be used as a `storage-error` of `check-at-start`; one that was checked before is not checked
   * again. Never rejects: the gateway runs without it.
   */
  check(homes: readonly CheckedHome[]): Promise<void> {
    const added = new Map(
      homes.filter(({ bucket }) => !this.#checked.has(bucket)).map((home) => [home.bucket, home]),
    );
    for (const bucket of added.keys()) this.#checked.add(bucket);
    const check = (home: CheckedHome): Promise<void> => this.#checkOne(home);
    this.#running = this.#running.then(() =>
      forEachConcurrent(added.values(), maxConcurrentChecks, check, this.#signal).catch(() => undefined),
    );
    return this.#running;
  }

  /** Resolves when no check is running. */
  get done(): Promise<void> {
    return this.#running;
  }

  async #checkOne({ bucket, prefix }: CheckedHome): Promise<void> {
    const { client } = this.#storage;
    try {
      await listFirst(client, { bucket, prefix, maxEntries: 1, signal: this.#signal });
    } catch (error) {
      if (this.#signal.aborted) return;
      if (!this.#storage.reportError(error, 'check-at-start', { bucket })) {
        this.#storage.observe({ event: 'unexpected-error', error });
      }
    }
  }
}
