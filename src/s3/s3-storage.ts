/** What all sessions of the process share on their way to S3: one client, one memory budget, and what is known of S3's state. */
import type { Observe } from '../observability/event.ts';
import { KeyedSemaphore } from '../util/keyed-semaphore.ts';
import { ActiveUploads, type SilenceLimits } from './active-uploads.ts';
import { storageFailureOf } from './client/errors.ts';
import type { GatewayS3Client } from './client/s3-client.ts';
import { StorageCall } from './client/storage-call.ts';
import { errorCodeOf, type StorageCause, storageCauseOf, storageErrorOf } from './client/storage-cause.ts';
import { DirectoryCache } from './directory-cache.ts';
import { FileTimeCache } from './file-time-cache.ts';
import { KeptUploads } from './kept-uploads.ts';
import { StorageHealth } from './storage-health.ts';
import type { TransferMemory } from './transfer-memory.ts';

/** Part sizes in bytes. The tests use smaller ones than Amazon S3 allows, so that short files have many parts. */
export type PartBytes = {
  /** The minimum of every part but the last. */
  readonly minimum: number;
  /** The size of the first parts of an upload of unknown length. */
  readonly first: number;
};

export type S3StorageOptions = {
  readonly client: GatewayS3Client;
  readonly memory: TransferMemory;
  readonly observe: Observe;
  /** Called with the seconds to the first byte of each response. */
  readonly responded?: ((operation: string, seconds: number) => void) | undefined;
  /** Those of Amazon S3 by default. */
  readonly partBytes?: PartBytes | undefined;
  /** When an upload that was not ended counts as abandoned; those of `ActiveUploads` by default. */
  readonly silenceMs?: SilenceLimits | undefined;
};

/** Where an error happened: the bucket, and the multipart upload that it may leave behind. */
export type ErrorContext = {
  readonly bucket: string;
  readonly key?: string;
  readonly uploadId?: string;
};

/** Shared by all sessions; each session's `S3Filesystem` gets it. The caller destroys the client when all sessions are over. */
export class S3Storage {
  readonly client: GatewayS3Client;
  readonly memory: TransferMemory;
  readonly observe: Observe;
  readonly partBytes: PartBytes | undefined;
  readonly directoryCache: DirectoryCache;
  /** What succeeds and what fails. */
  readonly health: StorageHealth;
  readonly activeUploads: ActiveUploads;
  readonly keptUploads = new KeptUploads();
  readonly fileTimeCache = new FileTimeCache();
  /** Digests read whole objects and keep a processor busy, so few are computed at a time. By user. */
  readonly digests = new KeyedSemaphore({ perKey: 1, total: 2 });
  /** Whether the server is known to verify the CRC32 of an object: a response to PutObject contained one. */
  verifiesCrc32 = false;

  constructor({ client, memory, observe, partBytes, responded, silenceMs }: S3StorageOptions) {
    this.activeUploads = new ActiveUploads(silenceMs);
    this.client = client;
    this.memory = memory;
    this.observe = observe;
    this.partBytes = partBytes;
    this.directoryCache = new DirectoryCache(client);
    this.health = new StorageHealth({ observe, responded });
    client.monitor.observer = this.health;
  }

  /**
   * Reports an error of S3, or the one that caused a `FilesystemError`, if it concerns the operator (see `storageFailureOf`).
   * Returns whether it does. Of several failures of one call with one cause, only the first is reported.
   */
  reportError(error: unknown, operation: string, context: ErrorContext): boolean {
    const failure = storageFailureOf(error);
    if (!failure) return false;
    if (StorageCall.current?.isFirst(failure.cause) !== false) {
      this.#report(operation, context, failure, error);
    }
    return true;
  }

  /** Reports what a failed request leaves behind in the bucket, whatever the error. */
  reportRemains(error: unknown, operation: string, context: ErrorContext): void {
    const failure = { cause: storageCauseOf(error), errorName: errorCodeOf(error) };
    this.#report(operation, context, failure, error);
  }

  /** Reports a request that S3 may have carried out or not. */
  reportUnconfirmed(operation: string, context: ErrorContext): void {
    this.#report(operation, context, { cause: 'STORAGE-UNCONFIRMED', errorName: 'Unconfirmed' }, undefined);
  }

  #report(
    operation: string,
    { bucket, key, uploadId }: ErrorContext,
    failure: { readonly cause: StorageCause; readonly errorName: string },
    error: unknown,
  ): void {
    const endpoint = this.client.monitor.failureOf(storageErrorOf(error))?.endpoint;
    const sessionId = StorageCall.current?.sessionId;
    this.observe({
      event: 'storage-error',
      retrying: false,
      ...(sessionId !== undefined && { sessionId }),
      operation,
      bucket,
      ...(endpoint !== undefined && { endpoint }),
      ...failure,
      ...(key !== undefined && { key }),
      ...(uploadId !== undefined && { uploadId }),
    });
  }
}
