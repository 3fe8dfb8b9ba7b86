/** Sessions that have more commands than fit into one turn of the event loop take turns, so that none keeps others waiting. */

/** How long the sessions that wait may take of one turn of the event loop together, in milliseconds. */
const maxTurnMs = 5;

const waiting: (() => void)[] = [];
let isScheduled = false;

/** How long a session may execute commands at a time, in milliseconds: less where others wait. */
export function sliceMs(): number {
  return waiting.length > 0 ? 1 : maxTurnMs;
}

/** Calls the function in a later turn of the event loop, after those that wait already. */
export function takeTurn(run: () => void): void {
  waiting.push(run);
  schedule();
}

function schedule(): void {
  if (isScheduled || waiting.length === 0) return;
  isScheduled = true;
  setImmediate(runWaiting);
}

function runWaiting(): void {
  isScheduled = false;
  const endsAtMs = performance.now() + maxTurnMs;
  try {
    // Those that are added meanwhile have had their turn.
    for (let left = waiting.length; left > 0; left--) {
      waiting.shift()?.();
      if (performance.now() >= endsAtMs) break;
    }
  } finally {
    schedule();
  }
}
