/**
 * Slows down password guessing. Each wrong password is answered later than the one before. After too many of them, from one
 * client address or for one user name, logins are refused for a while without a check. Memory is bounded.
 */
import { createHash } from 'node:crypto';
import { BoundedMap } from '../util/bounded-map.ts';

export type LoginThrottleOptions = {
  /** Failures of one address, or of one user name, after which logins are refused. */
  readonly maxLoginFailures: number;
  /** How long they are refused; failures older than that are forgotten. */
  readonly loginLockoutMs: number;
};

/** Limit of each of the three maps below; the oldest entries are evicted. */
const maxEntries = 10_000;
const firstDelayMs = 250;
const maxDelayMs = 8_000;

type Failures = { readonly count: number; readonly expiresAtMs: number };

export class LoginThrottle {
  readonly #options: LoginThrottleOptions;
  readonly #addresses = new BoundedMap<string, Failures>(maxEntries);
  readonly #users = new BoundedMap<string, Failures>(maxEntries);
  /** Pairs of a user and an address of an earlier login. Guesses from other addresses do not lock the user out there. */
  readonly #knownPairs = new BoundedMap<string, true>(maxEntries);

  constructor(options: LoginThrottleOptions) {
    this.#options = options;
  }

  /** How long logins of this user from this address are refused without being checked, in milliseconds; 0 for not at all. */
  lockoutLeftMs(address: string, username: string): number {
    const nowMs = Date.now();
    const byAddress = this.#refusedUntil(this.#addresses.get(address));
    const isKnown = this.#knownPairs.get(pairKey(address, username)) === true;
    const byUser = isKnown ? 0 : this.#refusedUntil(this.#users.get(keyOf(username)));
    return Math.max(0, byAddress - nowMs, byUser - nowMs);
  }

  /** Counts a wrong password. Returns how long its reply is to be held back, in milliseconds. */
  recordFailure(address: string, username: string): number {
    const count = Math.max(this.#count(this.#addresses, address), this.#count(this.#users, keyOf(username)));
    return Math.min(firstDelayMs * 2 ** (count - 1), maxDelayMs);
  }

  /** Forgets the failures of the user, but not those of the address: it may have guessed passwords of others. */
  recordSuccess(address: string, username: string): void {
    this.#users.delete(keyOf(username));
    this.#knownPairs.set(pairKey(address, username), true);
  }

  #count(remembered: BoundedMap<string, Failures>, key: string): number {
    const nowMs = Date.now();
    const before = remembered.get(key);
    const count = (before !== undefined && before.expiresAtMs > nowMs ? before.count : 0) + 1;
    remembered.set(key, { count, expiresAtMs: nowMs + this.#options.loginLockoutMs });
    return count;
  }

  #refusedUntil(failures: Failures | undefined): number {
    return failures !== undefined && failures.count >= this.#options.maxLoginFailures
      ? failures.expiresAtMs
      : 0;
  }
}

function pairKey(address: string, username: string): string {
  return `${address} ${keyOf(username)}`;
}

// A stranger may send names of 8 KiB.
function keyOf(username: string): string {
  return username.length <= 64 ? username : createHash('sha256').update(username).digest('base64');
}
