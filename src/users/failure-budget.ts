/**
 * The CPU time that wrong passwords may take: a burst, and then a share of one core. Right passwords are not charged, so many partners
 * who log in at the same time are checked as fast as the machine can. Pure.
 */

export type FailureBudgetOptions = {
  readonly burstMs: number;
  /** Of one core, between 0 and 1. */
  readonly share: number;
};

export class FailureBudget {
  readonly #options: FailureBudgetOptions;
  #leftMs: number;
  #countedAtMs: number;

  constructor(options: FailureBudgetOptions, nowMs: number) {
    this.#options = options;
    this.#leftMs = options.burstMs;
    this.#countedAtMs = nowMs;
  }

  spend(costMs: number, nowMs: number): void {
    this.#refill(nowMs);
    this.#leftMs -= costMs;
  }

  /** How long until something is left, in milliseconds; 0 for now. */
  emptyForMs(nowMs: number): number {
    this.#refill(nowMs);
    return this.#leftMs > 0 ? 0 : -this.#leftMs / this.#options.share + 1;
  }

  #refill(nowMs: number): void {
    const { burstMs, share } = this.#options;
    this.#leftMs = Math.min(burstMs, this.#leftMs + (nowMs - this.#countedAtMs) * share);
    this.#countedAtMs = nowMs;
  }
}
