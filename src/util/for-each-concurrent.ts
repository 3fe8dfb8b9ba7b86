/** Bounded parallelism over a stream of items, with an end that can be relied on: nothing is in flight afterwards. */

/**
 * Calls `work` for every item, at most `limit` at a time. After the first failure, or when the signal aborts, no further
 * item is begun; what is in flight settles, and then the first failure (or the signal's reason) is thrown.
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

  // A function, because the assignment happens in a callback that the compiler does not follow.
  function hasFailed(): boolean {
    return failure !== undefined;
  }
}
