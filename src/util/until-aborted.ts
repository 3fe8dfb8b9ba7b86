/**
 * Waits for the work no longer than the signal lets it, and rejects with the signal's reason then. The work itself goes on:
 * this is for work that cannot be ended, or that others wait for as well.
 */
export function untilAborted<Value>(work: Promise<Value>, signal: AbortSignal | undefined): Promise<Value> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });
}
