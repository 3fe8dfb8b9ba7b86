/** The status of all worker processes as one. Pure. */
import type { GatewayStatus } from '../observability/gateway-status.ts';

/** A worker that runs, and its last answer. */
export type KnownWorker = {
  readonly worker: number;
  readonly pid: number;
  readonly passivePorts: readonly number[];
  /** Undefined before its first answer. */
  readonly status: GatewayStatus | undefined;
};

export type PrimaryState = {
  readonly version: string;
  readonly isStarted: boolean;
  readonly isReady: boolean;
  readonly isDraining: boolean;
};

/** Sessions and transfers are sums; the gateway is drained when every worker is, and can serve again while every worker can. */
export function mergeStatuses(workers: readonly KnownWorker[], state: PrimaryState): GatewayStatus {
  const known = workers.flatMap(({ status }) => status ?? []);
  const sum = (field: 'sessions' | 'transfers') => known.reduce((total, status) => total + status[field], 0);
  return {
    version: state.version,
    stage: stageOf(known, state),
    ready: state.isReady,
    reversible: known.every(({ reversible }) => reversible),
    sessions: sum('sessions'),
    transfers: sum('transfers'),
    oldestTransferSeconds: Math.max(0, ...known.map(({ oldestTransferSeconds }) => oldestTransferSeconds)),
    // The same source may be banned by several workers, each for its own time.
    loginBans: known.flatMap(({ loginBans }) => loginBans).slice(0, 100),
    failingStorage: known.flatMap(({ failingStorage }) => failingStorage),
    workers: workers.map(({ worker, pid, passivePorts, status }) => ({
      worker,
      pid,
      passivePorts,
      sessions: status?.sessions ?? 0,
      transfers: status?.transfers ?? 0,
    })),
  };
}

function stageOf(
  known: readonly GatewayStatus[],
  { isStarted, isDraining }: PrimaryState,
): GatewayStatus['stage'] {
  if (!isStarted) return 'starting';
  if (!isDraining) return 'serving';
  return known.every(({ stage }) => stage === 'drained') ? 'drained' : 'draining';
}
