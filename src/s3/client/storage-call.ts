/**
 * The owner of requests: one call of a filesystem, with its session and the state of the storage as the call sees it. Requests
 * find it in the asynchronous context, so that it need not be passed through every function between the call and its requests.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { StorageCause } from './storage-cause.ts';

/**
 * Called with the failure when a request fails and may be retried, or gets no response for long; with undefined when the storage
 * responds again.
 */
export type OnStorageFailure = (failure: FilesystemError | undefined) => void;

export type StorageCallOptions = {
  readonly sessionId?: string | undefined;
  readonly onStorageFailure?: OnStorageFailure | undefined;
};

const context = new AsyncLocalStorage<StorageCall>();

export class StorageCall {
  readonly sessionId: string | undefined;
  readonly #onStorageFailure: OnStorageFailure | undefined;
  readonly #reported = new Set<StorageCause>();
  /** `performance.now()` */
  #failingSinceMs: number | undefined;

  constructor({ sessionId, onStorageFailure }: StorageCallOptions) {
    this.sessionId = sessionId;
    this.#onStorageFailure = onStorageFailure;
  }

  /** The call that the current function serves; undefined for requests of the gateway itself, such as the sweep at start. */
  static get current(): StorageCall | undefined {
    return context.getStore();
  }

  /** Runs the function, and all that it starts, as part of this call. */
  run<Result>(work: () => Result): Result {
    return context.run(this, work);
  }

  /**
   * A request of this call has failed, or gets no response.
   * @param failureAfter the failure, from the milliseconds since which no request of this call has succeeded.
   * @param waitingMs for how long the request has been getting no response.
   */
  failed(failureAfter: (failingMs: number) => FilesystemError, waitingMs = 0): void {
    this.#failingSinceMs ??= performance.now() - waitingMs;
    this.#onStorageFailure?.(failureAfter(this.failingMs));
  }

  /** Since when requests of this call have failed or got no response; 0 while they succeed. */
  get failingMs(): number {
    return this.#failingSinceMs === undefined ? 0 : performance.now() - this.#failingSinceMs;
  }

  /** The storage has responded to a request of this call. */
  responded(): void {
    if (this.#failingSinceMs === undefined) return;
    this.#failingSinceMs = undefined;
    this.#onStorageFailure?.(undefined);
  }

  /** Whether this is the first failure of that cause: several requests of one call fail for one reason. */
  isFirst(cause: StorageCause): boolean {
    if (this.#reported.has(cause)) return false;
    this.#reported.add(cause);
    return true;
  }
}

/**
 * A function that runs others as part of the current call, later and from anywhere: bytes of a transfer arrive in events of
 * sockets, which belong to no call.
 */
export function inCurrentCall(): <Result>(work: () => Result) => Result {
  const call = StorageCall.current;
  return (work) => (call ? call.run(work) : work());
}
