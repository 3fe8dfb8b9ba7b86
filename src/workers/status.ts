/** The status of all worker processes as one. Pure. */
import type { GatewayStatus, LoginBan } from '../observability/gateway-status.ts';

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
    loginBans: mergeBans(known.flatMap(({ loginBans }) => loginBans)),
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

/** Workers know the bans of each other: each is shown once, those that end first at the beginning, a hundred at most. */
function mergeBans(bans: readonly LoginBan[]): readonly LoginBan[] {
  const latest = new Map<string, LoginBan>();
  for (const ban of bans) {
    const key = JSON.stringify([ban.source, ban.username]);
    const other = latest.get(key);
    if (other === undefined || other.until < ban.until) latest.set(key, ban);
  }
  return [...latest.values()].sort((one, other) => (one.until < other.until ? -1 : 1)).slice(0, 100);
}

function stageOf(
  known: readonly GatewayStatus[],
  { isStarted, isDraining }: PrimaryState,
): GatewayStatus['stage'] {
  if (!isStarted) return 'starting';
  if (!isDraining) return 'serving';
  return known.every(({ stage }) => stage === 'drained') ? 'drained' : 'draining';
}
