/**
 * Who may try to log in. Wrong passwords count for the source they come from, and for one user at that source; a user name alone
 * is never locked, because any attacker could then lock a partner out. Each count is a sliding window. Pure: no I/O, no timers, and
 * every decision is immediate, so that processes could share one throttle.
 */
import { createHash } from 'node:crypto';
import { BoundedMap } from '../util/bounded-map.ts';

export type LoginThrottleOptions = {
  /**
   * Distinct wrong passwords of one source after which it is banned. Half as many for one user ban that user at that source, so
   * that a device with an old password does not ban its neighbours behind the same address.
   */
  readonly maxLoginFailures: number;
  /** How long a ban lasts, and how long a wrong password counts. */
  readonly loginBanMs: number;
};

/** Where a login comes from. */
export type LoginSource = {
  /** An IPv4 address, or the /64 network of an IPv6 address. */
  readonly source: string;
  /** Never banned. */
  readonly isExempt: boolean;
};

/**
 * How a login is ranked while logins wait for their check, best first: the user has logged in from that source before; no wrong
 * password has come from the source; the source has sent wrong passwords.
 */
export type Standing = 'known' | 'clean' | 'suspect';

/** A source that may not log in for now; with `username`, that user alone may not, from that source. */
export type Ban = {
  readonly source: string;
  readonly username?: string;
  readonly untilMs: number;
};

export type Failure = {
  /** How long the reply is to be held back. */
  readonly delayMs: number;
  /** The ban that this failure began. */
  readonly ban?: Ban;
};

/**
 * Limit of each map. An entry of sources, pairs and names costs its author a password check, of which the failure budget allows
 * fewer within one window; an entry of known sources costs a right password.
 */
const maxEntries = 10_000;
const maxKnownSourcesPerUser = 64;
const firstDelayMs = 250;
/** Of the first and of a repeated wrong password, and of every other one at most. */
const repeatDelayMs = 2_000;
const maxDelayMs = 8_000;

type Pair = {
  /** When each wrong password was last sent, by its fingerprint; oldest first. */
  readonly sentAtMs: Map<string, number>;
};

export class LoginThrottle {
  readonly #options: LoginThrottleOptions;
  /** Times of failures, oldest first. */
  readonly #sources = new BoundedMap<string, readonly number[]>(maxEntries);
  readonly #names = new BoundedMap<string, readonly number[]>(maxEntries);
  readonly #pairs = new BoundedMap<string, Pair>(maxEntries);
  readonly #bans = new BoundedMap<string, Ban>(maxEntries);
  /** By user: sources of earlier logins. */
  readonly #known = new BoundedMap<string, BoundedMap<string, true>>(maxEntries);
  /** Checks that run now, by source and by pair. */
  readonly #running = new Map<string, number>();

  constructor(options: LoginThrottleOptions) {
    this.#options = options;
  }

  /**
   * How long logins of this user from this source are refused without a check, in milliseconds; 0 for not at all. A ban of the
   * source does not apply to users who have logged in from it before.
   */
  bannedForMs({ source }: LoginSource, username: string): number {
    const keys = [pairKey(source, username), ...(this.#isKnown(source, username) ? [] : [source])];
    const untilMs = Math.max(0, ...keys.map((key) => this.#bans.get(key)?.untilMs ?? 0));
    return Math.max(0, untilMs - Date.now());
  }

  /** The bans in force, those that end first at the beginning. */
  get bans(): readonly Ban[] {
    const nowMs = Date.now();
    const bans: Ban[] = [];
    for (const key of this.#bans.keys()) {
      const ban = this.#bans.get(key);
      if (ban !== undefined && ban.untilMs > nowMs) bans.push(ban);
      else this.#bans.delete(key);
    }
    return bans;
  }

  standing(source: string, username: string): Standing {
    if (this.#isKnown(source, username)) return 'known';
    return this.#recent(this.#sources, source).length === 0 ? 'clean' : 'suspect';
  }

  /**
   * Whether another attempt may be checked now, if all those that run fail. Otherwise it has to wait for their results, so that
   * parallel attempts cannot exceed the limits.
   */
  canReserve({ source, isExempt }: LoginSource, username: string): boolean {
    if (isExempt) return true;
    const pair = pairKey(source, username);
    const pairCount = this.#recentPair(pair).sentAtMs.size + this.#runningOf(pair);
    if (pairCount >= this.#maxPairFailures) return false;
    const sourceCount = this.#recent(this.#sources, source).length + this.#runningOf(source);
    return sourceCount < this.#options.maxLoginFailures || this.#isKnown(source, username);
  }

  /** Counts an attempt until `recordEnd`, which follows its result. */
  reserve({ source }: LoginSource, username: string): void {
    for (const key of [source, pairKey(source, username)]) this.#running.set(key, this.#runningOf(key) + 1);
  }

  /** A check that was reserved has ended, in whichever way. */
  recordEnd({ source }: LoginSource, username: string): void {
    for (const key of [source, pairKey(source, username)]) {
      const count = this.#runningOf(key) - 1;
      if (count > 0) this.#running.set(key, count);
      else this.#running.delete(key);
    }
  }

  /** The failures so far still count: a source with one right password may be guessing others. */
  recordSuccess({ source }: LoginSource, username: string): void {
    const user = keyOf(username);
    const sources = this.#known.get(user) ?? new BoundedMap<string, true>(maxKnownSourcesPerUser);
    sources.set(source, true);
    this.#known.set(user, sources);
  }

  /** Counts a wrong password; `fingerprint` is the same for the same password only. A repeated one counts once. */
  recordFailure({ source, isExempt }: LoginSource, username: string, fingerprint: string): Failure {
    const nowMs = Date.now();
    const key = pairKey(source, username);
    const pair = this.#recentPair(key);
    const isRepeated = pair.sentAtMs.delete(fingerprint);
    pair.sentAtMs.set(fingerprint, nowMs);
    this.#pairs.set(key, pair);
    // A device with an old password sends it forever.
    if (isRepeated) return { delayMs: repeatDelayMs };
    const ofName = this.#count(this.#names, keyOf(username), nowMs);
    // Where the user is known, the pair's own limit bounds the guesses, and neighbours keep their share.
    const isKnown = this.#isKnown(source, username);
    const ofSource = isKnown ? pair.sentAtMs.size : this.#count(this.#sources, source, nowMs);
    const delayMs = Math.min(firstDelayMs * 2 ** (Math.max(ofSource, ofName) - 1), maxDelayMs);
    if (isExempt) return { delayMs };
    const untilMs = nowMs + this.#options.loginBanMs;
    if (!isKnown && ofSource >= this.#options.maxLoginFailures) {
      return { delayMs, ban: this.#ban(source, { source, untilMs }) };
    }
    if (pair.sentAtMs.size >= this.#maxPairFailures) {
      return { delayMs, ban: this.#ban(key, { source, username, untilMs }) };
    }
    return { delayMs };
  }

  /** Records a result of another process, by which it has decided already. */
  record(result: {
    readonly from: LoginSource;
    readonly username: string;
    readonly fingerprint?: string;
  }): void {
    const { from, username, fingerprint } = result;
    if (fingerprint === undefined) this.recordSuccess(from, username);
    else this.recordFailure(from, username, fingerprint);
  }

  /** Applies a ban that another process has begun. */
  restore(ban: Ban): void {
    const { source, username } = ban;
    this.#ban(username === undefined ? source : pairKey(source, username), ban);
  }

  get #maxPairFailures(): number {
    return Math.ceil(this.#options.maxLoginFailures / 2);
  }

  #ban(key: string, ban: Ban): Ban {
    this.#bans.set(key, ban);
    return ban;
  }

  #isKnown(source: string, username: string): boolean {
    return this.#known.get(keyOf(username))?.has(source) === true;
  }

  #runningOf(key: string): number {
    return this.#running.get(key) ?? 0;
  }

  #recent(remembered: BoundedMap<string, readonly number[]>, key: string): readonly number[] {
    const sinceMs = Date.now() - this.#options.loginBanMs;
    return remembered.get(key)?.filter((timeMs) => timeMs > sinceMs) ?? [];
  }

  #recentPair(key: string): Pair {
    const sinceMs = Date.now() - this.#options.loginBanMs;
    const sentAtMs = this.#pairs.get(key)?.sentAtMs ?? [];
    return { sentAtMs: new Map([...sentAtMs].filter(([, timeMs]) => timeMs > sinceMs)) };
  }

  #count(remembered: BoundedMap<string, readonly number[]>, key: string, nowMs: number): number {
    // More than the limit changes nothing, so the list is as long as the limit at most.
    const times = [...this.#recent(remembered, key), nowMs].slice(-this.#options.maxLoginFailures);
    remembered.set(key, times);
    return times.length;
  }
}

function pairKey(source: string, username: string): string {
  return `${source} ${keyOf(username)}`;
}

// A hash is of one length, so that no name, however long, takes more memory than others.
function keyOf(username: string): string {
  return username.length <= 64 ? username : createHash('sha256').update(username).digest('base64');
}
