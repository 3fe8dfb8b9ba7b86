/** Keeps the worker processes running: starts all of them, and starts one again that has ended. */
import type { Observe } from '../observability/event.ts';
import { maxShortRuns, RestartPolicy } from './restart-policy.ts';
import type { Share } from './shares.ts';
import type { WorkerEnd, WorkerProcess } from './worker-process.ts';

export type WorkerPoolOptions = {
  readonly shares: readonly Share[];
  readonly fork: (share: Share) => WorkerProcess;
  /** Resolves when the worker accepts sessions; rejects with the text for the operator if it cannot. */
  readonly start: (process: WorkerProcess, share: Share, isFirstRun: boolean) => Promise<void>;
  /** A process is gone. Returns how many sessions it had. */
  readonly ended: (process: WorkerProcess, share: Share) => number;
  /** A worker crashes in a loop. */
  readonly failed: (error: Error) => void;
  readonly observe: Observe;
};

/** One worker, over all its processes. */
type Slot = {
  readonly share: Share;
  readonly policy: RestartPolicy;
  process: WorkerProcess | undefined;
  isStarted: boolean;
  /** Why its last process could not start. */
  startError: string | undefined;
  timer: NodeJS.Timeout | undefined;
};

export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #slots: readonly Slot[];
  #restarts = false;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#slots = options.shares.map((share) => ({
      share,
      policy: new RestartPolicy(),
      process: undefined,
      isStarted: false,
      startError: undefined,
      timer: undefined,
    }));
  }

  /** The processes that accept sessions. */
  get started(): readonly { readonly share: Share; readonly process: WorkerProcess }[] {
    return this.#slots.flatMap(({ share, process, isStarted }) =>
      process !== undefined && isStarted ? [{ share, process }] : [],
    );
  }

  /** Starts all workers. Rejects with the first error, and leaves the others running: `kill` ends them. */
  async start(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => this.#run(slot, true)));
    this.#restarts = true;
    // One that ended after its start, while others still started.
    for (const slot of this.#slots) if (slot.process === undefined) this.#restartLater(slot, 0);
  }

  /** Starts no worker again from now on, and kills those that have not started yet. */
  stopRestarts(): void {
    this.#restarts = false;
    for (const { timer, process, isStarted } of this.#slots) {
      clearTimeout(timer);
      if (!isStarted) process?.kill('SIGKILL');
    }
  }

  /** Resolves when no process is left. */
  async allEnded(): Promise<void> {
    await Promise.all(this.#slots.flatMap(({ process }) => process?.ended ?? []));
  }

  /** Kills all processes. */
  kill(): void {
    this.stopRestarts();
    for (const { process } of this.#slots) process?.kill('SIGKILL');
  }

  async #run(slot: Slot, isFirstRun: boolean): Promise<void> {
    const { share } = slot;
    const { fork, start, observe } = this.#options;
    const startedAtMs = performance.now();
    const process = fork(share);
    slot.process = process;
    slot.startError = undefined;
    void process.ended.then((end) => this.#ended(slot, process, end, performance.now() - startedAtMs));
    try {
      await start(process, share, isFirstRun);
    } catch (error) {
      slot.startError = (error as Error).message;
      throw error;
    }
    slot.isStarted = true;
    observe({
      event: 'worker-started',
      worker: share.worker,
      pid: process.pid,
      passivePorts: share.passivePorts,
    });
  }

  #ended(slot: Slot, process: WorkerProcess, end: WorkerEnd, ranMs: number): void {
    const { code, signal, wasBlocked } = end;
    const { share, startError } = slot;
    const reason = startError ?? (wasBlocked ? 'its event loop was blocked' : undefined);
    slot.process = undefined;
    slot.isStarted = false;
    const sessions = this.#options.ended(process, share);
    if (!this.#restarts) return;
    const restartMs = slot.policy.delayAfter(ranMs);
    this.#options.observe({
      event: 'worker-ended',
      cause: 'WORKER-LOST',
      worker: share.worker,
      pid: process.pid,
      code,
      signal,
      sessions,
      ...(reason !== undefined && { reason }),
      ...(restartMs !== undefined && { restartMs }),
    });
    if (restartMs !== undefined) this.#restartLater(slot, restartMs);
    else {
      const text = reason === undefined ? `it ended with ${signal ?? `code ${code}`}` : reason;
      this.#options.failed(
        new Error(
          `Worker ${share.worker} ended ${maxShortRuns} times in a row soon after its start: ${text}`,
        ),
      );
    }
  }

  #restartLater(slot: Slot, restartMs: number): void {
    slot.timer = setTimeout(() => {
      // A process that cannot start ends itself, and the next attempt follows its end.
      this.#run(slot, false).catch(() => undefined);
    }, restartMs);
  }
}
