/**
 * Connections without a login. They have small limits of their own, so that clients that never log in do not use up the places of sessions. At
 * the total limit a new connection replaces an older one, so that an attacker with many addresses keeps partners out only as long as
 * it takes to fill all places again. Pure.
 */
import { BoundedMap } from '../../util/bounded-map.ts';
import type { SharedSessionCounts } from './session-limits.ts';

export type UnauthenticatedLimits = {
  readonly maxUnauthenticated: number;
  /** From one source; does not apply to sources from which a user has logged in before. */
  readonly maxUnauthenticatedPerAddress: number;
  readonly maxSessions: number;
};

/** The place of one connection. */
export type Place = {
  /** The source is known only now: a PROXY header has named it. Returns false where it has no place left. */
  identify(source: string): boolean;
  /** The connection is closed. */
  leave(): void;
  loggedIn(): void;
  /** Takes a place again, even beyond the limits. */
  loggedOut(): void;
};

const maxKnownSources = 10_000;

/** What ends a connection; each is called once at most. */
export type Ends = {
  /** Another connection needs the place. */
  readonly drop: () => void;
  /** Several processes have reached the limit of the source together. */
  readonly exceeded: () => void;
};

type Entry = { readonly source: string; readonly drop: () => void; release?: () => void };

export class UnauthenticatedConnections {
  readonly #limits: UnauthenticatedLimits;
  readonly #shared: SharedSessionCounts | undefined;
  readonly #entries = new Map<string, Set<Entry>>();
  /** Sources of logins. Only valid passwords add entries, so an attacker cannot evict any. */
  readonly #known = new BoundedMap<string, true>(maxKnownSources);
  #total = 0;

  constructor(limits: UnauthenticatedLimits, shared?: SharedSessionCounts) {
    this.#limits = limits;
    this.#shared = shared;
  }

  get total(): number {
    return this.#total;
  }

  /**
   * Takes a place for a new connection; undefined where its source has none left.
   * @param isFinal false where `source` is that of a proxy, which has no limit of its own.
   */
  enter(source: string, ends: Ends, isFinal: boolean): Place | undefined {
    if (isFinal && !this.#hasPlace(source)) return undefined;
    // Half of the sessions at most, so that those with a login find places, too.
    const { maxUnauthenticated, maxSessions } = this.#limits;
    if (this.#total >= Math.min(maxUnauthenticated, Math.ceil(maxSessions / 2))) this.#dropOne();
    const { drop } = ends;
    let entry: Entry | undefined = this.#add({ source, drop });
    if (isFinal) this.#claim(entry, ends);
    const remove = (): void => {
      if (entry !== undefined) this.#remove(entry);
      entry = undefined;
    };
    let current = source;
    return {
      identify: (identified) => {
        if (entry === undefined) return false;
        remove();
        current = identified;
        if (!this.#hasPlace(identified)) return false;
        entry = this.#add({ source: identified, drop });
        this.#claim(entry, ends);
        return true;
      },
      leave: remove,
      loggedIn: () => {
        remove();
        this.know(current);
      },
      loggedOut: () => {
        entry ??= this.#add({ source: current, drop });
      },
    };
  }

  /** A user has logged in from this source, here or in another process. */
  know(source: string): void {
    this.#known.set(source, true);
  }

  #hasPlace(source: string): boolean {
    const { maxUnauthenticatedPerAddress } = this.#limits;
    return this.#known.has(source) || this.#countOf(source) < maxUnauthenticatedPerAddress;
  }

  #countOf(source: string): number {
    return this.#entries.get(source)?.size ?? 0;
  }

  #add(entry: Entry): Entry {
    const ofSource = this.#entries.get(entry.source) ?? new Set();
    ofSource.add(entry);
    this.#entries.set(entry.source, ofSource);
    this.#total += 1;
    return entry;
  }

  #remove(entry: Entry): void {
    const ofSource = this.#entries.get(entry.source);
    if (ofSource?.delete(entry) !== true) return;
    if (ofSource.size === 0) this.#entries.delete(entry.source);
    this.#total -= 1;
    entry.release?.();
  }

  #claim(entry: Entry, { exceeded }: Ends): void {
    const { source } = entry;
    if (this.#shared === undefined || this.#known.has(source)) return;
    entry.release = this.#shared.claim('unauthenticated', source, exceeded);
  }

  /** The oldest connection of the source with the most; sources without a login first, and of equal ones the oldest. */
  #dropOne(): void {
    let chosen: { readonly isKnown: boolean; readonly entries: Set<Entry> } | undefined;
    for (const [source, entries] of this.#entries) {
      const isKnown = this.#known.has(source);
      const isWorse =
        chosen === undefined ||
        (chosen.isKnown && !isKnown) ||
        (chosen.isKnown === isKnown && entries.size > chosen.entries.size);
      if (isWorse) chosen = { isKnown, entries };
    }
    const [oldest] = chosen?.entries ?? [];
    if (oldest === undefined) return;
    this.#remove(oldest);
    oldest.drop();
  }
}
