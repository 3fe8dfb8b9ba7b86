/** What all sessions of the process share on their way to S3: one client, one memory budget, and what is known of S3's state. */
import type { Observe } from '../observability/event.ts';
import { ActiveUploads } from './active-uploads.ts';
import { operatorErrorOf } from './client/errors.ts';
import type { GatewayS3Client } from './client/s3-client.ts';
import { DirectoryCache } from './directory-cache.ts';
import { FileTimeCache } from './file-time-cache.ts';
import type { TransferMemory } from './transfer-memory.ts';

/** The limits on part sizes that scale with the files: those of Amazon S3, or smaller ones in models of long uploads. */
export type PartBytes = {
  /** Of every part but the last. */
  readonly smallest: number;
  /** Of the first parts of an upload of unknown length. */
  readonly first: number;
};

export type S3StorageOptions = {
  readonly client: GatewayS3Client;
  readonly memory: TransferMemory;
  readonly observe: Observe;
  /** Those of Amazon S3 by default. */
  readonly partBytes?: PartBytes | undefined;
};

/** Where an error happened: the bucket, and the multipart upload that it may leave behind. */
export type ErrorContext = {
  readonly bucket: string;
  readonly key?: string;
  readonly uploadId?: string;
};

export class S3Storage {
  readonly client: GatewayS3Client;
  readonly memory: TransferMemory;
  readonly observe: Observe;
  readonly partBytes: PartBytes | undefined;
  readonly directoryCache: DirectoryCache;
  readonly activeUploads = new ActiveUploads();
  readonly fileTimeCache = new FileTimeCache();
  /** Whether the server verifies the CRC32 of an object: it has named one in a response to PutObject. */
  verifiesCrc32 = false;

  constructor({ client, memory, observe, partBytes }: S3StorageOptions) {
    this.client = client;
    this.memory = memory;
    this.observe = observe;
    this.partBytes = partBytes;
    this.directoryCache = new DirectoryCache(client);
  }

  /**
   * Reports an error of S3 that concerns the operator (see `operatorErrorOf`); of a `FilesystemError` its cause. Returns
   * whether it did.
   */
  reportError(error: unknown, operation: string, { bucket, key, uploadId }: ErrorContext): boolean {
    const operatorError = operatorErrorOf(error);
    if (!operatorError) return false;
    this.observe({
      event: 'storage-error',
      operation,
      bucket,
      ...operatorError,
      ...(key !== undefined && { key }),
      ...(uploadId !== undefined && { uploadId }),
    });
    return true;
  }
}
