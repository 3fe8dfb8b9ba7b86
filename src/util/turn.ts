/** Long work in turns of a few milliseconds, so that the event loop gets to others in between. */
import { setImmediate } from 'node:timers/promises';

/** How long one turn lasts, in milliseconds. */
const maxTurnMs = 5;

/** The current turn of one piece of work: `if (turn.isOver()) await turn.next();` after each of its steps. */
export class Turn {
  #endsAtMs = performance.now() + maxTurnMs;

  isOver(): boolean {
    return performance.now() >= this.#endsAtMs;
  }

  /** Resolves when the event loop has run what was waiting. */
  async next(): Promise<void> {
    await setImmediate();
    this.#endsAtMs = performance.now() + maxTurnMs;
  }
}

/** The items for which the predicate holds, like `Array.filter`, in turns. */
export async function filterInTurns<Item>(
  items: readonly Item[],
  predicate: (item: Item) => boolean,
): Promise<Item[]> {
  const found: Item[] = [];
  const turn = new Turn();
  for (const item of items) {
    if (predicate(item)) found.push(item);
    if (turn.isOver()) await turn.next();
  }
  return found;
}
