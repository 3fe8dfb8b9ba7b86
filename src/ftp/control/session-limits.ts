/** Limits the number of sessions: in total, for each client address, for each user. Several processes can share the limits. */

export type SessionLimits = {
  readonly maxSessions: number;
  readonly maxSessionsPerAddress: number;
  readonly maxSessionsPerUser: number;
};

/** What is counted: all sessions, those of an address, those of a user, and those of an address that have no login. */
export type SessionCount = 'all' | 'address' | 'user' | 'unauthenticated';

/** Counts over several processes. */
export type SharedSessionCounts = {
  /**
   * Counts one more. `exceeded` is called, some time later, if it is one too many over all processes; then it is not counted.
   * Returns the function that stops counting it.
   */
  claim(count: SessionCount, key: string, exceeded: () => void): () => void;
};

/** Counts by key, up to a limit. Keys with a count of zero are removed. */
class KeyedLimit {
  readonly #limit: number;
  readonly #kind: SessionCount;
  readonly #shared: SharedSessionCounts | undefined;
  readonly #counts = new Map<string, number>();

  constructor(kind: SessionCount, limit: number, shared: SharedSessionCounts | undefined) {
    this.#kind = kind;
    this.#limit = limit;
    this.#shared = shared;
  }

  isReached(key: string): boolean {
    return (this.#counts.get(key) ?? 0) >= this.#limit;
  }

  /**
   * Returns the function that releases the claim; undefined, and counts nothing, where the key has reached the limit. Where
   * processes share the limit, `exceeded` is called later if they have reached it together.
   */
  acquire(key: string, exceeded: () => void): (() => void) | undefined {
    if (this.isReached(key)) return undefined;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    const releaseShared = this.#shared?.claim(this.#kind, key, exceeded);
    return () => {
      releaseShared?.();
      const count = this.#counts.get(key) ?? 0;
      if (count <= 1) this.#counts.delete(key);
      else this.#counts.set(key, count - 1);
    };
  }
}

/** The one key of the count of all sessions. */
const everything = '';

/** Counts the sessions of one gateway. */
export class SessionLimiter {
  readonly addresses: KeyedLimit;
  readonly users: KeyedLimit;
  readonly #all: KeyedLimit;

  constructor(limits: SessionLimits, shared?: SharedSessionCounts) {
    this.#all = new KeyedLimit('all', limits.maxSessions, shared);
    this.addresses = new KeyedLimit('address', limits.maxSessionsPerAddress, shared);
    this.users = new KeyedLimit('user', limits.maxSessionsPerUser, shared);
  }

  get isFull(): boolean {
    return this.#all.isReached(everything);
  }

  /**
   * Counts a connection, from the moment it is accepted. Call it only while `isFull` is false. Returns the function that
   * releases it.
   */
  enter(exceeded: () => void): () => void {
    return this.#all.acquire(everything, exceeded) ?? (() => undefined);
  }
}
