/** Measures the turns of this process's event loop. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

export type Turns = {
  /**
   * The longest CPU time of the main thread between two runs of a timer: at least that of the longest turn of the event loop,
   * whatever else the machine does.
   */
  readonly longestTurnMs: number;
  /** What a timer was late at most, which includes the time for which the machine ran other processes. */
  readonly longestDelayMs: number;
  readonly mainThreadCpuMs: number;
};

const timerMs = 2;

export class TurnMeter {
  readonly #delay = monitorEventLoopDelay({ resolution: timerMs });
  readonly #timer: NodeJS.Timeout;
  #longestTurnMs = 0;
  #lastCpuMs = threadCpuMs();
  #startCpuMs = this.#lastCpuMs;

  constructor() {
    this.#delay.enable();
    this.#timer = setInterval(() => {
      const nowMs = threadCpuMs();
      this.#longestTurnMs = Math.max(this.#longestTurnMs, nowMs - this.#lastCpuMs);
      this.#lastCpuMs = nowMs;
    }, timerMs);
  }

  /** Since the start or the last reset. */
  read(): Turns {
    return {
      longestTurnMs: this.#longestTurnMs,
      longestDelayMs: this.#delay.max / 1e6,
      mainThreadCpuMs: threadCpuMs() - this.#startCpuMs,
    };
  }

  reset(): void {
    this.#delay.reset();
    this.#longestTurnMs = 0;
    this.#lastCpuMs = this.#startCpuMs = threadCpuMs();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#delay.disable();
  }
}

function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
