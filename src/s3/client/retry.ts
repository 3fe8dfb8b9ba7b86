/**
 * Patience with S3: requests that failed for a passing reason are sent again, for longer than the SDK would, because a
 * client's hour of uploading hangs on each of them. What a request sends must be the same each time.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { toFilesystemError } from './errors.ts';

export type RetryOptions = {
  /** Ends the waiting, and, handed to the request by the operation itself, the request. */
  readonly signal: AbortSignal;
  /** For the mapped error's message: `UploadPart`. */
  readonly operation: string;
  /** How long a fault may last, from the first failure on; then the last failure is thrown. */
  readonly retryTimeoutMs?: number | undefined;
};

/** A restart or a failover of S3 or of the network in front of it lasts seconds; a minute is an outage. */
export const defaultRetryTimeoutMs = 60_000;

const firstDelayMs = 100;
const maxDelayMs = 5_000;

/**
 * Runs the operation until it succeeds, fails for good, or has failed for longer than the patience.
 * @throws FilesystemError for what S3 answered; the signal's reason after it aborted; anything else as it is.
 */
export async function withRetries<Result>(
  run: () => Promise<Result>,
  { signal, operation, retryTimeoutMs: patienceMs = defaultRetryTimeoutMs }: RetryOptions,
): Promise<Result> {
  let giveUpAtMs: number | undefined;
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await run();
    } catch (error) {
      signal.throwIfAborted();
      const failure = toFilesystemError(error, operation);
      giveUpAtMs ??= Date.now() + patienceMs;
      if (!isTransient(failure) || Date.now() >= giveUpAtMs) throw failure;
      await pause(attempt, signal);
    }
  }
}

/** Whether the same request may succeed later. */
export function isTransient(failure: { readonly kind: string; readonly cause?: unknown }): boolean {
  return failure.kind === 'unavailable' && !isNoSuchUpload(failure.cause);
}

/** The multipart upload was completed, aborted or cleaned up: for this upload there is no later. */
export function isNoSuchUpload(error: unknown): boolean {
  return error instanceof Error && error.name === 'NoSuchUpload';
}

/** Grows with each attempt, and is random, so that transfers that failed together do not come back together. */
export function retryDelayMs(attempt: number): number {
  const ceilingMs = Math.min(maxDelayMs, firstDelayMs * 2 ** attempt);
  return ceilingMs * (0.5 + Math.random() / 2);
}

async function pause(attempt: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(retryDelayMs(attempt), undefined, { signal });
  } catch {
    signal.throwIfAborted();
  }
}
