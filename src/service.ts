/**
 * Puts the process together from its configuration: users, certificate, S3, FTP, operations port. It starts everything or
 * nothing, and stops in the order that loses no committed upload.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from './config/variables.ts';
import { CertificateFromFiles } from './tls/certificate.ts';
import { openCertificateSecret } from './tls/certificate-secret.ts';
import { certificateSecondsLeft } from './tls/certificate-facts.ts';
import { watchExpiry } from './tls/expiry-watch.ts';
import type { CertificateHolder } from './tls/context.ts';
import { S3Filesystem } from './s3/filesystem/s3-filesystem.ts';
import { startGateway } from './ftp/gateway.ts';
import type { Gateway } from './ftp/running-gateway.ts';
import type { SharedLogins } from './users/login-checks.ts';
import type { SharedSessionCounts } from './ftp/control/session-limits.ts';
import { descriptorLimit, descriptorNeed } from './util/descriptors.ts';
import { DrainState } from './drain-state.ts';
import { startEmbeddedMetrics } from './observability/emf.ts';
import { shortened, type Observe } from './observability/event.ts';
import type { GatewayStatus } from './observability/gateway-status.ts';
import {
  type OperationsServer,
  type OperationsServerOptions,
  startOperationsServer,
} from './observability/operations-server.ts';
import { startPartnerSummaries } from './observability/partner-summaries.ts';
import { addBuildInfo, createMetrics, type Gauges, type Metrics } from './observability/metrics.ts';
import { ProbedPorts } from './observability/probed-ports.ts';
import { sweepAtStart } from './s3/upload/abandoned-uploads.ts';
import { maxPartsInFlight } from './s3/upload/part-uploader.ts';
import { createS3Client } from './s3/client/s3-client.ts';
import { checkBuckets } from './s3/bucket-check.ts';
import { S3Storage, type S3StorageOptions } from './s3/s3-storage.ts';
import { TransferMemory } from './s3/transfer-memory.ts';
import type { Authenticate, Credentials } from './users/user.ts';
import { openUserStore, passwordAuthenticator, type UserStore } from './users/user-store.ts';
import { type DocumentSource, secretSource } from './util/watched-document.ts';
import { version } from './version.ts';
import { maxRanges } from './s3/download/prefetcher.ts';

export type Service = {
  readonly controlPort: number;
  readonly implicitTlsPort?: number;
  readonly passivePorts: readonly number[];
  readonly operationsPort: number;
  /** Whether load balancers should send sessions. */
  readonly isReady: boolean;
  /**
   * Starts a drain that can take hours: not ready, but everything is still served. `serve` cancels it, and returns false if it
   * has already ended sessions.
   */
  drain(): void;
  serve(): boolean;
  /**
   * Accepts no more sessions, gives running transfers `drainMs` to finish, aborts the rest, and releases everything. It takes
   * less than `drainMs` + 4 s, whatever S3 does. Idempotent: the first call decides.
   */
  stop(reason: string, drainMs: number): Promise<void>;
};

export type ServiceLog = {
  readonly observe: Observe;
  readonly writeLine: (line: string) => void;
};

/** What the operations port can ask of the service. */
export type ServiceOperations = Omit<OperationsServerOptions, 'status' | 'metrics'> & {
  readonly metrics: Metrics['registry'];
  readonly status: () => GatewayStatus;
};

/** What the process shares with others; by default nothing. */
export type ServiceSurroundings = {
  /** Serves the operations port, or passes its requests on. */
  readonly startOperations: (options: ServiceOperations) => Promise<OperationsServer>;
  readonly openSecret: (arn: string) => DocumentSource;
  /** Whether this process does what is done once at the start of the gateway. */
  readonly isFirst: boolean;
  readonly sessionCounts?: SharedSessionCounts;
  readonly sharedLogins?: SharedLogins;
  /** Processes that have the sessions of `MAX_SESSIONS` together. */
  readonly processes: number;
};

const alone: ServiceSurroundings = {
  startOperations: startOperationsServer,
  openSecret: secretSource,
  isFirst: true,
  processes: 1,
};

/**
 * How long after a drain S3 has to confirm commits. Less than sessions wait for their replies (`drainGrace`), so that
 * clients get the result.
 */
const settlingMs = 2_500;

/** Functions that release what is open, called last to first. */
type Closers = (() => void | Promise<void>)[];

/** Starts the service. Rejects with an error that names the resource, and leaves nothing open. */
export async function startService(
  config: Config,
  log: ServiceLog,
  surroundings: ServiceSurroundings = alone,
): Promise<Service> {
  const closers: Closers = [];
  try {
    return await start(config, log, surroundings, closers);
  } catch (error) {
    await closeAll(closers);
    throw error;
  }
}

async function start(
  config: Config,
  log: ServiceLog,
  surroundings: ServiceSurroundings,
  closers: Closers,
): Promise<Service> {
  const { openSecret } = surroundings;
  let gateway: Gateway | undefined = undefined;
  let isListening = false;
  let probes: ProbedPorts | undefined = undefined;
  let draining: DrainState | undefined = undefined;
  const memory = new TransferMemory(config.transferMemoryBytes);
  let certificates: CertificateHolder | undefined = undefined;
  let storage: S3Storage | undefined = undefined;
  const currentGauges = (): Gauges => gauges(gateway, memory, certificates, storage);
  const metrics = createMetrics(currentGauges);
  addBuildInfo(metrics, version);
  const embedded = startEmbeddedMetrics(config.metricsNamespace, {
    gauges: currentGauges,
    writeLine: log.writeLine,
  });
  closers.push(() => embedded.close());
  const summaries = startPartnerSummaries(log.observe);
  closers.push(() => summaries.close());
  const observe: Observe = (event) => {
    if (event.event === 'session-opened' && draining?.stage !== 'serving' && isListening) {
      embedded.observe({ event: 'session-while-draining' });
    }
    log.observe(event);
    metrics.observe(event);
    embedded.observe(event);
    summaries.observe(event);
  };

  const openedStorage = openStorage(config, { memory, observe, responded: metrics.storageResponded });
  storage = openedStorage;
  closers.push(() => openedStorage.client.destroy());
  const { settling } = openedStorage.client;
  let users: UserStore | undefined = undefined;
  const openDocuments = async (): Promise<void> => {
    const opened = await openUserStore({
      source: config.users,
      defaultHome: { bucket: config.s3Bucket, prefix: config.s3Prefix },
      refreshMs: config.reloadIntervalMs,
      revoked: (names) => gateway?.endSessionsOf(names),
      openSecret,
      observe,
    });
    closers.push(() => opened.close());
    users = opened;
    const openedCertificates = await openCertificates(config, openSecret, observe);
    certificates = openedCertificates;
    if (openedCertificates === undefined) return;
    closers.push(() => openedCertificates.close());
    const expiry = watchExpiry(openedCertificates, observe);
    closers.push(() => expiry.close());
  };
  const openedUsers = (): UserStore => {
    if (users === undefined) throw new Error('the users are not loaded yet');
    return users;
  };

  const isReady = (): boolean =>
    isListening &&
    draining?.stage === 'serving' &&
    (config.readyAfterProbes === 'off' || probes?.isComplete === true);
  // Before the FTP side, so that a port in use is found before a client is greeted; and like the passive ports before the first
  // request to AWS, whose connection the kernel could give one of these ports.
  const operations = await surroundings.startOperations({
    listenAddress: config.operationsAddress,
    port: config.operationsPort,
    proxyProtocol: config.proxyProtocol,
    isReady,
    probed: (port) => probes?.probed(port) ?? false,
    status: () => statusOf(gateway, draining, openedStorage, isReady()),
    drain: () => draining?.drain(),
    serve: () => draining?.serve() ?? false,
    metrics: metrics.registry,
    onBusy: (busy) => observe({ event: 'port-busy', ...busy }),
  });
  closers.push(() => operations.close());
  const started = await startGateway(config, {
    prepare: openDocuments,
    // The users are opened in `prepare`. Without `remembered`, every login would cost a whole scrypt.
    authenticate: Object.assign(
      (...login: Parameters<Authenticate>) => passwordAuthenticator(openedUsers())(...login),
      {
        remembered: (credentials: Credentials) =>
          passwordAuthenticator(openedUsers()).remembered?.(credentials),
      },
    ),
    filesystemFor: (user, sessionId) => {
      const resumption = { owner: user.name, windowMs: config.resumeWindowMs };
      return new S3Filesystem(openedStorage, user.home, resumption, config.fileTimes, sessionId);
    },
    observe,
    get certificates() {
      return certificates;
    },
    sessionCounts: surroundings.sessionCounts,
    sharedLogins: surroundings.sharedLogins,
  });
  gateway = started;
  probes = new ProbedPorts(started.passivePorts);
  const drain = new DrainState(
    started,
    {
      propagationMs: config.drainPropagationMs,
      idleMs: config.drainIdleMs,
      maxMs: config.drainMaxMs,
      endMs: config.drainMs,
    },
    observe,
  );
  draining = drain;
  closers.push(() => drain.close());
  isListening = true;
  observe({ event: 'gateway-started', version, ...portsOf(started, operations) });
  const descriptors = descriptorNeed({
    limit: descriptorLimit(),
    maxSessions: Math.ceil(config.maxSessions / surroundings.processes),
    // Control, implicit TLS, operations.
    listeners: config.passivePorts.length + 3,
    requestsPerTransfer: Math.max(maxPartsInFlight, maxRanges),
  });
  if (descriptors.needed > descriptors.limit) observe({ event: 'descriptors-insufficient', ...descriptors });

  const { s3Bucket, s3Prefix } = config;
  if (surroundings.isFirst) {
    const check = new AbortController();
    const ownHome = s3Bucket === undefined ? [] : [{ bucket: s3Bucket, prefix: s3Prefix }];
    const checked = checkBuckets(openedStorage, [...ownHome, ...openedUsers().homes], check.signal);
    closers.push(async () => {
      check.abort();
      await checked;
    });
  }
  if (surroundings.isFirst && config.abandonedUploadMs > 0 && s3Bucket !== undefined) {
    const sweep = new AbortController();
    const swept = sweepAtStart(openedStorage, {
      bucket: s3Bucket,
      prefix: s3Prefix,
      // Uploads that can still be resumed are not abandoned.
      silentForMs: Math.max(config.abandonedUploadMs, config.resumeWindowMs),
      signal: sweep.signal,
    });
    closers.push(async () => {
      sweep.abort();
      await swept;
    });
  }

  let stopped: Promise<void> | undefined;
  const stop = async (reason: string, drainMs: number): Promise<void> => {
    const startedAtMs = performance.now();
    isListening = false;
    observe({ event: 'drain-started', reason, sessions: started.sessionCount });
    if (config.readyAfterProbes === 'on' && drain.stage !== 'drained') {
      await refuseWhileSent(started, drainMs);
    }
    const leftMs = Math.max(0, drainMs - (performance.now() - startedAtMs));
    const deadline = setTimeout(() => settling.giveUp(), leftMs + settlingMs);
    await started.drain(leftMs);
    await settling.done();
    clearTimeout(deadline);
    summaries.close();
    observe({ event: 'gateway-stopped', reason, durationMs: Math.round(performance.now() - startedAtMs) });
    await closeAll(closers);
  };
  return {
    ...portsOf(started, operations),
    get isReady() {
      return isReady();
    },
    drain: () => drain.drain(),
    serve: () => drain.serve(),
    stop: (reason, drainMs) => (stopped ??= stop(reason, drainMs)),
  };
}

/**
 * A Network Load Balancer sends sessions to a target for about two minutes after its deregistration. Without a process there
 * they would hang, so the process stays until the end of its drain and replies 421.
 */
async function refuseWhileSent(gateway: Gateway, drainMs: number): Promise<void> {
  gateway.refuseSessions();
  gateway.endSessions(drainMs);
  await delay(drainMs);
}

function statusOf(
  gateway: Gateway | undefined,
  drain: DrainState | undefined,
  storage: S3Storage,
  isReady: boolean,
): GatewayStatus {
  const startedAtMs = gateway?.transfersStartedAtMs ?? [];
  return {
    version,
    stage: drain?.stage ?? 'starting',
    ready: isReady,
    reversible: drain?.isReversible ?? true,
    sessions: gateway?.sessionCount ?? 0,
    // The first hundred: the answer must stay short.
    loginBans: (gateway?.loginBans ?? []).slice(0, 100).map(({ source, username, untilMs }) => ({
      source,
      ...(username !== undefined && { username: shortened(username) }),
      until: new Date(untilMs).toISOString(),
    })),
    transfers: startedAtMs.length,
    oldestTransferSeconds:
      startedAtMs.length === 0 ? 0 : Math.round((Date.now() - Math.min(...startedAtMs)) / 1000),
    failingStorage: storage.health.failing.map(({ sinceMs, ...failing }) => ({
      ...failing,
      since: new Date(sinceMs).toISOString(),
    })),
  };
}

function portsOf({ controlPort, implicitTlsPort, passivePorts }: Gateway, operations: OperationsServer) {
  return {
    controlPort,
    ...(implicitTlsPort !== undefined && { implicitTlsPort }),
    passivePorts,
    operationsPort: operations.port,
  };
}

function gauges(
  gateway: Gateway | undefined,
  memory: TransferMemory,
  certificates: CertificateHolder | undefined,
  storage: S3Storage | undefined,
): Gauges {
  const [failing] = storage?.health.failing ?? [];
  return {
    sessions: gateway?.sessionCount ?? 0,
    passivePortLeases: gateway?.passivePortUsage.leases ?? 0,
    passivePortWaiters: gateway?.passivePortUsage.waiting ?? 0,
    transferMemoryBytes: memory.heldBytes,
    waitingUploads: memory.waitingUploads,
    storageFailingSeconds: failing ? (Date.now() - failing.sinceMs) / 1000 : 0,
    certificateSecondsLeft: certificates && certificateSecondsLeft(certificates.current.chain),
  };
}

function openStorage(config: Config, shared: Omit<S3StorageOptions, 'client'>): S3Storage {
  const { s3Endpoint, s3ForcePathStyle } = config;
  const client = createS3Client({
    endpoint: s3Endpoint,
    forcePathStyle: s3ForcePathStyle,
  });
  return new S3Storage({ client, ...shared });
}

async function openCertificates(
  { tlsCertificate, reloadIntervalMs }: Config,
  openSecret: ServiceSurroundings['openSecret'],
  observe: Observe,
): Promise<(CertificateHolder & { close(): void }) | undefined> {
  switch (tlsCertificate?.kind) {
    case undefined:
      return undefined;
    case 'file':
      return await CertificateFromFiles.open(tlsCertificate, observe);
    case 'secretsmanager':
      return await openCertificateSecret(openSecret(tlsCertificate.arn), {
        refreshMs: reloadIntervalMs,
        observe,
      });
  }
}

async function closeAll(closers: Closers): Promise<void> {
  for (const close of closers.reverse()) await close();
  closers.length = 0;
}
