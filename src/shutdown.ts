/**
 * How the process ends. A first SIGTERM or SIGINT drains: running transfers finish, within a bound; a second one ends at
 * once. An error that nobody caught drains too, briefly, because the process may be broken: then it exits with 1 and
 * whoever runs it starts another.
 */
import type { Service } from './service.ts';
import type { Observe } from './observability/event.ts';

export type DrainOptions = {
  readonly service: Pick<Service, 'stop'>;
  /** How long transfers may run on after a signal. */
  readonly drainMs: number;
  readonly observe: Observe;
  /** Writes what the log still holds, then ends the process. */
  readonly exit: (code: number) => void;
};

/** Long enough for most transfers, short enough that a crash which clients can cause again is over soon. */
const drainAfterErrorMs = 10_000;

/** `npm start` passes on a Ctrl-C that the terminal has sent already: the same wish twice. */
const sameSignalMs = 300;

/** As a shell shows a process that a signal ended. */
const exitCodes = { SIGTERM: 143, SIGINT: 130 } as const;

/**
 * The process ends so long after its drain at the latest. With the second that the log may take for its last lines
 * (`log.ts`) it is the 5 s that docs/lifecycle.md promises.
 */
const stopGraceMs = 4_000;

export function drainOnSignals({ service, drainMs, observe, exit }: DrainOptions): void {
  let stoppingSinceMs: number | undefined = undefined;
  const stop = (reason: string, timeoutMs: number, code: number): void => {
    stoppingSinceMs = performance.now();
    setTimeout(() => {
      observe({ event: 'unexpected-error', error: new Error('the stop took longer than it may') });
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
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
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
}
