/**
 * Watches every request to S3, each attempt of it: what fails, what is retried, and what gets no response. It decides nothing; an
 * observer makes events and metrics of it, and the call that a request belongs to is notified of the state of the storage.
 */
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { type StorageFailure, storageFailureOf, toFilesystemError } from './errors.ts';
import { withoutUndefined } from '../../util/without-undefined.ts';
import { isWithoutResponse, longOperations } from './response-timeouts.ts';
import { StorageCall } from './storage-call.ts';

/** What an attempt asks for, and of whom. */
export type RequestTarget = {
  /** As the Amazon S3 API Reference names it: `UploadPart`. */
  readonly operation: string;
  readonly bucket?: string | undefined;
  /** `https://host`; undefined before it is known. */
  readonly endpoint?: string | undefined;
};

/** An attempt that waits for S3. */
export type PendingRequest = RequestTarget & {
  readonly call: StorageCall | undefined;
  /** Since when S3 has taken and sent no byte (`performance.now()`); infinite while S3 waits for the gateway. */
  waitingSinceMs: number;
  isSlow: boolean;
};

export type FailedRequest = RequestTarget & StorageFailure & { readonly sessionId?: string | undefined };
export type SlowRequest = RequestTarget & {
  readonly sessionId?: string | undefined;
  readonly waitingMs: number;
};

/** Is notified of what happens to the requests of one client. Must not throw. */
export type RequestObserver = {
  /** A response began, whatever its status; the time is from the start of the attempt. */
  responded?(operation: string, seconds: number): void;
  /** S3 carried the request out, or its response concerns only the client, such as that there is no such object. */
  succeeded?(operation: string, bucket: string | undefined): void;
  /** An attempt failed. @param isRetried whether the same request may follow. */
  failed?(failure: FailedRequest, isRetried: boolean): void;
  /** A request is sent again after this failure. */
  retried?(failure: FailedRequest): void;
  /** An attempt has been waiting for a response for long. Called once for each. */
  slow?(request: SlowRequest): void;
};

export type MonitorOptions = {
  /** After how many milliseconds without a byte a request counts as slow. */
  readonly slowAfterMs: number;
};

const longOperationFactor = 6;

/** How often it looks for slow requests while any is in flight, as a fraction of `slowAfterMs`. */
const checksPerSlowTime = 5;

export class RequestMonitor {
  observer: RequestObserver = {};
  readonly #slowAfterMs: number;
  readonly #pending = new Set<PendingRequest>();
  /** By error, so that the code that reports it in the end can say where it happened. */
  readonly #failures = new WeakMap<object, FailedRequest>();
  /** Errors of which the observer knows that the request may follow again. */
  readonly #announced = new WeakSet();
  #timer: NodeJS.Timeout | undefined;

  constructor({ slowAfterMs }: MonitorOptions) {
    this.#slowAfterMs = slowAfterMs;
  }

  /** An attempt begins. @param atMs `performance.now()`. */
  begin(target: RequestTarget, atMs: number): PendingRequest {
    const { operation, bucket, endpoint } = target;
    const call = StorageCall.current;
    const request = { operation, bucket, endpoint, call, waitingSinceMs: atMs, isSlow: false };
    this.#pending.add(request);
    this.#timer ??= setInterval(() => this.#check(), this.#slowAfterMs / checksPerSlowTime).unref();
    return request;
  }

  /** The response of the attempt begins. */
  responded(request: PendingRequest, beganAtMs: number): void {
    request.waitingSinceMs = Number.POSITIVE_INFINITY;
    if (request.isSlow) request.call?.responded();
    request.isSlow = false;
    this.observer.responded?.(request.operation, (performance.now() - beganAtMs) / 1000);
  }

  /** The attempt is over, its response included. */
  end(request: PendingRequest): void {
    this.#pending.delete(request);
  }

  /** The request succeeded, in whichever attempt. */
  succeeded({ operation, bucket }: RequestTarget): void {
    StorageCall.current?.responded();
    this.observer.succeeded?.(operation, bucket);
  }

  /**
   * An attempt failed; the error of a defect is not counted. Does nothing for an error that it has seen already: it passes several
   * layers of retries.
   * @param isRetried whether the same request may follow.
   */
  failed(error: unknown, target: RequestTarget, isRetried: boolean): void {
    if (typeof error !== 'object' || error === null) return;
    const call = StorageCall.current;
    const known = this.#failures.get(error);
    if (known) {
      // The SDK resolves the endpoint and the credentials for another request than the one they are needed for.
      if (target.bucket !== undefined) Object.assign(known, withoutUndefined(target));
      if (isRetried && !this.#announced.has(error)) {
        this.#announced.add(error);
        this.observer.failed?.(known, true);
      }
      return;
    }
    const failure = storageFailureOf(error);
    if (!failure) {
      // S3 has responded, with what only concerns the client.
      if (toFilesystemError(error, target.operation) instanceof FilesystemError) {
        this.succeeded(target);
      }
      return;
    }
    const { operation, bucket, endpoint } = target;
    const failed = { operation, bucket, endpoint, ...failure, sessionId: call?.sessionId };
    this.#failures.set(error, failed);
    if (isRetried) this.#announced.add(error);
    if (call) reportTo(call, error, operation);
    this.observer.failed?.(failed, isRetried);
  }

  /** The request is sent again after this error. */
  retried(error: unknown): void {
    const failure = this.failureOf(error);
    if (failure) this.observer.retried?.(failure);
  }

  /** Where an error happened; undefined for one that was not seen here. */
  failureOf(error: unknown): FailedRequest | undefined {
    return typeof error === 'object' && error !== null ? this.#failures.get(error) : undefined;
  }

  /** Ends its timer. */
  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #check(): void {
    if (this.#pending.size === 0) {
      this.close();
      return;
    }
    const nowMs = performance.now();
    for (const request of this.#pending) {
      const { operation, bucket, endpoint, call } = request;
      const waitingMs = nowMs - request.waitingSinceMs;
      if (waitingMs < this.#slowTimeOf(operation)) continue;
      // Again while it lasts, because the call reports how long.
      call?.failed((failingMs) => noResponse(operation, failingMs), waitingMs);
      if (request.isSlow) continue;
      request.isSlow = true;
      this.observer.slow?.({ operation, bucket, endpoint, sessionId: call?.sessionId, waitingMs });
    }
  }

  #slowTimeOf(operation: string): number {
    return longOperations.has(operation) ? longOperationFactor * this.#slowAfterMs : this.#slowAfterMs;
  }
}

function reportTo(call: StorageCall, error: unknown, operation: string): void {
  const mapped = toFilesystemError(error, operation);
  if (!(mapped instanceof FilesystemError)) return;
  call.failed((failingMs) => (isWithoutResponse(error) ? noResponse(operation, failingMs) : mapped));
}

function noResponse(operation: string, failingMs: number): FilesystemError {
  const message = `${operation}: no response for ${Math.round(failingMs / 1000)} s`;
  return new FilesystemError('unavailable', message, { causeCode: 'STORAGE-NO-RESPONSE' });
}
