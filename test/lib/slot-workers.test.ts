import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { idleCoresWarning, slotWorkers } from '../../lib/slot-workers.ts';

const gibibyte = 1024 ** 3;

describe('the worker processes of a slot', () => {
  const counts: readonly (readonly [cpu: number, ports: number, workers: number])[] = [
    [256, 2, 1],
    [512, 4, 1],
    [1024, 4, 1],
    [2048, 2, 2],
    [2048, 1, 1],
    [4096, 4, 4],
    [8192, 4, 4],
  ];
  for (const [cpu, ports, workers] of counts) {
    it(`A slot of ${ports} passive ports with cpu ${cpu} runs ${workers} worker processes`, () => {
      const passivePorts = Array.from({ length: ports }, (_, index) => 50_000 + index);
      assert.equal(slotWorkers(passivePorts, { cpu, transferMemoryBytes: 2 * gibibyte }), workers);
    });
  }

  it('A worker process needs 32 MiB of transfer memory', () => {
    assert.equal(slotWorkers([1, 2, 3, 4], { cpu: 4096, transferMemoryBytes: gibibyte / 16 }), 2);
  });

  it('A warning says what to set where a slot has fewer passive ports than its task has cores', () => {
    assert.equal(idleCoresWarning(2, 4, 2048), undefined);
    assert.match(idleCoresWarning(1, 4, 2048) ?? '', /Set portsPerSlot 2, or cpu 1024 and more slots\.$/);
    assert.match(idleCoresWarning(3, 3, 4096) ?? '', /Set cpu 2048 and more slots\.$/);
    assert.match(idleCoresWarning(2, 4, 4096) ?? '', /Set portsPerSlot 4, or cpu 2048 and more slots\.$/);
    assert.match(idleCoresWarning(4, 4, 8192) ?? '', /Set cpu 4096 and more slots\.$/);
  });
});
