/** Work on many items that leaves the event loop to others now and then. */
import { setImmediate } from 'node:timers/promises';

/** How long one call works before the event loop gets a turn, in milliseconds. */
const maxTurnMs = 5;

/** The items for which the predicate holds, like `Array.filter`, in turns of a few milliseconds. */
export async function filterInTurns<Item>(
  items: readonly Item[],
  predicate: (item: Item) => boolean,
): Promise<Item[]> {
  const found: Item[] = [];
  let turnEndsAtMs = performance.now() + maxTurnMs;
  for (const item of items) {
    if (predicate(item)) found.push(item);
    if (performance.now() < turnEndsAtMs) continue;
    await setImmediate();
    turnEndsAtMs = performance.now() + maxTurnMs;
  }
  return found;
}
