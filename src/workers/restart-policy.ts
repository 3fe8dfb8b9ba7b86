/** When a worker process that has ended is started again. Pure. */

/** A worker that ran for this long ended for a reason of its own: the next delay is the first one again. */
const stableMs = 60_000;
const firstDelayMs = 250;
const maxDelayMs = 8_000;
/** Ends in a row, each before `stableMs`, after which restarts are pointless. */
export const maxShortRuns = 6;

/** Counts the short runs of one worker. */
export class RestartPolicy {
  #shortRuns = 0;

  /** The delay until the restart in milliseconds, after a run of `ranMs`; undefined if the worker crashes in a loop. */
  delayAfter(ranMs: number): number | undefined {
    this.#shortRuns = ranMs >= stableMs ? 1 : this.#shortRuns + 1;
    if (this.#shortRuns >= maxShortRuns) return undefined;
    return Math.min(firstDelayMs * 2 ** (this.#shortRuns - 1), maxDelayMs);
  }
}
