/** Admits a limited number of events of each key in each window of time, and counts the rest. */
import { BoundedMap } from './bounded-map.ts';

export type RateLimiterOptions = { readonly maxPerWindow: number; readonly windowMs: number };

/** With more keys the oldest is dropped, and its next event admitted. */
const maxKeys = 10_000;

type Window = { readonly endsAtMs: number; admitted: number; suppressed: number };

export class RateLimiter {
  readonly #options: RateLimiterOptions;
  readonly #windows = new BoundedMap<string, Window>(maxKeys);

  constructor(options: RateLimiterOptions) {
    this.#options = options;
  }

  /** The number of events of this key that were not admitted since the last one that was; undefined for one more of them. */
  admit(key: string): number | undefined {
    const nowMs = performance.now();
    const last = this.#windows.get(key);
    if (last === undefined || last.endsAtMs <= nowMs) {
      const { windowMs } = this.#options;
      this.#windows.set(key, { endsAtMs: nowMs + windowMs, admitted: 1, suppressed: 0 });
      return last?.suppressed ?? 0;
    }
    if (last.admitted < this.#options.maxPerWindow) {
      last.admitted += 1;
      return 0;
    }
    last.suppressed += 1;
    return undefined;
  }
}
