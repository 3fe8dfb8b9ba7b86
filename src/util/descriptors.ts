/**
 * The process's file descriptors: how many it may have, how many it needs, and what a shortage looks like. At the very limit
 * libuv accepts connections only to close them, without a word to the client and without an event here (libuv,
 * `uv__emfile_trick`), so new connections must be refused before that.
 */
import type { Socket } from 'node:net';

/** Only health checks and metrics take the last ones below the limit. */
const operationsReserve = 16;
/** What existing sessions may still take for data connections and for S3 when new ones are refused. */
const smallestSessionReserve = 24;

/** The runtime's own, the log, documents that are read, and the reserve above. */
const fixedDescriptors = 64;

let knownLimit: number | undefined;

/** How many the process may have; infinite where the system does not tell. Node raises the soft limit to the hard one. */
export function descriptorLimit(): number {
  knownLimit ??= readLimit();
  return knownLimit;
}

function readLimit(): number {
  // Without it the addresses of interfaces are looked up by name, which takes long on some networks.
  const report = Object.assign(process.report, { excludeNetwork: true });
  const { userLimits } = report.getReport() as {
    readonly userLimits?: { readonly open_files?: { readonly soft?: unknown } };
  };
  const soft = userLimits?.open_files?.soft;
  return typeof soft === 'number' ? soft : Number.POSITIVE_INFINITY;
}

export type DescriptorNeed = {
  readonly limit: number;
  readonly needed: number;
  /** Control and data connection, and the requests to S3 that one transfer makes at a time. */
  readonly descriptorsPerSession: number;
  readonly maxSessions: number;
  /** How many sessions the limit allows if each of them moves a large file. */
  readonly sessionsWithinLimit: number;
};

/** What the configured number of sessions needs at most. Pure. */
export function descriptorNeed({
  limit,
  maxSessions,
  listeners,
  requestsPerTransfer,
}: {
  readonly limit: number;
  readonly maxSessions: number;
  readonly listeners: number;
  readonly requestsPerTransfer: number;
}): DescriptorNeed {
  const descriptorsPerSession = 2 + requestsPerTransfer;
  const fixed = fixedDescriptors + listeners;
  return {
    limit,
    needed: fixed + maxSessions * descriptorsPerSession,
    descriptorsPerSession,
    maxSessions,
    sessionsWithinLimit: Math.max(0, Math.floor((limit - fixed) / descriptorsPerSession)),
  };
}

/** Whether a connection that came in has taken a descriptor that existing sessions may need. */
export function takesSessionReserve(socket: Socket): boolean {
  const limit = descriptorLimit();
  return isAtLeast(socket, limit - operationsReserve - Math.max(smallestSessionReserve, limit / 8));
}

/** Whether a connection has taken a descriptor that is kept for health checks and metrics. */
export function takesOperationsReserve(socket: Socket): boolean {
  return isAtLeast(socket, descriptorLimit() - operationsReserve);
}

// A new descriptor is the lowest number that is free (POSIX.1-2017, 2.14), so all below it are in use: its number tells how
// many there are, without counting. Systems without numbered descriptors (Windows) show none.
function isAtLeast(socket: Socket, descriptor: number): boolean {
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: number } | null };
  return (handle?.fd ?? -1) >= descriptor;
}

/** As the system would name it, had the last descriptors not been kept. */
export function descriptorShortage(): NodeJS.ErrnoException {
  return Object.assign(new Error('too few file descriptors are left'), { code: 'EMFILE' });
}

/** Whether a call failed because the process (EMFILE) or the machine (ENFILE) has no descriptor left. */
export function isOutOfDescriptors(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'EMFILE' || code === 'ENFILE';
}
