/** How many worker processes there are, and which part of the passive ports and of the transfer memory each has. Pure. */

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

/** The number of workers. `auto` is one for each core, as far as ports and memory are enough. */
export function workerCount(setting: 'auto' | number, cores: number, divisible: Divisible): number {
  return setting === 'auto' ? Math.max(1, Math.min(cores, maxWorkers(divisible))) : setting;
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
