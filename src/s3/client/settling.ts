/**
 * What a transfer leaves to be settled with S3 when it is over: an upload id that is still to come, an upload to abort, a
 * commit without an answer. It may take longer than the client should wait for its reply, and it ends with the process.
 */
import { setMaxListeners } from 'node:events';

/**
 * How long requests may go on, in milliseconds, to settle a transfer that was aborted. Longer than parts in flight get to
 * arrive, so that whoever continues an upload finds them all.
 */
export const settleMs = 15_000;

export class Settling {
  readonly #underWay = new Set<Promise<void>>();
  readonly #deadline = new AbortController();

  constructor() {
    // One listener for each upload that is being committed or discarded.
    setMaxListeners(0, this.#deadline.signal);
  }

  /** Aborted when the process cannot wait for S3 any longer. */
  get deadline(): AbortSignal {
    return this.#deadline.signal;
  }

  /** Gives up everything that is still to be settled, now and later. */
  giveUp(): void {
    this.#deadline.abort(new Error('the gateway is stopping'));
  }

  /** Resolves when the work is done, or earlier, when the client should not wait for it any longer. `work` never rejects. */
  async settle(work: Promise<void>): Promise<void> {
    const settled = work.finally(() => this.#underWay.delete(settled));
    this.#underWay.add(settled);
    let timer: NodeJS.Timeout | undefined;
    const waited = new Promise<void>((resolve) => (timer = setTimeout(resolve, settleMs)));
    await Promise.race([settled, waited]);
    clearTimeout(timer);
  }

  /** Resolves when nothing is left to be settled. */
  async done(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  /**
   * A signal for requests that the transfer's abort must not cancel at once: aborts `settleMs` after the transfer's signal,
   * or with the process. Call `release` when the requests are over.
   */
  after(transfer: AbortSignal): { readonly signal: AbortSignal; release(): void } {
    const controller = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const onDeadline = (): void => controller.abort(this.deadline.reason);
    const onAbort = (): void => {
      timer = setTimeout(() => controller.abort(transfer.reason), settleMs);
    };
    this.deadline.addEventListener('abort', onDeadline, { once: true });
    transfer.addEventListener('abort', onAbort, { once: true });
    if (this.deadline.aborted) onDeadline();
    if (transfer.aborted) onAbort();
    return {
      signal: controller.signal,
      release: () => {
        clearTimeout(timer);
        this.deadline.removeEventListener('abort', onDeadline);
        transfer.removeEventListener('abort', onAbort);
      },
    };
  }
}
