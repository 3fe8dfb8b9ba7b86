import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { divide, maxWorkers, workerCount } from '../../src/workers/shares.ts';

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

  it('More workers than passive ports cannot be divided', () => {
    assert.throws(
      () => divide({ passivePorts: range(50_000, 2), transferMemoryBytes: 512 * mebibyte }, 3),
      RangeError,
    );
  });

  const counts: readonly (readonly [
    setting: 'auto' | number,
    cores: number,
    ports: number,
    mib: number,
    count: number,
  ])[] = [
    ['auto', 1, 4, 256, 1],
    ['auto', 2, 4, 256, 2],
    ['auto', 16, 4, 256, 4],
    ['auto', 16, 64, 256, 8],
    ['auto', 16, 64, 512, 16],
    ['auto', 8, 1, 256, 1],
    ['auto', 4, 4, 32, 1],
    [1, 16, 4, 256, 1],
    [3, 2, 4, 256, 3],
  ];
  for (const [setting, cores, ports, mib, count] of counts) {
    it(`WORKERS=${setting} means ${count} with ${cores} cores, ${ports} passive ports and ${mib} MiB of transfer memory`, () => {
      const divisible = { passivePorts: range(50_000, ports), transferMemoryBytes: mib * mebibyte };
      assert.equal(workerCount(setting, cores, divisible), count);
      if (setting === 'auto') assert.ok(count <= maxWorkers(divisible));
    });
  }
});
