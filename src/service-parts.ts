/** The parts of a service, as far as they are open, and what the service reports of itself from them. */
import type { DrainState } from './drain-state.ts';
import type { Gateway } from './ftp/running-gateway.ts';
import { shortened } from './observability/event.ts';
import type { GatewayStatus } from './observability/gateway-status.ts';
import type { Gauges } from './observability/metrics.ts';
import type { ProbedPorts } from './observability/probed-ports.ts';
import type { S3Storage } from './s3/s3-storage.ts';
import type { TransferMemory } from './s3/transfer-memory.ts';
import { certificateSecondsLeft } from './tls/certificate-facts.ts';
import type { CertificateHolder } from './tls/context.ts';
import type { UserStore } from './users/user-store.ts';
import { version } from './version.ts';

/** Undefined until it is open; `certificates` also without TLS. */
export type ServiceParts = {
  readonly memory: TransferMemory;
  storage?: S3Storage;
  users?: UserStore;
  certificates?: CertificateHolder | undefined;
  gateway?: Gateway;
  probes?: ProbedPorts;
  drain?: DrainState;
  /** Checks the buckets of users that were added since the last check. */
  checkNewBuckets?: () => void;
  /** From the start of the service to the beginning of its stop. */
  isListening: boolean;
};

/** Whether load balancers should send sessions. */
export function isReady({ isListening, drain, probes }: ServiceParts, afterProbes: 'on' | 'off'): boolean {
  return isListening && drain?.stage === 'serving' && (afterProbes === 'off' || probes?.isComplete === true);
}

/** What `/status` shows. */
export function statusOf({ gateway, drain, storage }: ServiceParts, ready: boolean): GatewayStatus {
  const startedAtMs = gateway?.transfersStartedAtMs ?? [];
  return {
    version,
    stage: drain?.stage ?? 'starting',
    ready,
    reversible: drain?.isReversible ?? true,
    sessions: gateway?.sessionCount ?? 0,
    // The first hundred, to keep the response short.
    loginBans: (gateway?.loginBans ?? []).slice(0, 100).map(({ source, username, untilMs }) => ({
      source,
      ...(username !== undefined && { username: shortened(username) }),
      until: new Date(untilMs).toISOString(),
    })),
    transfers: startedAtMs.length,
    oldestTransferSeconds:
      startedAtMs.length === 0 ? 0 : Math.round((Date.now() - Math.min(...startedAtMs)) / 1000),
    failingStorage: (storage?.health.failing ?? []).map(({ sinceMs, ...failing }) => ({
      ...failing,
      since: new Date(sinceMs).toISOString(),
    })),
  };
}

/** The values that metrics read at each scrape. */
export function gaugesOf({ gateway, memory, certificates, storage }: ServiceParts): Gauges {
  const [failing] = storage?.health.failing ?? [];
  return {
    sessions: gateway?.sessionCount ?? 0,
    passivePortLeases: gateway?.passivePortUsage.leases ?? 0,
    passivePortWaiters: gateway?.passivePortUsage.waiting ?? 0,
    transferMemoryBytes: memory.heldBytes,
    waitingUploads: memory.waitingUploads,
    keptUploads: storage?.keptUploads.count ?? 0,
    storageFailingSeconds: failing ? (Date.now() - failing.sinceMs) / 1000 : 0,
    certificateSecondsLeft: certificates && certificateSecondsLeft(certificates.current.chain),
  };
}
