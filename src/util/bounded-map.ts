/**
 * A map of bounded size: a new entry beyond the limit evicts the one that was set longest ago. 30 lines instead of the package
 * lru-cache, because no cache here needs more than that: no lifetimes, no sizes per entry, no fetching.
 */
export class BoundedMap<Key, Value> {
  readonly #maxEntries: number;
  readonly #entries = new Map<Key, Value>();

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries;
  }

  get size(): number {
    return this.#entries.size;
  }

  has(key: Key): boolean {
    return this.#entries.has(key);
  }

  /** Does not change the order of eviction. */
  get(key: Key): Value | undefined {
    return this.#entries.get(key);
  }

  /** From the oldest entry to the newest. */
  values(): IterableIterator<Value> {
    return this.#entries.values();
  }

  /** Makes the entry the newest one. */
  set(key: Key, value: Value): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#maxEntries) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }

  delete(key: Key): void {
    this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
  }

  /** Oldest first. Entries may be deleted while the keys are iterated. */
  keys(): Iterable<Key> {
    return this.#entries.keys();
  }
}
