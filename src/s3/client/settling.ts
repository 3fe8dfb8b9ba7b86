/**
 * Requests that are still needed after a transfer has ended: one whose upload id has not arrived yet, the abort of an upload, a
 * commit without a response. They may take longer than a client should wait for its reply, and they end with the process.
 */
import { setMaxListeners } from 'node:events';

/**
 * How long requests that settle an aborted transfer may take, in milliseconds. Longer than parts in flight have to arrive
 * (`arrivalMs` in `part-uploader.ts`), so that a session that resumes the upload finds them all.
 */
export const settleMs = 15_000;

/** The requests of all transfers that have ended and are not settled yet. */
export class Settling {
  readonly #remaining = new Set<Promise<void>>();
  readonly #deadline = new AbortController();
  /** Those of `graceSignal` that are not released: a set, because a listener on the deadline costs several times as much. */
  readonly #graces = new Set<AbortController>();

  constructor() {
    // One listener for each upload that is being discarded.
    setMaxListeners(0, this.#deadline.signal);
  }

  /** Aborts when the process cannot wait for S3 any longer (`giveUp`). */
  get deadline(): AbortSignal {
    return this.#deadline.signal;
  }

  /** Cancels all remaining work, current and future. */
  giveUp(): void {
    this.#deadline.abort(new Error('the gateway is stopping'));
    for (const grace of this.#graces) grace.abort(this.deadline.reason);
  }

  /** Resolves when the work is done, or after `settleMs`, so that the client need not wait longer. `work` never rejects. */
  async settle(work: Promise<void>): Promise<void> {
    const settled = work.finally(() => this.#remaining.delete(settled));
    this.#remaining.add(settled);
    let timer: NodeJS.Timeout | undefined;
    const waited = new Promise<void>((resolve) => (timer = setTimeout(resolve, settleMs)));
    await Promise.race([settled, waited]);
    clearTimeout(timer);
  }

  /** Resolves when no work remains. */
  async done(): Promise<void> {
    while (this.#remaining.size > 0) await Promise.all(this.#remaining);
  }

  /**
   * A signal for requests that the transfer's abort must not cancel immediately: aborts `settleMs` after the transfer's signal, or
   * with the process. Call `release` when the requests are over.
   */
  graceSignal(transfer: AbortSignal): { readonly signal: AbortSignal; release(): void } {
    const controller = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const onAbort = (): void => {
      timer = setTimeout(() => controller.abort(transfer.reason), settleMs);
    };
    this.#graces.add(controller);
    transfer.addEventListener('abort', onAbort, { once: true });
    if (this.deadline.aborted) controller.abort(this.deadline.reason);
    if (transfer.aborted) onAbort();
    return {
      signal: controller.signal,
      release: () => {
        clearTimeout(timer);
        this.#graces.delete(controller);
        transfer.removeEventListener('abort', onAbort);
      },
    };
  }
}
