/**
 * The state of the storage as the requests of this process show it, by bucket and operation: what succeeds, and what has been
 * failing since when. Reports the first failures of each cause immediately, while they are still being retried.
 */
import type { Observe } from '../observability/event.ts';
import { BoundedMap } from '../util/bounded-map.ts';
import { withoutUndefined } from '../util/without-undefined.ts';
import type { FailedRequest, RequestObserver, SlowRequest } from './client/request-monitor.ts';
import type { StorageCause } from './client/storage-cause.ts';

/** An operation that fails. */
export type FailingOperation = {
  readonly operation: string;
  readonly bucket?: string;
  readonly endpoint?: string;
  readonly cause: StorageCause;
  readonly errorName: string;
  /** Of the first failure since the last success, as `Date.now()`. */
  readonly sinceMs: number;
  readonly failures: number;
};

type Failing = { readonly shown: FailingOperation; readonly lastMs: number };

type Throttle = { lineAtMs: number; count: number; write: (count: number) => void };

export type StorageHealthOptions = {
  readonly observe: Observe;
  /** For the histogram of response times. */
  readonly responded?: ((operation: string, seconds: number) => void) | undefined;
  /** The clock; `Date.now` by default. */
  readonly nowMs?: () => number;
};

/** At most one line for each cause in this time. */
const lineIntervalMs = 10_000;

/** An operation that failed this long ago, and has not been requested since, says nothing about the present state. */
const forgottenAfterMs = 300_000;

/** Failures that a retry cured sooner are no outage, and their end is not worth a line. */
const minOutageMs = 5_000;

/** Buckets come from the configuration and the users; this bounds what a very long list of users takes. */
const maxFailing = 1_000;

export class StorageHealth implements RequestObserver {
  readonly #observe: Observe;
  readonly #nowMs: () => number;
  readonly #failing = new BoundedMap<string, Failing>(maxFailing);
  readonly #lines = new Map<string, Throttle>();
  readonly responded: (operation: string, seconds: number) => void;

  constructor({ observe, responded = () => undefined, nowMs = Date.now }: StorageHealthOptions) {
    this.#observe = observe;
    this.#nowMs = nowMs;
    this.responded = responded;
  }

  /** The operations that fail now, the oldest failure first; empty while all is well. */
  get failing(): readonly FailingOperation[] {
    const nowMs = this.#nowMs();
    return [...this.#failing.values()]
      .filter(({ lastMs }) => nowMs - lastMs < forgottenAfterMs)
      .map(({ shown }) => shown)
      .sort((one, other) => one.sinceMs - other.sinceMs);
  }

  succeeded(operation: string, bucket: string | undefined): void {
    // The path of every request while nothing fails.
    if (this.#failing.size === 0) return;
    const key = keyOf(operation, bucket);
    const failing = this.#failing.get(key)?.shown;
    if (!failing) return;
    this.#failing.delete(key);
    const failingMs = this.#nowMs() - failing.sinceMs;
    if (failingMs < minOutageMs) return;
    const { cause, failures } = failing;
    const target = bucket === undefined ? { operation } : { operation, bucket };
    this.#observe({ event: 'storage-recovered', ...target, cause, failingMs, failures });
  }

  failed(failure: FailedRequest, isRetried: boolean): void {
    this.#note(failure);
    if (!isRetried) return;
    this.#writeLine(failure.cause, failure.sessionId, (failures) =>
      this.#observe({ event: 'storage-error', retrying: true, ...withoutUndefined(failure), failures }),
    );
  }

  retried(failure: FailedRequest): void {
    this.#observe({ event: 'storage-retry', ...withoutUndefined(failure) });
  }

  slow(request: SlowRequest): void {
    const cause = 'STORAGE-NO-RESPONSE';
    const { waitingMs, ...target } = request;
    this.#note({ ...target, cause, errorName: 'NoResponse' });
    this.#writeLine('slow', request.sessionId, (requests) =>
      this.#observe({
        event: 'storage-slow',
        ...withoutUndefined(target),
        cause,
        waitingMs: Math.round(waitingMs),
        requests,
      }),
    );
  }

  #note({ operation, bucket, endpoint, cause, errorName }: FailedRequest): void {
    const nowMs = this.#nowMs();
    const key = keyOf(operation, bucket);
    const known = this.#failing.get(key);
    const isCurrent = known !== undefined && nowMs - known.lastMs < forgottenAfterMs;
    const shown = {
      operation,
      ...(bucket !== undefined && { bucket }),
      ...(endpoint !== undefined && { endpoint }),
      cause,
      errorName,
      sinceMs: isCurrent ? known.shown.sinceMs : nowMs,
      failures: (isCurrent ? known.shown.failures : 0) + 1,
    };
    this.#failing.set(key, { shown, lastMs: nowMs });
  }

  /**
   * Writes a line at once, or, where the last one of its kind is younger than `lineIntervalMs`, the last of those that came meanwhile
   * when it is that old. Requests of the gateway itself have lines of their own, so that they do not hide those of sessions.
   */
  #writeLine(kind: string, sessionId: string | undefined, write: (count: number) => void): void {
    const key = sessionId === undefined ? `${kind} of the gateway` : kind;
    const nowMs = this.#nowMs();
    const throttle = this.#lines.get(key);
    const leftMs = throttle === undefined ? 0 : throttle.lineAtMs + lineIntervalMs - nowMs;
    if (!throttle || leftMs <= 0) {
      this.#lines.set(key, { lineAtMs: nowMs, count: 0, write });
      write((throttle?.count ?? 0) + 1);
      return;
    }
    throttle.count++;
    throttle.write = write;
    if (throttle.count === 1) setTimeout(() => this.#writeLast(key, throttle), leftMs).unref();
  }

  #writeLast(key: string, throttle: Throttle): void {
    // Another line came first, and has counted these.
    if (this.#lines.get(key) !== throttle) return;
    this.#lines.set(key, { ...throttle, lineAtMs: this.#nowMs(), count: 0 });
    throttle.write(throttle.count);
  }
}

function keyOf(operation: string, bucket = ''): string {
  return `${operation} ${bucket}`;
}
