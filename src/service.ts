/**
 * Puts the process together from its configuration: users, certificate, S3, FTP, operations port. It starts everything or
 * nothing, and stops in the order that loses no committed upload.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from './config/variables.ts';
import { CertificateFromFiles } from './tls/certificate.ts';
import { openCertificateSecret } from './tls/certificate-secret.ts';
import { watchExpiry } from './tls/expiry-watch.ts';
import type { CertificateHolder } from './tls/context.ts';
import { S3Filesystem } from './s3/filesystem/s3-filesystem.ts';
import { startGateway } from './ftp/gateway.ts';
import type { Gateway } from './ftp/running-gateway.ts';
import type { SharedLogins } from './users/login-checks.ts';
import type { SharedSessionCounts } from './ftp/control/session-limits.ts';
import { descriptorLimit, descriptorNeed } from './util/descriptors.ts';
import { DrainState, type DrainTimes } from './drain-state.ts';
import { startEmbeddedMetrics } from './observability/emf.ts';
import type { Observe } from './observability/event.ts';
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
import { BucketCheck } from './s3/bucket-check.ts';
import { S3Storage, type S3StorageOptions } from './s3/s3-storage.ts';
import { TransferMemory } from './s3/transfer-memory.ts';
import { openUserStore, passwordAuthenticator, type UserStore } from './users/user-store.ts';
import { type DocumentSource, secretSource } from './util/watched-document.ts';
import { gaugesOf, isReady, statusOf, type ServiceParts } from './service-parts.ts';
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

/** What the steps of a start share. */
type Start = {
  readonly config: Config;
  readonly surroundings: ServiceSurroundings;
  readonly observe: Observe;
  readonly parts: ServiceParts;
  readonly closers: Closers;
};

/** Starts the service. Rejects with an error that names the resource, and leaves nothing open. */
export async function startService(
  config: Config,
  log: ServiceLog,
  surroundings: ServiceSurroundings = alone,
): Promise<Service> {
  const closers: Closers = [];
  try {
    return await openService(config, log, surroundings, closers);
  } catch (error) {
    await closeAll(closers);
    throw error;
  }
}

async function openService(
  config: Config,
  log: ServiceLog,
  surroundings: ServiceSurroundings,
  closers: Closers,
): Promise<Service> {
  const memory = new TransferMemory(config.transferMemoryBytes);
  const parts: ServiceParts = { memory, isListening: false };
  const { observe, metrics, summaries } = startReporting(config, log, parts, closers);
  const storage = openStorage(config, { memory, observe, responded: metrics.storageResponded });
  parts.storage = storage;
  closers.push(() => storage.client.destroy());
  const start: Start = { config, surroundings, observe, parts, closers };
  // Before the FTP side, so that a port in use is found before a client is greeted; and like the passive ports before the first
  // request to AWS, whose connection the kernel could give one of these ports.
  const operations = await openOperations(start, metrics);
  const gateway = await openGateway(start, storage);
  parts.gateway = gateway;
  parts.probes = new ProbedPorts(gateway.passivePorts);
  const drain = new DrainState(gateway, drainTimes(config), observe);
  parts.drain = drain;
  closers.push(() => drain.close());
  parts.isListening = true;
  const ports = portsOf(gateway, operations);
  observe({ event: 'gateway-started', version, ...ports });
  checkDescriptors(start);
  if (surroundings.isFirst) startStorageChecks(start, storage);

  let stopped: Promise<void> | undefined;
  const stop = async (reason: string, drainMs: number): Promise<void> => {
    const startedAtMs = performance.now();
    parts.isListening = false;
    observe({ event: 'drain-started', reason, sessions: gateway.sessionCount });
    if (config.readyAfterProbes === 'on' && drain.stage !== 'drained') {
      await refuseWhileSent(gateway, drainMs);
    }
    const leftMs = Math.max(0, drainMs - (performance.now() - startedAtMs));
    const { settling } = storage.client;
    const deadline = setTimeout(() => settling.giveUp(), leftMs + settlingMs);
    await gateway.drain(leftMs);
    await settling.done();
    clearTimeout(deadline);
    summaries.close();
    observe({ event: 'gateway-stopped', reason, durationMs: Math.round(performance.now() - startedAtMs) });
    await closeAll(closers);
  };
  return {
    ...ports,
    get isReady() {
      return isReady(parts, config.readyAfterProbes);
    },
    drain: () => drain.drain(),
    serve: () => drain.serve(),
    stop: (reason, drainMs) => (stopped ??= stop(reason, drainMs)),
  };
}

/** Starts what is made of the events: log, metrics, and summaries of partners. */
function startReporting(config: Config, log: ServiceLog, parts: ServiceParts, closers: Closers) {
  const gauges = (): Gauges => gaugesOf(parts);
  const metrics = createMetrics(gauges);
  addBuildInfo(metrics, version);
  const embedded = startEmbeddedMetrics(config.metricsNamespace, { gauges, writeLine: log.writeLine });
  closers.push(() => embedded.close());
  const summaries = startPartnerSummaries(log.observe);
  closers.push(() => summaries.close());
  const observe: Observe = (event) => {
    if (event.event === 'session-opened' && parts.drain?.stage !== 'serving' && parts.isListening) {
      embedded.observe({ event: 'session-while-draining' });
    }
    log.observe(event);
    metrics.observe(event);
    embedded.observe(event);
    summaries.observe(event);
  };
  return { observe, metrics, summaries };
}

function openStorage(config: Config, shared: Omit<S3StorageOptions, 'client'>): S3Storage {
  const { s3Endpoint, s3ForcePathStyle } = config;
  const client = createS3Client({ endpoint: s3Endpoint, forcePathStyle: s3ForcePathStyle });
  return new S3Storage({ client, ...shared });
}

async function openOperations(
  { config, surroundings, observe, parts, closers }: Start,
  metrics: Metrics,
): Promise<OperationsServer> {
  const ready = (): boolean => isReady(parts, config.readyAfterProbes);
  const operations = await surroundings.startOperations({
    listenAddress: config.operationsAddress,
    port: config.operationsPort,
    proxyProtocol: config.proxyProtocol,
    isReady: ready,
    probed: (port) => parts.probes?.probed(port) ?? false,
    status: () => statusOf(parts, ready()),
    drain: () => parts.drain?.drain(),
    serve: () => parts.drain?.serve() ?? false,
    metrics: metrics.registry,
    onBusy: (busy) => observe({ event: 'port-busy', ...busy }),
  });
  closers.push(() => operations.close());
  return operations;
}

async function openGateway(start: Start, storage: S3Storage): Promise<Gateway> {
  const { config, surroundings, observe, parts } = start;
  return await startGateway(config, {
    prepare: () => openDocuments(start),
    // The users are opened in `prepare`.
    authenticate: passwordAuthenticator(() => openedUsers(parts)),
    filesystemFor: (user, sessionId) => {
      const resumption = { owner: user.name, windowMs: config.resumeWindowMs };
      return new S3Filesystem(storage, user.home, resumption, config.fileTimes, sessionId);
    },
    observe,
    get certificates() {
      return parts.certificates;
    },
    sessionCounts: surroundings.sessionCounts,
    sharedLogins: surroundings.sharedLogins,
  });
}

/** Opens the users and the certificate. */
async function openDocuments({ config, surroundings, observe, parts, closers }: Start): Promise<void> {
  const { openSecret } = surroundings;
  const users = await openUserStore({
    source: config.users,
    defaultHome: { bucket: config.s3Bucket, prefix: config.s3Prefix },
    refreshMs: config.reloadIntervalMs,
    revoked: (names) => parts.gateway?.endSessionsOf(names),
    reloaded: () => parts.checkNewBuckets?.(),
    openSecret,
    observe,
  });
  closers.push(() => users.close());
  parts.users = users;
  const certificates = await openCertificates(config, openSecret, observe);
  parts.certificates = certificates;
  if (certificates === undefined) return;
  closers.push(() => certificates.close());
  const expiry = watchExpiry(certificates, observe);
  closers.push(() => expiry.close());
}

function openedUsers({ users }: ServiceParts): UserStore {
  if (users === undefined) throw new Error('the users are not loaded yet');
  return users;
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

function drainTimes(config: Config): DrainTimes {
  return {
    propagationMs: config.drainPropagationMs,
    idleMs: config.drainIdleMs,
    maxMs: config.drainMaxMs,
    endMs: config.drainMs,
  };
}

function checkDescriptors({ config, surroundings, observe }: Start): void {
  const descriptors = descriptorNeed({
    limit: descriptorLimit(),
    maxSessions: Math.ceil(config.maxSessions / surroundings.processes),
    // Control, implicit TLS, operations.
    listeners: config.passivePorts.length + 3,
    requestsPerTransfer: Math.max(maxPartsInFlight, maxRanges),
  });
  if (descriptors.needed > descriptors.limit) observe({ event: 'descriptors-insufficient', ...descriptors });
}

/** Starts what is done once while the gateway serves already: a check of each bucket, and the sweep of abandoned uploads. */
function startStorageChecks({ config, parts, closers }: Start, storage: S3Storage): void {
  const { s3Bucket: bucket, s3Prefix: prefix, abandonedUploadMs, resumeWindowMs } = config;
  const controller = new AbortController();
  const { signal } = controller;
  const ownHome = bucket === undefined ? [] : [{ bucket, prefix }];
  const buckets = new BucketCheck(storage, signal);
  const checkAll = (): Promise<void> => buckets.check([...ownHome, ...openedUsers(parts).homes]);
  const checks = [checkAll()];
  parts.checkNewBuckets = () => void checkAll();
  if (abandonedUploadMs > 0 && bucket !== undefined) {
    // Uploads that can still be resumed are not abandoned.
    const silentForMs = Math.max(abandonedUploadMs, resumeWindowMs);
    checks.push(sweepAtStart(storage, { bucket, prefix, silentForMs, signal }));
  }
  closers.push(async () => {
    controller.abort();
    await Promise.all([...checks, buckets.done]);
  });
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

function portsOf({ controlPort, implicitTlsPort, passivePorts }: Gateway, operations: OperationsServer) {
  return {
    controlPort,
    ...(implicitTlsPort !== undefined && { implicitTlsPort }),
    passivePorts,
    operationsPort: operations.port,
  };
}

async function closeAll(closers: Closers): Promise<void> {
  for (const close of closers.reverse()) await close();
  closers.length = 0;
}
