/**
 * The file descriptors of the process: limit, need, reserves. At the limit libuv accepts connections and closes them
 * without a reply to the client and without an event (libuv, `uv__emfile_trick`), so the gateway must refuse new connections
 * before that.
 */
import type { Socket } from 'node:net';

/** The last descriptors below the limit are reserved for health checks and metrics. */
const operationsReserve = 16;
/** Minimum of descriptors for data connections and S3 requests of existing sessions when new sessions are refused. */
const minSessionReserve = 24;

/** Descriptors of the runtime, the log, watched documents, and `operationsReserve`. */
const fixedDescriptors = 64;

let knownLimit: number | undefined;

/** The limit of the process; infinite if the system reports none. Node raises the soft limit to the hard limit. */
export function descriptorLimit(): number {
  knownLimit ??= readLimit();
  return knownLimit;
}

function readLimit(): number {
  // Otherwise the report resolves the names of network addresses, which takes long on some networks.
  const report = Object.assign(process.report, { excludeNetwork: true });
  const { userLimits } = report.getReport() as {
    readonly userLimits?: { readonly open_files?: { readonly soft?: unknown } };
  };
  const soft = userLimits?.open_files?.soft;
  return typeof soft === 'number' ? soft : Number.POSITIVE_INFINITY;
}

export type DescriptorNeed = {
  /** Descriptors that the process may open (`ulimit -n`). */
  readonly limit: number;
  /** Descriptors that so many sessions can need. */
  readonly needed: number;
  /** Control and data connection, and the requests to S3 that one transfer makes at a time. */
  readonly descriptorsPerSession: number;
  /** `MAX_SESSIONS` of the process. */
  readonly maxSessions: number;
  /** Number of sessions that fit in the limit if each of them transfers a large file. */
  readonly sessionsWithinLimit: number;
};

/** The most descriptors that the configured number of sessions can need. Pure. */
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

/** Whether an accepted connection took a descriptor from the reserve of existing sessions. */
export function takesSessionReserve(socket: Socket): boolean {
  const limit = descriptorLimit();
  return isAtLeast(socket, limit - operationsReserve - Math.max(minSessionReserve, limit / 8));
}

/** Whether a connection took a descriptor from the reserve of health checks and metrics. */
export function takesOperationsReserve(socket: Socket): boolean {
  return isAtLeast(socket, descriptorLimit() - operationsReserve);
}

// A new descriptor gets the lowest free number (POSIX.1-2017, 2.14), so all lower numbers are in use, and its number is a
// count. Systems without numbered descriptors (Windows) have none.
function isAtLeast(socket: Socket, descriptor: number): boolean {
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: number } | null };
  return (handle?.fd ?? -1) >= descriptor;
}

/** The error of the system when no descriptor is left. */
export function descriptorShortage(): NodeJS.ErrnoException {
  return Object.assign(new Error('too few file descriptors are left'), { code: 'EMFILE' });
}

/** Whether a call failed because the process (EMFILE) or the machine (ENFILE) has no descriptor left. */
export function isOutOfDescriptors(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'EMFILE' || code === 'ENFILE';
}
