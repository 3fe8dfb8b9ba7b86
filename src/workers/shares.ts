/** How many worker processes there are, and which part of the passive ports and of the transfer memory each has. Pure. */
import type { Capacity } from './capacity.ts';

/** What one worker has of the resources that processes cannot use together. */
export type Share = {
  /** From 1. A worker that is started again has the number and the share of the one before. */
  readonly worker: number;
  readonly passivePorts: readonly number[];
  readonly transferMemoryBytes: number;
};

/** What is divided. */
export type Divisible = Pick<Share, 'passivePorts' | 'transferMemoryBytes'>;

/** One worker's least transfer memory in bytes: the minimum of `TRANSFER_MEMORY_MIB`. */
export const minTransferMemoryBytes = 32 * 1024 * 1024;

/** The most workers that the passive ports and the transfer memory are enough for; at least 1. */
export function maxWorkers({ passivePorts, transferMemoryBytes }: Divisible): number {
  return Math.max(1, Math.min(passivePorts.length, Math.floor(transferMemoryBytes / minTransferMemoryBytes)));
}

/**
 * The memory of a process besides its transfer buffers, in bytes: what a worker with 64 transfers needs. The primary needs half of it
 * (docs/benchmarks.md, memory).
 */
const processMemoryBytes = 200 * 1024 * 1024;

/** Why there are fewer workers than cores. */
export type WorkerLimit = 'PASSIVE_PORTS' | 'TRANSFER_MEMORY_MIB' | 'memory';

/** The number of workers that use the capacity, and what keeps it below the number of cores. */
export function automaticWorkers(
  { cores, memoryBytes }: Capacity,
  { passivePorts, transferMemoryBytes }: Divisible,
): { readonly workers: number; readonly limit?: WorkerLimit } {
  // One process fewer, which is the primary.
  const inMemory = Math.floor((memoryBytes - transferMemoryBytes) / processMemoryBytes) - 1;
  const limits: (readonly [WorkerLimit, number])[] = [
    ['PASSIVE_PORTS', passivePorts.length],
    ['TRANSFER_MEMORY_MIB', Math.floor(transferMemoryBytes / minTransferMemoryBytes)],
    ['memory', inMemory],
  ];
  const [limit, workers] = limits.reduce((one, other) => (other[1] < one[1] ? other : one));
  return cores === 1 || workers >= cores ? { workers: cores } : { workers: Math.max(1, workers), limit };
}

/**
 * Divides the ports into consecutive runs that differ by one port at most, and the memory evenly.
 * @throws RangeError for more workers than ports.
 */
export function divide({ passivePorts, transferMemoryBytes }: Divisible, workers: number): readonly Share[] {
  if (workers > passivePorts.length) {
    throw new RangeError(`${workers} workers and ${passivePorts.length} passive ports`);
  }
  const fewest = Math.floor(passivePorts.length / workers);
  const withOneMore = passivePorts.length % workers;
  return Array.from({ length: workers }, (_, index) => {
    const first = index * fewest + Math.min(index, withOneMore);
    return {
      worker: index + 1,
      passivePorts: passivePorts.slice(first, first + fewest + (index < withOneMore ? 1 : 0)),
      transferMemoryBytes: Math.floor(transferMemoryBytes / workers),
    };
  });
}

/**
 * One worker's part of the connections without a login, of which all workers together have `MAX_UNAUTHENTICATED`, and half of the
 * sessions at most. At this limit a new connection replaces another one, so it does no harm that some workers get more of them.
 */
export function unauthenticatedShare(
  { maxUnauthenticated, maxSessions }: { readonly maxUnauthenticated: number; readonly maxSessions: number },
  workers: number,
): number {
  return Math.ceil(Math.min(maxUnauthenticated, Math.ceil(maxSessions / 2)) / workers);
}
