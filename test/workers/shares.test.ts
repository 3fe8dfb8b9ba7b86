import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  automaticWorkers,
  divide,
  maxWorkers,
  unauthenticatedShare,
  type WorkerLimit,
} from '../../src/workers/shares.ts';

const mebibyte = 1024 * 1024;

function range(first: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}

describe('the shares of worker processes', () => {
  const divisions: readonly (readonly [ports: number, workers: number, sizes: readonly number[]])[] = [
    [2, 2, [1, 1]],
    [4, 2, [2, 2]],
    [5, 2, [3, 2]],
    [7, 4, [2, 2, 2, 1]],
    [1024, 16, Array.from({ length: 16 }, () => 64)],
  ];
  for (const [ports, workers, sizes] of divisions) {
    it(`Each of ${ports} passive ports belongs to exactly one of ${workers} workers, in runs of ${[...new Set(sizes)].join(' or ')}`, () => {
      const passivePorts = range(50_000, ports);
      const shares = divide({ passivePorts, transferMemoryBytes: 512 * mebibyte }, workers);
      assert.deepEqual(
        shares.map((share) => share.passivePorts.length),
        sizes,
      );
      assert.deepEqual(
        shares.flatMap((share) => share.passivePorts),
        passivePorts,
      );
      assert.deepEqual(
        shares.map(({ worker }) => worker),
        range(1, workers),
      );
    });
  }

  it('The transfer memory of all workers together is never more than the limit', () => {
    const transferMemoryBytes = 100 * mebibyte + 1;
    const shares = divide({ passivePorts: range(50_000, 3), transferMemoryBytes }, 3);
    const sum = shares.reduce((total, share) => total + share.transferMemoryBytes, 0);
    assert.ok(sum <= transferMemoryBytes && sum > transferMemoryBytes - 3);
  });

  for (const [maxUnauthenticated, maxSessions, workers, share] of [
    [500, 2_000, 1, 500],
    [500, 2_000, 2, 250],
    [500, 2_000, 3, 167],
    [500, 100, 2, 25],
    [1, 2_000, 4, 1],
  ] as const) {
    it(`Of MAX_UNAUTHENTICATED ${maxUnauthenticated} and MAX_SESSIONS ${maxSessions} each of ${workers} workers has ${share} connections without a login`, () => {
      assert.equal(unauthenticatedShare({ maxUnauthenticated, maxSessions }, workers), share);
    });
  }

  it('More workers than passive ports cannot be divided', () => {
    assert.throws(
      () => divide({ passivePorts: range(50_000, 2), transferMemoryBytes: 512 * mebibyte }, 3),
      RangeError,
    );
  });

  const counts: readonly (readonly [
    cores: number,
    memoryMiB: number,
    ports: number,
    transferMiB: number,
    workers: number,
    limit?: WorkerLimit,
  ])[] = [
    [1, 512, 1, 32, 1],
    [1, 300, 4, 256, 1],
    [2, 2048, 4, 256, 2],
    [2, 2048, 2, 256, 2],
    [2, 4096, 1, 256, 1, 'PASSIVE_PORTS'],
    [16, 65_536, 4, 256, 4, 'PASSIVE_PORTS'],
    [16, 65_536, 64, 256, 8, 'TRANSFER_MEMORY_MIB'],
    [16, 65_536, 64, 512, 16],
    [4, 65_536, 4, 32, 1, 'TRANSFER_MEMORY_MIB'],
    [4, 1024, 4, 256, 2, 'memory'],
    [4, 512, 4, 256, 1, 'memory'],
    [4, 200, 4, 256, 1, 'memory'],
  ];
  for (const [cores, memoryMiB, ports, transferMiB, workers, limit] of counts) {
    it(`WORKERS=auto means ${workers} with ${cores} cores, ${memoryMiB} MiB, ${ports} passive ports and TRANSFER_MEMORY_MIB=${transferMiB}, limited by ${limit ?? 'the cores'}`, () => {
      const divisible = {
        passivePorts: range(50_000, ports),
        transferMemoryBytes: transferMiB * mebibyte,
      };
      const chosen = automaticWorkers({ cores, memoryBytes: memoryMiB * mebibyte }, divisible);
      assert.deepEqual(chosen, limit === undefined ? { workers } : { workers, limit });
      assert.ok(chosen.workers <= maxWorkers(divisible));
    });
  }
});
