/** A queue of work with one line for each source, so that a source with much work does not keep others waiting. Pure. */

export class FairQueue<Item> {
  /** By source, in the order of their turns. */
  readonly #lines = new Map<string, Set<Item>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  sizeOf(source: string): number {
    return this.#lines.get(source)?.size ?? 0;
  }

  add(source: string, item: Item): void {
    const line = this.#lines.get(source) ?? new Set();
    line.add(item);
    this.#lines.set(source, line);
    this.#size += 1;
  }

  /** Returns false where the item does not wait. */
  delete(source: string, item: Item): boolean {
    const line = this.#lines.get(source);
    if (line?.delete(item) !== true) return false;
    if (line.size === 0) this.#lines.delete(source);
    this.#size -= 1;
    return true;
  }

  /**
   * Takes the item of the lowest rank; of several, the first one of the source whose turn it is. Items without a rank stay. Each
   * call looks at all items, so the queue has to be bounded by its user.
   */
  take(rank: (item: Item) => number | undefined): Item | undefined {
    let best: { readonly source: string; readonly item: Item; readonly rank: number } | undefined;
    for (const [source, line] of this.#lines) {
      for (const item of line) {
        const itsRank = rank(item);
        if (itsRank !== undefined && (best === undefined || itsRank < best.rank)) {
          best = { source, item, rank: itsRank };
        }
      }
    }
    if (best === undefined) return undefined;
    const { source, item } = best;
    this.delete(source, item);
    const line = this.#lines.get(source);
    if (line !== undefined) {
      this.#lines.delete(source);
      this.#lines.set(source, line);
    }
    return item;
  }

  /** Items may be deleted while they are iterated. */
  *[Symbol.iterator](): Generator<Item> {
    for (const line of this.#lines.values()) yield* line;
  }

  /** The newest item of the source with the most items; of several sources, the one whose turn was last. */
  get last(): Item | undefined {
    let longest: Set<Item> | undefined;
    for (const line of this.#lines.values()) if (line.size >= (longest?.size ?? 0)) longest = line;
    return longest === undefined ? undefined : [...longest].at(-1);
  }
}
