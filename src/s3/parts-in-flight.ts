/**
 * The parts of an upload that are on their way to S3: a bounded number at once, their memory given back when S3 has
 * confirmed them. The first failure ends them all, and nothing is in flight after `settled`.
 */

/** Enough for some 300 MB/s at S3's 85 to 90 MB/s a request (Amazon S3, "Performance design patterns"). */
export const mostPartsInFlight = 4;

export class PartsInFlight {
  readonly #inFlight = new Set<Promise<void>>();
  readonly #onFailure: (error: unknown) => void;

  /** @param onFailure called for every part that failed, before its memory is given back. */
  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** Starts sending. `release` is called when it has ended, however it did. */
  start(send: () => Promise<void>, release: () => void): void {
    const sending: Promise<void> = send()
      .catch(this.#onFailure)
      .then(() => {
        this.#inFlight.delete(sending);
        release();
      });
    this.#inFlight.add(sending);
  }

  get isFull(): boolean {
    return this.#inFlight.size >= mostPartsInFlight;
  }

  /** Resolves when one more may start. Never rejects. */
  async room(): Promise<void> {
    while (this.isFull) await Promise.race(this.#inFlight);
  }

  /** Resolves when nothing is in flight. Never rejects. */
  async settled(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.all(this.#inFlight);
  }
}
