/** Limits the number of sessions: in total, for each client address, for each user. */

export type SessionLimits = {
  readonly maxSessions: number;
  readonly maxSessionsPerAddress: number;
  readonly maxSessionsPerUser: number;
};

/** Counts by key, up to a limit. Keys with a count of zero are removed. */
class KeyedLimit {
  readonly #limit: number;
  readonly #counts = new Map<string, number>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Returns false, and counts nothing, where the key has reached the limit. */
  acquire(key: string): boolean {
    const count = this.#counts.get(key) ?? 0;
    if (count >= this.#limit) return false;
    this.#counts.set(key, count + 1);
    return true;
  }

  release(key: string): void {
    const count = this.#counts.get(key) ?? 0;
    if (count <= 1) this.#counts.delete(key);
    else this.#counts.set(key, count - 1);
  }
}

/** Counts the sessions of one gateway. */
export class SessionLimiter {
  readonly addresses: KeyedLimit;
  readonly users: KeyedLimit;
  readonly #maxSessions: number;
  #sessions = 0;

  constructor({ maxSessions, maxSessionsPerAddress, maxSessionsPerUser }: SessionLimits) {
    this.#maxSessions = maxSessions;
    this.addresses = new KeyedLimit(maxSessionsPerAddress);
    this.users = new KeyedLimit(maxSessionsPerUser);
  }

  get isFull(): boolean {
    return this.#sessions >= this.#maxSessions;
  }

  /** Counts a connection, from the moment it is accepted. */
  enter(): void {
    this.#sessions += 1;
  }

  leave(): void {
    this.#sessions -= 1;
  }
}
