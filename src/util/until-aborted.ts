/**
 * Settles as the work does, but rejects with the signal's reason as soon as the signal aborts. The work itself continues: this
 * is for work that cannot be cancelled, or that others wait for as well.
 */
export function untilAborted<Value>(work: Promise<Value>, signal: AbortSignal | undefined): Promise<Value> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    let isSettled = false;
    let isListening = false;
    const leave = (): void => reject(signal.reason as Error);
    if (signal.aborted) leave();
    const settle = (): void => {
      isSettled = true;
      if (isListening) signal.removeEventListener('abort', leave);
    };
    work.then(settle, settle);
    work.then(resolve, reject);
    // Most work that is waited for here is done already, and a listener costs several times as much as the wait.
    process.nextTick(() => {
      if (isSettled) return;
      if (signal.aborted) {
        leave();
        return;
      }
      isListening = true;
      signal.addEventListener('abort', leave, { once: true });
    });
  });
}
