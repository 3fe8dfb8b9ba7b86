/**
 * The primary of several worker processes. It owns the operations port and the log, starts the workers and starts them again,
 * and ends them. It has no sessions. Why processes, and what they share: docs/decisions/0027-worker-processes.md.
 */
import { randomBytes } from 'node:crypto';
import type { Config } from './config/variables.ts';
import { addBuildInfo, createPrimaryMetrics } from './observability/metrics.ts';
import {
  countersOf,
  mergeSnapshots,
  type MetricSnapshot,
  snapshotOf,
} from './observability/merged-metrics.ts';
import { type EmbeddedMetrics, startPrimaryMetrics } from './observability/emf.ts';
import type { GatewayStatus } from './observability/gateway-status.ts';
import { type OperationsServer, startOperationsServer } from './observability/operations-server.ts';
import { ProbedPorts } from './observability/probed-ports.ts';
import type { Service, ServiceLog } from './service.ts';
import type { LoginResult } from './users/login-checks.ts';
import { LoginThrottle } from './users/login-throttle.ts';
import { version } from './version.ts';
import { blockedLine, readinessTimeoutMs } from './watchdog.ts';
import type { PrimaryCalls, StartedPorts } from './workers/calls.ts';
import { SharedSecrets } from './workers/secrets.ts';
import { SessionCounts } from './workers/session-counts.ts';
import { divide, type Share } from './workers/shares.ts';
import { mergeStatuses } from './workers/status.ts';
import { WorkerPool } from './workers/worker-pool.ts';
import { WorkerProcess } from './workers/worker-process.ts';

/** The worker processes as one gateway. */
export type Primary = Omit<Service, 'drain' | 'serve' | 'implicitTlsPort'> & {
  readonly implicitTlsPort?: number | undefined;
  /** Resolves when a worker crashes in a loop. */
  readonly failed: Promise<Error>;
};

export type PrimaryOptions = {
  readonly workers: number;
  /** The file that the workers run; it calls `runWorker`. */
  readonly program: string;
  /** What the workers find in their environment besides that of this process. */
  readonly environment?: NodeJS.ProcessEnv;
};

/** A worker could not start. The message is complete: it is the text for the operator. */
export class WorkerStartError extends Error {
  override readonly name = 'WorkerStartError';
}

/** What a worker needs of `DRAIN_SECONDS` for its exit, so that the primary does not end before it. */
const workerExitMs = 250;

/** Starts all workers or none. Rejects with a `WorkerStartError`, or with an error that names the resource. */
export async function startPrimary(
  config: Config,
  log: ServiceLog,
  options: PrimaryOptions,
): Promise<Primary> {
  const primary = new RunningPrimary(config, log, options);
  try {
    await primary.start();
    return primary;
  } catch (error) {
    await primary.close();
    throw error;
  }
}

class RunningPrimary implements Primary {
  readonly failed: Promise<Error>;
  readonly #config: Config;
  readonly #options: PrimaryOptions;
  readonly #log: ServiceLog;
  readonly #metrics = createPrimaryMetrics(() => this.#pool.started.length);
  readonly #embeddedMetrics: EmbeddedMetrics;
  readonly #secrets = new SharedSecrets();
  readonly #counts: SessionCounts;
  /** For the bans that a worker begins with; it decides nothing. */
  readonly #throttle: LoginThrottle;
  readonly #fingerprintKey = randomBytes(32).toString('base64');
  readonly #pool: WorkerPool;
  readonly #probes: ProbedPorts;
  #operations: OperationsServer | undefined;
  #ports: StartedPorts | undefined;
  /** What the processes that have ended counted until their last scrape. */
  #endedCounters: Promise<readonly MetricSnapshot[]> = Promise.resolve([]);
  #isDraining = false;
  #stopped: Promise<void> | undefined;

  constructor(config: Config, log: ServiceLog, options: PrimaryOptions) {
    this.#config = config;
    this.#log = log;
    this.#options = options;
    this.#embeddedMetrics = startPrimaryMetrics(config.metricsNamespace, {
      workers: () => this.#pool.started.length,
      writeLine: log.writeLine,
    });
    this.#probes = new ProbedPorts(config.passivePorts);
    this.#throttle = new LoginThrottle(config);
    this.#counts = new SessionCounts({
      all: config.maxSessions,
      address: config.maxSessionsPerAddress,
      user: config.maxSessionsPerUser,
      unauthenticated: config.maxUnauthenticatedPerAddress,
    });
    addBuildInfo(this.#metrics, version);
    const { promise, resolve } = Promise.withResolvers<Error>();
    this.failed = promise;
    this.#pool = new WorkerPool({
      shares: divide(config, options.workers),
      fork: (share) => this.#fork(share),
      start: (process, share, isFirstRun) => this.#startWorker(process, share, isFirstRun),
      ended: (process, { worker }) => {
        this.#keepCounters(process);
        return this.#counts.forget(worker);
      },
      failed: resolve,
      observe: this.#observe,
    });
    // However this process ends, no worker outlives it.
    process.once('exit', () => this.#pool.kill());
  }

  get controlPort(): number {
    return this.#ports?.controlPort ?? 0;
  }

  get implicitTlsPort(): number | undefined {
    return this.#ports?.implicitTlsPort;
  }

  get passivePorts(): readonly number[] {
    return this.#config.passivePorts;
  }

  get operationsPort(): number {
    return this.#operations?.port ?? 0;
  }

  /** All workers have started, and one at least runs; one that is started again has no new sessions meanwhile. */
  get isReady(): boolean {
    return (
      this.#ports !== undefined &&
      this.#stopped === undefined &&
      !this.#isDraining &&
      this.#pool.started.length > 0 &&
      (this.#config.readyAfterProbes === 'off' || this.#probes.isComplete)
    );
  }

  async start(): Promise<void> {
    const { operationsAddress: listenAddress, operationsPort, proxyProtocol } = this.#config;
    // Before the workers, so that a port in use is found before a client is greeted.
    this.#operations = await startOperationsServer({
      listenAddress,
      port: operationsPort,
      proxyProtocol,
      isReady: () => this.isReady,
      probed: (port) => this.#ports !== undefined && this.#probes.probed(port),
      status: () => this.#status(),
      drain: () => this.#drain(),
      serve: () => this.#serve(),
      metrics: {
        contentType: this.#metrics.registry.contentType,
        metrics: async () => await mergeSnapshots(await this.#snapshots()).metrics(),
      },
    });
    await this.#openSecrets();
    await this.#pool.start();
    const { workers } = this.#options;
    const { controlPort, implicitTlsPort, passivePorts } = this;
    this.#observe({
      event: 'gateway-started',
      version,
      controlPort,
      ...(implicitTlsPort !== undefined && { implicitTlsPort }),
      passivePorts,
      operationsPort: this.operationsPort,
      workers,
    });
  }

  stop(reason: string, drainMs: number): Promise<void> {
    return (this.#stopped ??= this.#stop(reason, drainMs));
  }

  /** Kills all workers, and releases everything. */
  async close(): Promise<void> {
    this.#pool.kill();
    await this.#pool.allEnded();
    this.#secrets.close();
    this.#embeddedMetrics.close();
    await this.#operations?.close();
  }

  async #stop(reason: string, drainMs: number): Promise<void> {
    const startedAtMs = performance.now();
    this.#pool.stopRestarts();
    const { sessions } = await this.#status();
    this.#observe({ event: 'drain-started', reason, sessions });
    const request = { reason, drainMs: Math.max(0, drainMs - workerExitMs) };
    for (const { process } of this.#pool.started) void process.channel.call('stop', request).catch(ignore);
    await this.#pool.allEnded();
    const durationMs = Math.round(performance.now() - startedAtMs);
    this.#observe({ event: 'gateway-stopped', reason, durationMs });
    await this.close();
  }

  readonly #observe: ServiceLog['observe'] = (event) => {
    this.#log.observe(event);
    this.#metrics.observe(event);
    this.#embeddedMetrics.observe(event);
  };

  #fork({ worker }: Share): WorkerProcess {
    const calls: PrimaryCalls = {
      count: (changes) => this.#counts.apply(worker, changes),
      login: (result) => this.#passOn(worker, result),
      secret: ({ arn, known }) => this.#secrets.read(arn, known),
    };
    const { program, environment = {} } = this.#options;
    return WorkerProcess.fork(program, {
      environment,
      calls,
      writeLines: this.#log.writeLine,
      blockedLine,
    });
  }

  async #startWorker(process: WorkerProcess, share: Share, isFirstRun: boolean): Promise<void> {
    const { workers } = this.#options;
    const timer = setTimeout(() => process.kill('SIGKILL'), readinessTimeoutMs);
    try {
      const ports = await process.channel.call('start', {
        ...share,
        workers,
        isFirstRun,
        operationsPort: this.operationsPort,
        fingerprintKey: this.#fingerprintKey,
        bans: this.#throttle.bans,
      });
      this.#ports ??= ports;
    } catch (error) {
      throw new WorkerStartError((error as Error).message, { cause: error });
    } finally {
      clearTimeout(timer);
    }
    if (this.#isDraining) await process.channel.call('drain', null);
  }

  /** Tells the other workers the result of a login. */
  #passOn(worker: number, result: LoginResult): void {
    this.#throttle.record(result);
    for (const { share, process } of this.#pool.started) {
      if (share.worker !== worker) void process.channel.call('login', result).catch(ignore);
    }
  }

  async #openSecrets(): Promise<void> {
    const { users, tlsCertificate, reloadIntervalMs: intervalMs } = this.#config;
    const sources = [
      ['users', users],
      ['certificate', tlsCertificate],
    ] as const;
    for (const [config, source] of sources) {
      if (source?.kind !== 'secretsmanager') continue;
      await this.#secrets.open(source.arn, { config, intervalMs, observe: this.#observe });
    }
  }

  #drain(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#drainWorkers();
    void this.#status().then(({ sessions }) => this.#observe({ event: 'drain-requested', sessions }));
  }

  #drainWorkers(): void {
    for (const { process } of this.#pool.started) void process.channel.call('drain', null).catch(ignore);
  }

  async #serve(): Promise<boolean> {
    const { reversible } = await this.#status();
    if (!reversible) return false;
    const serving = this.#pool.started.map(({ process }) =>
      process.channel.call('serve', null).catch(() => true),
    );
    if ((await Promise.all(serving)).includes(false)) {
      // One has ended a session meanwhile, so the others drain again.
      this.#drainWorkers();
      return false;
    }
    if (this.#isDraining) this.#observe({ event: 'drain-cancelled', sessions: this.#lastStatus().sessions });
    this.#isDraining = false;
    return true;
  }

  async #status(): Promise<GatewayStatus> {
    await Promise.all(this.#pool.started.map(({ process }) => process.latest('status')));
    return this.#lastStatus();
  }

  #lastStatus(): GatewayStatus {
    const workers = this.#pool.started.map(({ share, process }) => ({
      worker: share.worker,
      pid: process.pid,
      passivePorts: share.passivePorts,
      status: process.lastAnswer('status'),
    }));
    return mergeStatuses(workers, {
      version,
      isStarted: this.#ports !== undefined,
      isReady: this.isReady,
      isDraining: this.#isDraining,
    });
  }

  async #snapshots(): Promise<readonly (readonly MetricSnapshot[])[]> {
    const workers = await Promise.all(this.#pool.started.map(({ process }) => process.latest('metrics')));
    return [
      await snapshotOf(this.#metrics.registry),
      await this.#endedCounters,
      ...workers.filter((snapshot) => snapshot !== undefined),
    ];
  }

  #keepCounters(process: WorkerProcess): void {
    const last = process.lastAnswer('metrics');
    if (last === undefined) return;
    this.#endedCounters = this.#endedCounters.then((earlier) =>
      snapshotOf(mergeSnapshots([earlier, countersOf(last)])),
    );
  }
}

function ignore(): void {
  // The process has ended, which the pool handles.
}
