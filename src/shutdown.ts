/**
 * Ends the process. The first SIGTERM or SIGINT drains: running transfers have a limited time to finish. A second signal
 * exits immediately. An uncaught error drains too, but briefly, because the process may be broken; then the process exits with
 * 1, and its supervisor starts another.
 */
import type { Service } from './service.ts';
import type { Observe } from './observability/event.ts';

export type DrainOptions = {
  readonly service: Pick<Service, 'stop'>;
  /** How long transfers have to finish after a signal, in milliseconds. */
  readonly drainMs: number;
  readonly observe: Observe;
  /** Flushes the log, then exits. */
  readonly exit: (code: number) => void;
  /** The signals that start the drain. @default SIGTERM and SIGINT */
  readonly signals?: readonly ('SIGTERM' | 'SIGINT')[];
};

/** What ends the process besides signals and uncaught errors. */
export type Shutdown = {
  /** Drains, and exits with 0. */
  readonly stop: (reason: string, drainMs: number) => void;
  /** Drains briefly, and exits with 1. */
  readonly fail: (error: unknown) => void;
};

/** Long enough for most transfers, and short enough if clients can cause the same crash again. */
const drainAfterErrorMs = 10_000;

/** `npm start` forwards a Ctrl-C that the terminal has already sent to the process, so it arrives twice. */
const sameSignalMs = 300;

/** As a shell reports a process that a signal ended. */
const exitCodes = { SIGTERM: 143, SIGINT: 130 } as const;

/**
 * The process ends at the latest this long after its drain. With the second that the log has for its last lines (`log.ts`)
 * these are the 5 s that docs/lifecycle.md promises.
 */
const stopGraceMs = 4_000;

/** Installs the handlers of the signals and of uncaught errors. */
export function drainOnSignals(options: DrainOptions): Shutdown {
  const { service, drainMs, observe, exit, signals = ['SIGTERM', 'SIGINT'] } = options;
  let stoppingSinceMs: number | undefined = undefined;
  const stop = (reason: string, timeoutMs: number, code: number): void => {
    stoppingSinceMs = performance.now();
    setTimeout(() => {
      observe({ event: 'unexpected-error', error: new Error('the stop exceeded its time limit') });
      exit(1);
    }, timeoutMs + stopGraceMs).unref();
    service.stop(reason, timeoutMs).then(
      () => exit(code),
      (error: unknown) => {
        observe({ event: 'unexpected-error', error });
        exit(1);
      },
    );
  };
  for (const signal of signals) {
    process.on(signal, () => {
      if (stoppingSinceMs === undefined) stop(signal, drainMs, 0);
      else if (performance.now() - stoppingSinceMs > sameSignalMs) exit(exitCodes[signal]);
    });
  }
  const fail = (error: unknown): void => {
    observe({ event: 'unexpected-error', error });
    if (stoppingSinceMs !== undefined) exit(1);
    else stop('unexpected error', Math.min(drainMs, drainAfterErrorMs), 1);
  };
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  return {
    fail,
    stop: (reason, timeoutMs) => {
      if (stoppingSinceMs === undefined) stop(reason, timeoutMs, 0);
    },
  };
}
