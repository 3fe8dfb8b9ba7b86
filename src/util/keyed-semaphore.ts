/** Limits how many pieces of work run at a time, for each key and in total. Each key's work waits in order of arrival. */
import { Semaphore } from './semaphore.ts';

export type KeyedLimits = { readonly perKey: number; readonly total: number };

export class KeyedSemaphore {
  readonly #perKey: number;
  readonly #total: Semaphore;
  /** Of the keys with work that runs or waits. */
  readonly #keys = new Map<string, { readonly semaphore: Semaphore; users: number }>();

  constructor({ perKey, total }: KeyedLimits) {
    this.#perKey = perKey;
    this.#total = new Semaphore(total);
  }

  /** Keys with work that runs or waits. */
  get size(): number {
    return this.#keys.size;
  }

  /**
   * Runs the work when its turn comes: first among the work of its key, so that one key takes no more than its own places in the
   * common queue. Rejects with the signal's reason where it aborts while waiting.
   */
  async run<Result>(key: string, signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
    const own = this.#keys.get(key) ?? { semaphore: new Semaphore(this.#perKey), users: 0 };
    this.#keys.set(key, own);
    own.users += 1;
    try {
      return await own.semaphore.run(signal, () => this.#total.run(signal, work));
    } finally {
      own.users -= 1;
      if (own.users === 0) this.#keys.delete(key);
    }
  }
}
