/**
 * What one connection is counted for, from its acceptance to the end of its session: all sessions, those of its address and of its
 * user, and connections without a login.
 */
import type { SessionLimiter } from './session-limits.ts';
import type { Place, UnauthenticatedConnections } from './unauthenticated.ts';

/** A limit of its address that keeps a connection out. */
export type ReachedLimit = 'LIMIT-ADDRESS' | 'LIMIT-BEFORE-LOGIN';

/** A limit that several processes share. */
export type SharedLimit = 'LIMIT-SESSIONS' | 'LIMIT-USER' | ReachedLimit;

/** Ends an admitted connection: its socket at first, its session as soon as there is one. */
export type AdmittedConnection = {
  /** Other processes had reached the limit together with this one, which is known a little later. */
  revoke(cause: SharedLimit): void;
  /** It has no login, and another connection needs its place. */
  giveWay(): void;
};

export type AdmissionLimits = {
  readonly limiter: SessionLimiter;
  readonly unauthenticated: UnauthenticatedConnections;
};

export class Admission {
  /** Ends the connection if it must give way or is one too many. */
  connection: AdmittedConnection;
  readonly #limiter: SessionLimiter;
  #place: Place | undefined;
  #leave: (() => void) | undefined;
  /** Undefined until the client's address is known. */
  #releaseAddress: (() => void) | undefined;
  #releaseUser: (() => void) | undefined;

  private constructor(limiter: SessionLimiter, connection: AdmittedConnection) {
    this.#limiter = limiter;
    this.connection = connection;
  }

  /** Counts a connection. A proxy has no limit of its own; `identify` counts the address of its client. Call it only while the limiter is not full. */
  static admit(
    { limiter, unauthenticated }: AdmissionLimits,
    source: { readonly address: string; readonly isProxy: boolean },
    connection: AdmittedConnection,
  ): Admission | ReachedLimit {
    const admission = new Admission(limiter, connection);
    if (!source.isProxy && !admission.#countAddress(source.address)) return 'LIMIT-ADDRESS';
    const ends = {
      drop: () => admission.connection.giveWay(),
      exceeded: () => admission.connection.revoke('LIMIT-BEFORE-LOGIN'),
    };
    admission.#place = unauthenticated.enter(source.address, ends, !source.isProxy);
    if (admission.#place === undefined) {
      admission.#leaveAddress();
      return 'LIMIT-BEFORE-LOGIN';
    }
    admission.#leave = limiter.enter(() => admission.connection.revoke('LIMIT-SESSIONS'));
    return admission;
  }

  /** Counts the client's address, unless it is counted already. Returns the limit that it has reached. */
  identify(address: string): ReachedLimit | undefined {
    if (this.#releaseAddress !== undefined) return undefined;
    if (this.#place?.identify(address) !== true) return 'LIMIT-BEFORE-LOGIN';
    return this.#countAddress(address) ? undefined : 'LIMIT-ADDRESS';
  }

  /** Counts the session for its user. Returns false, and counts nothing, where the user has as many sessions as they may. */
  logIn(username: string): boolean {
    const release = this.#limiter.users.acquire(username, () => this.connection.revoke('LIMIT-USER'));
    if (release === undefined) return false;
    this.#releaseUser = release;
    this.#place?.loggedIn();
    return true;
  }

  logOut(): void {
    if (this.#releaseUser !== undefined) this.#place?.loggedOut();
    this.#leaveUser();
  }

  /** The session has ended. Until `release` it remains one of all sessions, because an aborted command may still be running. */
  sessionEnded(): void {
    this.#leaveUser();
    this.#leaveAddress();
    this.#place?.leave();
  }

  /** Connection and session are over. */
  release(): void {
    this.sessionEnded();
    this.#leave?.();
  }

  #countAddress(address: string): boolean {
    const exceeded = (): void => this.connection.revoke('LIMIT-ADDRESS');
    this.#releaseAddress = this.#limiter.addresses.acquire(address, exceeded);
    return this.#releaseAddress !== undefined;
  }

  #leaveAddress(): void {
    this.#releaseAddress?.();
    this.#releaseAddress = undefined;
  }

  #leaveUser(): void {
    this.#releaseUser?.();
    this.#releaseUser = undefined;
  }
}
