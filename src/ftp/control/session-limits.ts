/** How many sessions there may be: in all, from one client address, of one user. */

export type SessionLimits = {
  readonly maxSessions: number;
  readonly maxSessionsPerAddress: number;
  readonly maxSessionsPerUser: number;
};

/** Places of one kind, counted by who holds them. What nobody holds is not remembered. */
class KeyedLimit {
  readonly #limit: number;
  readonly #held = new Map<string, number>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  acquire(holder: string): boolean {
    const held = this.#held.get(holder) ?? 0;
    if (held >= this.#limit) return false;
    this.#held.set(holder, held + 1);
    return true;
  }

  release(holder: string): void {
    const held = this.#held.get(holder) ?? 0;
    if (held <= 1) this.#held.delete(holder);
    else this.#held.set(holder, held - 1);
  }
}

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
