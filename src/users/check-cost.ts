/**
 * The CPU time of each of several password checks that run at the same time. scrypt runs in libuv's threads, of which Node tells the
 * CPU time only together, so what they use is divided evenly among the checks that run at that moment. Pure.
 */

export type RunningCheck = { readonly startedAtMs: number; cpuMs: number };

export class CheckCost {
  readonly #running = new Set<RunningCheck>();
  #countedCpuMs = 0;

  /** @param cpuMs the CPU time of the threads so far */
  start(cpuMs: number, nowMs: number): RunningCheck {
    this.#divide(cpuMs);
    const check = { startedAtMs: nowMs, cpuMs: 0 };
    this.#running.add(check);
    return check;
  }

  /** Returns the CPU time of the check in milliseconds: no more than has passed, because it runs in one thread. */
  end(check: RunningCheck, cpuMs: number, nowMs: number): number {
    this.#divide(cpuMs);
    this.#running.delete(check);
    return Math.min(check.cpuMs, nowMs - check.startedAtMs);
  }

  #divide(cpuMs: number): void {
    const shareMs = (cpuMs - this.#countedCpuMs) / this.#running.size;
    for (const check of this.#running) check.cpuMs += shareMs;
    this.#countedCpuMs = cpuMs;
  }
}

/** The median of the last values. */
export class RecentMedian {
  readonly #values: number[] = [];

  /** Returns the median, this value included. */
  add(value: number): number {
    this.#values.push(value);
    if (this.#values.length > 16) this.#values.shift();
    return this.#values.toSorted((one, other) => one - other)[this.#values.length >> 1] ?? value;
  }
}
