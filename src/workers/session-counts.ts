/**
 * The session limits over all workers. A worker counts a session immediately, within its own counts, and reports it to the primary, which
 * alone decides: it refuses what is one too many, and the worker ends that session. So a limit holds exactly, except for the
 * time that a message takes.
 */

export type CountKind = 'all' | 'address' | 'user' | 'unauthenticated';

/** A kind of count, and whose it is: `address 203.0.113.9`. */
export type CountKey = `${CountKind} ${string}`;

/** A worker's changes since its last message. */
export type CountChanges = {
  /** Each with a number of the worker's choice. */
  readonly claims: readonly (readonly [claim: number, key: CountKey])[];
  readonly releases: readonly CountKey[];
};

/** The primary's counts. Pure. */
export class SessionCounts {
  readonly #limitOf: (key: CountKey) => number;
  readonly #totals = new Map<CountKey, number>();
  readonly #byWorker = new Map<number, Map<CountKey, number>>();

  constructor(limits: Readonly<Record<CountKind, number>>) {
    this.#limitOf = (key) => limits[key.slice(0, key.indexOf(' ')) as CountKind];
  }

  /** Counts the changes, releases first. Returns the claims that are one too many, which are not counted. */
  apply(worker: number, { claims, releases }: CountChanges): readonly number[] {
    for (const key of releases) this.#add(worker, key, -1);
    return claims.flatMap(([claim, key]) => {
      if ((this.#totals.get(key) ?? 0) >= this.#limitOf(key)) return [claim];
      this.#add(worker, key, 1);
      return [];
    });
  }

  /** Drops the counts of a worker that has ended. Returns the number of its sessions. */
  forget(worker: number): number {
    const own = this.#byWorker.get(worker) ?? new Map<CountKey, number>();
    const sessions = own.get('all ') ?? 0;
    for (const [key, count] of own) this.#add(worker, key, -count);
    this.#byWorker.delete(worker);
    return sessions;
  }

  /** Keys with a count. */
  get size(): number {
    return this.#totals.size;
  }

  #add(worker: number, key: CountKey, change: number): void {
    const own = this.#byWorker.get(worker) ?? new Map<CountKey, number>();
    this.#byWorker.set(worker, own);
    for (const counts of [own, this.#totals]) {
      const count = (counts.get(key) ?? 0) + change;
      if (count > 0) counts.set(key, count);
      else counts.delete(key);
    }
  }
}

type Claim = { readonly key: CountKey; readonly exceeded: () => void };

/**
 * How long changes wait for others before they are sent together. A message costs both processes about as much as accepting a
 * connection, so a worker sends 200 a second at most, and the end of a session that was one too many comes this much later.
 */
const collectMs = 5;

/**
 * A worker's claims. One message is under way at a time; what changes meanwhile goes into the next, so that a flood of
 * connections costs few messages.
 */
export class ClaimedSessions {
  readonly #send: (changes: CountChanges) => Promise<readonly number[]>;
  readonly #later: (send: () => void) => void;
  /** Those that the primary counts, or will. */
  readonly #claims = new Map<number, Claim>();
  #newClaims = new Map<number, CountKey>();
  /** Those of the message under way. Whether they count is not known yet, so their release waits for the response. */
  #sentClaims = new Map<number, CountKey>();
  #releases: CountKey[] = [];
  #lastClaim = 0;
  #isSending = false;

  /**
   * @param send resolves to the claims that are refused
   * @param later calls its argument when enough changes were collected
   */
  constructor(
    send: (changes: CountChanges) => Promise<readonly number[]>,
    later: (send: () => void) => void = (sendCollected) => void setTimeout(sendCollected, collectMs),
  ) {
    this.#send = send;
    this.#later = later;
  }

  claim(count: CountKind, key: string, exceeded: () => void): () => void {
    const claim = ++this.#lastClaim;
    const countKey: CountKey = `${count} ${key}`;
    this.#claims.set(claim, { key: countKey, exceeded });
    this.#newClaims.set(claim, countKey);
    this.#sendLater();
    return () => {
      // One that was refused is not counted.
      if (!this.#claims.delete(claim)) return;
      if (this.#newClaims.delete(claim) || this.#sentClaims.has(claim)) return;
      this.#releases.push(countKey);
      this.#sendLater();
    };
  }

  get #isUnchanged(): boolean {
    return this.#newClaims.size === 0 && this.#releases.length === 0;
  }

  #sendLater(): void {
    if (this.#isSending || this.#isUnchanged) return;
    this.#isSending = true;
    this.#later(() => void this.#sendChanges());
  }

  async #sendChanges(): Promise<void> {
    if (this.#isUnchanged) {
      // The sessions have ended meanwhile.
      this.#isSending = false;
      return;
    }
    const changes = { claims: [...this.#newClaims], releases: this.#releases };
    this.#sentClaims = this.#newClaims;
    this.#newClaims = new Map();
    this.#releases = [];
    // Without an answer the primary is gone, and this process with it.
    this.#answered(await this.#send(changes).catch((): readonly number[] => []));
    this.#isSending = false;
    this.#sendLater();
  }

  #answered(refused: readonly number[]): void {
    const sent = this.#sentClaims;
    this.#sentClaims = new Map();
    for (const number of refused) {
      sent.delete(number);
      const claim = this.#claims.get(number);
      this.#claims.delete(number);
      claim?.exceeded();
    }
    // Released meanwhile.
    for (const [claim, key] of sent) if (!this.#claims.has(claim)) this.#releases.push(key);
  }
}
