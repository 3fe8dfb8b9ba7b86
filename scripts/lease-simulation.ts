/** Simulates the passive ports of one slot for one client address as a queue. Pure and deterministic for a seed. */

export type LeaseLoad = {
  /** Transfers a second that start at the slot from this address, at random (Poisson). */
  readonly ratePerSecond: number;
  /** From the 227 or 229 reply until the client has connected. */
  readonly leaseMs: number;
  readonly ports: number;
  readonly seconds: number;
  /** How long PASV and EPSV wait for a port before 425. */
  readonly waitMs?: number;
  readonly seed?: number;
};

export type LeaseWaits = {
  readonly transfers: number;
  /** Share that got 425, 0 to 1. */
  readonly refused: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
};

/** First come, first served: each transfer takes the port that becomes free first, or fails after the wait. */
export function simulateLeases(load: LeaseLoad): LeaseWaits {
  const { ratePerSecond, leaseMs, ports, seconds, waitMs = 10_000, seed = 1 } = load;
  const random = generator(seed);
  const freeAt = new Float64Array(ports);
  const waits: number[] = [];
  let refused = 0;
  let now = 0;
  for (;;) {
    now += (-Math.log(1 - random()) / ratePerSecond) * 1000;
    if (now >= seconds * 1000) break;
    const soonest = Math.min(...freeAt);
    const wait = Math.max(0, soonest - now);
    if (wait > waitMs) {
      refused += 1;
      continue;
    }
    waits.push(wait);
    freeAt[freeAt.indexOf(soonest)] = now + wait + leaseMs;
  }
  waits.sort((one, other) => one - other);
  const transfers = waits.length + refused;
  return {
    transfers,
    refused: transfers === 0 ? 0 : refused / transfers,
    p50Ms: waits[Math.floor(waits.length * 0.5)] ?? 0,
    p99Ms: waits[Math.floor(waits.length * 0.99)] ?? 0,
  };
}

/** Mulberry32: small, fast, and good enough for arrivals. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
