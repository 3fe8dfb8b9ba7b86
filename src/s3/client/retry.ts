/**
 * Retries transient failures of S3 for longer than the SDK does, because hours of a client's upload can depend on one request.
 * A request must send the same bytes in each attempt.
 *
 * Two retry policies multiply: each attempt here is up to three requests of the SDK's adaptive strategy (`s3-client.ts`), which slows
 * all requests down when S3 says SlowDown and gives up within seconds; without a response it is one request or two
 * (`response-timeouts.ts`). The timeout counts from when S3 began to fail or to be silent, and is checked between attempts.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { isNoSuchUpload, toFilesystemError } from './errors.ts';
import type { RequestMonitor } from './request-monitor.ts';
import { StorageCall } from './storage-call.ts';

export type RetryOptions = {
  /** Ends the retries. The operation itself passes it to its request. */
  readonly signal: AbortSignal;
  /** For the mapped error's message: `UploadPart`. */
  readonly operation: string;
  readonly client: RetryingClient;
  /**
   * How long an operation may keep failing, in milliseconds from its first failure on; that of the client by default. It ends earlier
   * where no request of the same call has succeeded for the time of the client.
   */
  readonly retryTimeoutMs?: number;
  /** The same where S3 refuses the gateway itself (kind `misconfigured`); some seconds by default. */
  readonly refusedTimeoutMs?: number;
};

/** What the retries need of the client. */
export type RetryingClient = { readonly retryTimeoutMs: number; readonly monitor: RequestMonitor };

const firstDelayMs = 100;
const maxDelayMs = 5_000;

/**
 * A new key or role, or a new permission, takes effect after some seconds (AWS IAM User Guide, "Changes that I make are not always
 * immediately visible"), and so do rotated credentials. More would only keep the client waiting.
 */
export const refusedTimeoutMs = 3_000;

/**
 * Runs the operation until it succeeds, fails permanently, or has been failing for `retryTimeoutMs`. A `FilesystemError` that it
 * throws is a decision and permanent; errors of S3 are retried if they are transient.
 * @throws FilesystemError for errors of S3; the signal's reason after it aborted; any other error unchanged.
 */
export async function withRetries<Result>(
  run: () => Promise<Result>,
  options: RetryOptions,
): Promise<Result> {
  options.signal.throwIfAborted();
  const beganAtMs = performance.now();
  try {
    return await run();
  } catch (error) {
    return await retryAfter(error, run, options, beganAtMs);
  }
}

/**
 * The same for an operation whose first attempt the caller has made itself, and which failed with `error`.
 * @param beganAtMs when that attempt began (`performance.now()`); its silence counts, too, where this is given.
 */
export async function retryAfter<Result>(
  error: unknown,
  run: () => Promise<Result>,
  options: RetryOptions,
  beganAtMs = performance.now(),
): Promise<Result> {
  const { signal, operation, client } = options;
  const failedAtMs = performance.now();
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    if (error instanceof FilesystemError) throw error;
    const failure = toFilesystemError(error, operation);
    if (!isTransient(failure)) throw failure;
    const nowMs = performance.now();
    const silentMs = Math.min(StorageCall.current?.failingMs ?? 0, nowMs - beganAtMs);
    const leftMs = Math.min(
      timeoutOf(failure, options) - (nowMs - failedAtMs),
      client.retryTimeoutMs - silentMs,
    );
    if (leftMs <= 0) throw withDuration(failure, Math.max(silentMs, nowMs - failedAtMs));
    client.monitor.failed(error, { operation }, true);
    await pause(attempt, leftMs, signal);
    client.monitor.retried(error);
    try {
      return await run();
    } catch (caught) {
      error = caught;
    }
  }
}

/** The failure, with the time for which it has lasted in its message. */
function withDuration({ kind, message, cause, causeCode }: FilesystemError, ms: number): FilesystemError {
  return new FilesystemError(kind, `${message}, for ${Math.round(ms / 1000)} s`, { cause, causeCode });
}

function timeoutOf({ kind }: FilesystemError, { client, ...options }: RetryOptions): number {
  const { retryTimeoutMs = client.retryTimeoutMs } = options;
  if (kind !== 'misconfigured') return retryTimeoutMs;
  return Math.min(retryTimeoutMs, options.refusedTimeoutMs ?? refusedTimeoutMs);
}

/** Whether the same request may succeed later: what only an operator can correct may be corrected at this moment. */
function isTransient(failure: unknown): failure is FilesystemError {
  if (!(failure instanceof FilesystemError)) return false;
  return failure.kind === 'misconfigured' || (failure.kind === 'unavailable' && !isNoSuchUpload(failure));
}

// Exponential backoff with jitter, so that transfers that failed together do not retry together.
async function pause(attempt: number, leftMs: number, signal: AbortSignal): Promise<void> {
  const ceilingMs = Math.min(maxDelayMs, firstDelayMs * 2 ** attempt);
  // The last attempt is at the end of the time that is left.
  const delayMs = Math.min(leftMs, ceilingMs * (0.5 + Math.random() / 2));
  try {
    await delay(delayMs, undefined, { signal });
  } catch {
    signal.throwIfAborted();
  }
}
