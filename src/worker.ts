/**
 * A worker process: the service without the operations port and without signals. Both belong to the primary (`primary.ts`), which
 * started this process and ends it.
 */
import { EventEmitter } from 'node:events';
import { parseConfig } from './config/config.ts';
import type { Config } from './config/variables.ts';
import { describeStartError } from './config/start-error.ts';
import type { GatewayEvent, Observe } from './observability/event.ts';
import { type Log, type LogOptions, openLog } from './observability/log.ts';
import { snapshotOf } from './observability/merged-metrics.ts';
import { type ServiceOperations, type ServiceSurroundings, startService } from './service.ts';
import { drainOnSignals, type Shutdown } from './shutdown.ts';
import type { LoginResult } from './users/login-checks.ts';
import { maxBlockedMs, startWatchdog } from './watchdog.ts';
import type { PrimaryCalls, StartedPorts, StartRequest, WorkerCalls } from './workers/calls.ts';
import { Channel } from './workers/channel.ts';
import { unauthenticatedShare } from './workers/shares.ts';
import { ClaimedSessions } from './workers/session-counts.ts';
import { relayedSecret, secretIntervalMs } from './workers/secrets.ts';

const couldNotStart = 2;

/** What the primary reports about all workers. */
const reportedByPrimary: ReadonlySet<GatewayEvent['event']> = new Set([
  'gateway-started',
  'gateway-stopped',
  'drain-requested',
  'drain-cancelled',
  'drain-started',
]);

/** What every worker observes, and the first one reports. */
const reportedOnce: ReadonlySet<GatewayEvent['event']> = new Set([
  'users-loaded',
  'certificate-loaded',
  'descriptors-insufficient',
]);

export type WorkerOptions = {
  /** How long the event loop may be blocked. */
  readonly watchdogMs?: number;
  /** Opens the log, whose lines the primary writes. @default JSON on standard output */
  readonly openLog?: (options: LogOptions) => Log;
};

/** Runs in a process of `node:cluster`, and waits for the primary. */
export function runWorker({ watchdogMs = maxBlockedMs, openLog: open = openLog }: WorkerOptions = {}): void {
  // A terminal sends Ctrl-C, and some supervisors send SIGTERM, to all processes. Only the primary ends a worker; if it is
  // gone itself, `node:cluster` exits this process.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => undefined);
  // On standard output, where the primary finds why this process ended.
  startWatchdog(watchdogMs, 1);
  let operations: ServiceOperations | undefined = undefined;
  let shutdown: Shutdown | undefined = undefined;
  const otherLogins = new EventEmitter<{ result: [LoginResult] }>();
  const running = (): ServiceOperations => {
    if (operations === undefined) throw new Error('the worker has not started yet');
    return operations;
  };
  const calls: WorkerCalls = {
    async start(request) {
      let config: Config | undefined = undefined;
      try {
        config = parseConfig(process.env);
        const surroundings = surroundingsOf(
          request,
          primary,
          otherLogins,
          (options) => (operations = options),
        );
        const { logLevel: level, logCommands: commands } = config;
        const log = open({ level, commands, worker: request.worker });
        const started = await start(config, request, log, surroundings);
        shutdown = started.shutdown;
        return started.ports;
      } catch (error) {
        // After the response, which is sent in this turn of the event loop.
        setTimeout(() => process.exit(couldNotStart), 100);
        throw new Error(describeStartError(error, config), { cause: error });
      }
    },
    status: () => running().status(),
    metrics: () => snapshotOf(running().metrics),
    drain: () => running().drain(),
    serve: () => running().serve(),
    login: (result) => void otherLogins.emit('result', result),
    stop: ({ reason, drainMs }) => shutdown?.stop(reason, drainMs),
  };
  const primary = new Channel<PrimaryCalls>(process, calls);
}

async function start(
  config: Config,
  request: StartRequest,
  log: Log,
  surroundings: ServiceSurroundings,
): Promise<{ readonly ports: StartedPorts; readonly shutdown: Shutdown }> {
  const { worker, workers, passivePorts, transferMemoryBytes } = request;
  const share: Config = {
    ...config,
    passivePorts,
    transferMemoryBytes,
    maxUnauthenticated: unauthenticatedShare(config, workers),
    reloadIntervalMs: secretIntervalMs,
  };
  const observe = reportingOf(worker, log.observe);
  const service = await startService(
    share,
    { observe, writeLine: (line) => log.writeLine(line) },
    surroundings,
  );
  const { controlPort, implicitTlsPort } = service;
  return {
    ports: {
      controlPort,
      ...(implicitTlsPort !== undefined && { implicitTlsPort }),
      passivePorts: service.passivePorts,
    },
    shutdown: drainOnSignals({
      service,
      drainMs: config.drainMs,
      observe,
      exit: (code) => void log.close().finally(() => process.exit(code)),
      signals: [],
    }),
  };
}

function surroundingsOf(
  { isFirstRun, worker, workers, operationsPort, fingerprintKey, bans }: StartRequest,
  primary: Channel<PrimaryCalls>,
  otherLogins: EventEmitter<{ result: [LoginResult] }>,
  setOperations: (operations: ServiceOperations) => void,
): ServiceSurroundings {
  return {
    startOperations: (options) => {
      setOperations(options);
      return Promise.resolve({ port: operationsPort, close: () => Promise.resolve() });
    },
    openSecret: (arn) => relayedSecret(arn, primary),
    sessionCounts: new ClaimedSessions((changes) => primary.call('count', changes)),
    sharedLogins: {
      processes: workers,
      fingerprintKey: Buffer.from(fingerprintKey, 'base64'),
      bans,
      // The others know less until the next result if the channel is full; this process has counted it.
      report: (result) => void primary.call('login', result).catch(() => undefined),
      onResult: (listener) => void otherLogins.on('result', listener),
    },
    isFirst: isFirstRun && worker === 1,
    processes: workers,
  };
}

function reportingOf(worker: number, observe: Observe): Observe {
  return (event) => {
    if (reportedByPrimary.has(event.event)) return;
    if (worker > 1 && reportedOnce.has(event.event)) return;
    observe(event);
  };
}
