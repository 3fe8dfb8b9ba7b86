/** Limits how many pieces of work run at a time; the others wait in order of arrival. */
export class Semaphore {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(maxConcurrent: number) {
    this.#free = maxConcurrent;
  }

  /** Runs the work when its turn comes. Rejects with the signal's reason where it aborts while waiting. */
  async run<Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
    await this.#turn(signal);
    try {
      return await work();
    } finally {
      const [next] = this.#waiting;
      if (next === undefined) this.#free += 1;
      else next();
    }
  }

  #turn(signal: AbortSignal): Promise<void> | undefined {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      return undefined;
    }
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const start = (): void => {
      this.#waiting.delete(start);
      signal.removeEventListener('abort', giveUp);
      resolve(undefined);
    };
    const giveUp = (): void => {
      this.#waiting.delete(start);
      reject(signal.reason as Error);
    };
    this.#waiting.add(start);
    signal.addEventListener('abort', giveUp, { once: true });
    return promise;
  }
}
