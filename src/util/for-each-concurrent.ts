/**
 * Calls `work` for every item, at most `limit` at a time. After the first failure, or when the signal aborts, it starts no
 * further item. It settles only when nothing is in flight any more, and then rejects with the first failure or the signal's
 * reason.
 */
export async function forEachConcurrent<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  limit: number,
  work: (item: Item) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const inFlight = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    failure ??= { error };
  };
  try {
    for await (const item of items) {
      signal?.throwIfAborted();
      const running = work(item)
        .catch(fail)
        .finally(() => inFlight.delete(running));
      inFlight.add(running);
      if (inFlight.size >= limit) await Promise.race(inFlight);
      if (hasFailed()) break;
    }
  } catch (error) {
    fail(error);
  }
  await Promise.all(inFlight);
  if (failure) throw failure.error;

  // A function, because the compiler does not see that a callback assigns the variable.
  function hasFailed(): boolean {
    return failure !== undefined;
  }
}
