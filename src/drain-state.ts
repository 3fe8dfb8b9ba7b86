/**
 * Draining before an end that is still to come: an operator, or a controller, asks for it on the operations port, and stops the
 * process when it has drained. At first everything is served as before, because load balancers go on sending sessions for
 * minutes. Then idle sessions end, and busy ones may go on for hours.
 */
import type { DrainableSessions } from './ftp/gateway.ts';
import type { Observe } from './observability/event.ts';

/** `drained`: no session is left. All three serve whatever connection still comes. */
export type DrainStage = 'serving' | 'draining' | 'drained';

export type DrainTimes = {
  /** How long everything is served as before. */
  readonly propagationMs: number;
  /** How long a session may be idle afterwards. */
  readonly idleMs: number;
  /** From the request to the end of busy sessions. */
  readonly maxMs: number;
  /** How long their transfers may go on then. */
  readonly endMs: number;
};

export class DrainState {
  readonly #sessions: DrainableSessions;
  readonly #times: DrainTimes;
  readonly #observe: Observe;
  #timers: NodeJS.Timeout[] = [];
  #isDraining = false;
  #isClosing = false;
  #hasEndedSessions = false;

  constructor(sessions: DrainableSessions, times: DrainTimes, observe: Observe) {
    this.#sessions = sessions;
    this.#times = times;
    this.#observe = observe;
  }

  get stage(): DrainStage {
    if (!this.#isDraining) return 'serving';
    return this.#isClosing && this.#sessions.sessionCount === 0 ? 'drained' : 'draining';
  }

  /** Whether `serve` is still possible: no session has been ended for the drain. */
  get isReversible(): boolean {
    return !this.#hasEndedSessions;
  }

  /** Begins to drain; does nothing where it has begun. */
  drain(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#observe({ event: 'drain-requested', sessions: this.#sessions.sessionCount });
    const { propagationMs, maxMs } = this.#times;
    this.#timers = [
      setTimeout(() => this.#closeIdle(), propagationMs),
      setTimeout(() => this.#endAll(), Math.max(maxMs, propagationMs)),
    ];
  }

  /** Serves again as if no drain had been asked for; returns false where sessions have been ended for it. */
  serve(): boolean {
    if (this.#hasEndedSessions) return false;
    if (!this.#isDraining) return true;
    this.close();
    this.#isDraining = false;
    this.#isClosing = false;
    this.#observe({ event: 'drain-cancelled', sessions: this.#sessions.sessionCount });
    return true;
  }

  /** Stops the clocks. */
  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
  }

  #closeIdle(): void {
    this.#isClosing = true;
    const { idleMs } = this.#times;
    const check = (): void => {
      if (this.#sessions.endIdleSessions(idleMs) > 0) this.#hasEndedSessions = true;
    };
    check();
    // Late by a tenth of the idle time at most.
    this.#timers.push(setInterval(check, Math.max(idleMs / 10, 100)));
  }

  #endAll(): void {
    if (this.#sessions.sessionCount > 0) this.#hasEndedSessions = true;
    this.#sessions.endSessions(this.#times.endMs);
  }
}
