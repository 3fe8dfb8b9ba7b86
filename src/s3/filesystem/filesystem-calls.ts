/** Runs the operations of one session as calls of the storage, and turns what they throw into what the filesystem's contract promises. */
import type { CallOptions } from '../../filesystem/filesystem.ts';
import { toFilesystemError } from '../client/errors.ts';
import { StorageCall } from '../client/storage-call.ts';
import type { S3Storage } from '../s3-storage.ts';
import { RenameFailure } from './rename.ts';

export class FilesystemCalls {
  readonly #storage: S3Storage;
  readonly #bucket: string;
  readonly #sessionId: string | undefined;

  /** @param sessionId for events about the storage. */
  constructor(storage: S3Storage, bucket: string, sessionId: string | undefined) {
    this.#storage = storage;
    this.#bucket = bucket;
    this.#sessionId = sessionId;
  }

  async run<Result>(operation: string, options: CallOptions, work: () => Promise<Result>): Promise<Result> {
    options.signal.throwIfAborted();
    const guarded = async (): Promise<Result> => {
      try {
        return await work();
      } catch (error) {
        throw this.failureOf(operation, error, options.signal);
      }
    };
    // Within a call it runs in the context of that already.
    return await (StorageCall.current ? guarded() : this.of(options).run(guarded));
  }

  /** The call that these options are of: the current one within a call, such as the lookups of an upload. */
  of({ onStorageFailure }: CallOptions): StorageCall {
    return StorageCall.current ?? new StorageCall({ sessionId: this.#sessionId, onStorageFailure });
  }

  /**
   * What is thrown to the caller: its own abort reason, a `FilesystemError`, or the unchanged error of a defect. Reports failures of
   * the storage.
   */
  failureOf(operation: string, error: unknown, signal: AbortSignal): unknown {
    if (signal.aborted) return signal.reason;
    if (error instanceof RenameFailure)
      return this.failureOf(`${operation}, ${error.message}`, error.cause, signal);
    this.#storage.reportError(error, operation, { bucket: this.#bucket });
    return toFilesystemError(error, operation);
  }
}
