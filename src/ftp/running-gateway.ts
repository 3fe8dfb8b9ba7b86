/** A gateway whose ports are open: what it reports of its sessions, and how they end. */
import type { LoginChecks } from '../users/login-checks.ts';
import type { Ban } from '../users/login-throttle.ts';
import type { ControlSession } from './control/control-session.ts';
import type { ControlListener } from './control/listener.ts';
import type { PassivePorts } from './data/passive-ports.ts';

/** The sessions of a gateway, as a drain sees them. */
export type DrainableSessions = {
  readonly sessionCount: number;
  /** Ends with 421 the sessions that have executed no command but NOOP for `idleMs`; returns how many. */
  endIdleSessions(idleMs: number): number;
  /** Ends every session as soon as it moves no data, and aborts transfers that still run after `timeoutMs`. */
  endSessions(timeoutMs: number): void;
};

/** A running gateway. */
export type Gateway = DrainableSessions & {
  readonly controlPort: number;
  readonly implicitTlsPort?: number | undefined;
  readonly passivePorts: readonly number[];
  /** `Date.now()` at the start of each running transfer. */
  readonly transfersStartedAtMs: readonly number[];
  /** Sources, and users at one source, whose logins are refused for now. */
  readonly loginBans: readonly Ban[];
  /** Leases of passive ports, and the requests that wait for one. */
  readonly passivePortUsage: { readonly leases: number; readonly waiting: number };
  /**
   * Stops listening, ends every session as soon as it moves no data, and resolves when all are closed. A client that has
   * agreed on a data connection has 2 s for its transfer command. After `timeoutMs` the transfers that still run are
   * aborted; commands whose storage does not respond then are given up a few seconds later (`drainGrace`).
   */
  drain(timeoutMs: number): Promise<void>;
  /** Ends the sessions of these users with 421, those with a transfer after it. */
  endSessionsOf(usernames: ReadonlySet<string>): void;
  /** Answers further control connections with 421. */
  refuseSessions(): void;
  /** Drops all sessions immediately; resolves when all are closed. */
  close(): Promise<void>;
};

/** What a gateway consists of once everything is open. */
export type GatewayParts = {
  readonly controlPort: number;
  readonly implicitTlsPort: number | undefined;
  readonly logins: LoginChecks;
  readonly passivePorts: PassivePorts;
  readonly sessions: Set<ControlSession>;
  readonly listeners: readonly ControlListener[];
  stopListening(): Promise<void>;
};

/**
 * What follows the time of a drain, in milliseconds: `replyMs` for the replies of aborted transfers, then 421 to clients
 * without a reply, and `farewellMs` to read it.
 */
export const drainGrace = { replyMs: 3_000, farewellMs: 500 } as const;

/** Ends sessions, and the gateway with them. */
export class RunningGateway implements Gateway {
  readonly controlPort: number;
  readonly implicitTlsPort: number | undefined;
  readonly #parts: GatewayParts;

  constructor(parts: GatewayParts) {
    this.#parts = parts;
    this.controlPort = parts.controlPort;
    this.implicitTlsPort = parts.implicitTlsPort;
  }

  get passivePorts(): readonly number[] {
    return this.#parts.passivePorts.ports;
  }

  get loginBans(): readonly Ban[] {
    return this.#parts.logins.bans;
  }

  get passivePortUsage(): { readonly leases: number; readonly waiting: number } {
    return this.#parts.passivePorts.usage;
  }

  get sessionCount(): number {
    return this.#parts.sessions.size;
  }

  get transfersStartedAtMs(): readonly number[] {
    return [...this.#parts.sessions].flatMap(({ transferStartedAtMs }) => transferStartedAtMs ?? []);
  }

  endIdleSessions(idleMs: number): number {
    const idle = [...this.#parts.sessions].filter(
      (session) => !session.isBusy && session.idleForMs >= idleMs,
    );
    for (const session of idle) session.end('DRAIN');
    return idle.length;
  }

  endSessions(timeoutMs: number): void {
    const { sessions } = this.#parts;
    for (const session of sessions) session.drain();
    const left = [...sessions];
    const timer = setTimeout(() => left.forEach((session) => session.abortTransfer()), timeoutMs);
    void Promise.all(left.map((session) => session.closed)).then(() => clearTimeout(timer));
  }

  endSessionsOf(usernames: ReadonlySet<string>): void {
    for (const session of this.#parts.sessions) {
      const { loginState } = session;
      const isOne = loginState.step === 'logged-in' && usernames.has(loginState.login.user.name);
      if (isOne) session.end('USER-REVOKED');
    }
  }

  refuseSessions(): void {
    for (const listener of this.#parts.listeners) listener.refuseAll();
  }

  async drain(timeoutMs: number): Promise<void> {
    await this.#parts.stopListening();
    const allClosed = this.#endEach((session) => session.drain());
    const { replyMs, farewellMs } = drainGrace;
    const later = (delayMs: number, end: (session: ControlSession) => void): NodeJS.Timeout =>
      setTimeout(() => this.#parts.sessions.forEach(end), delayMs);
    const timers = [
      later(timeoutMs, (session) => session.abortTransfer()),
      later(timeoutMs + replyMs, (session) => session.giveUp()),
      later(timeoutMs + replyMs + farewellMs, (session) => session.destroy('DRAIN')),
    ];
    await allClosed;
    timers.forEach(clearTimeout);
    await this.#parts.passivePorts.close();
  }

  async close(): Promise<void> {
    await this.#parts.stopListening();
    const allClosed = this.#endEach((session) => session.end('DRAIN'));
    for (const session of this.#parts.sessions) session.destroy('DRAIN');
    await allClosed;
    await this.#parts.passivePorts.close();
  }

  async #endEach(end: (session: ControlSession) => void): Promise<void> {
    const { sessions } = this.#parts;
    const all = [...sessions];
    for (const session of all) end(session);
    await Promise.all(all.map((session) => session.closed));
  }
}
