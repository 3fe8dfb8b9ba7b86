/**
 * The drain that precedes the stop of the process, which SIGTERM starts (`shutdown.ts`). An operator or a controller requests it
 * on the operations port, and stops the process when it is `drained`. At first everything is served as before, because load
 * balancers continue to send sessions for minutes. Then idle sessions end, and busy ones may continue for hours.
 */
import type { DrainableSessions } from './ftp/running-gateway.ts';
import type { Observe } from './observability/event.ts';

/** `drained`: no session is left. New connections are served in all three stages. */
export type DrainStage = 'serving' | 'draining' | 'drained';

/** The times of the stages of a drain, in milliseconds. */
export type DrainTimes = {
  /** How long everything is still served. */
  readonly propagationMs: number;
  /** How long a session may be idle afterwards. */
  readonly idleMs: number;
  /** From the start of the drain to the end of busy sessions. */
  readonly maxMs: number;
  /** How long transfers that still run after `maxMs` have to finish. */
  readonly endMs: number;
};

/** Whether the sessions are draining, and the timers that end them. */
export class DrainState {
  readonly #sessions: DrainableSessions;
  readonly #times: DrainTimes;
  readonly #observe: Observe;
  #timers: NodeJS.Timeout[] = [];
  #isDraining = false;
  #endsIdleSessions = false;
  #hasEndedSessions = false;

  constructor(sessions: DrainableSessions, times: DrainTimes, observe: Observe) {
    this.#sessions = sessions;
    this.#times = times;
    this.#observe = observe;
  }

  get stage(): DrainStage {
    if (!this.#isDraining) return 'serving';
    return this.#endsIdleSessions && this.#sessions.sessionCount === 0 ? 'drained' : 'draining';
  }

  /** Whether `serve` is still possible, because the drain has not ended a session. */
  get isReversible(): boolean {
    return !this.#hasEndedSessions;
  }

  /** Starts to drain. Does nothing during a drain. */
  drain(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#observe({ event: 'drain-requested', sessions: this.#sessions.sessionCount });
    const { propagationMs, maxMs } = this.#times;
    this.#timers = [
      setTimeout(() => this.#startEndingIdleSessions(), propagationMs),
      setTimeout(() => this.#endAll(), Math.max(maxMs, propagationMs)),
    ];
  }

  /** Cancels the drain. Returns false if the drain has already ended sessions. */
  serve(): boolean {
    if (this.#hasEndedSessions) return false;
    if (!this.#isDraining) return true;
    this.close();
    this.#isDraining = false;
    this.#endsIdleSessions = false;
    this.#observe({ event: 'drain-cancelled', sessions: this.#sessions.sessionCount });
    return true;
  }

  /** Clears the timers. */
  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
  }

  #startEndingIdleSessions(): void {
    this.#endsIdleSessions = true;
    const { idleMs } = this.#times;
    const check = (): void => {
      if (this.#sessions.endIdleSessions(idleMs) > 0) this.#hasEndedSessions = true;
    };
    check();
    // Ends an idle session at most a tenth of the idle time too late.
    this.#timers.push(setInterval(check, Math.max(idleMs / 10, 100)));
  }

  #endAll(): void {
    if (this.#sessions.sessionCount > 0) this.#hasEndedSessions = true;
    this.#sessions.endSessions(this.#times.endMs);
  }
}
