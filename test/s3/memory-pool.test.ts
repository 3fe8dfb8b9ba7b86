import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { MemoryPool, type FillingPart } from '../../src/s3/memory-pool.ts';

/** By trying every order: whether the parts can be completed one after another. */
function canAllComplete(parts: readonly FillingPart[], available: number): boolean {
  if (parts.length === 0) return true;
  return parts.some((part, index) => {
    const need = Math.max(0, part.claimBytes - part.fillingBytes);
    const others = parts.filter((_other, other) => other !== index);
    return need <= available && canAllComplete(others, available + part.fillingBytes);
  });
}

it('A memory pool calls a grant safe exactly where some order completes every part that is being filled', () => {
  const part = fc.record({ held: fc.integer({ min: 1, max: 12 }), claim: fc.integer({ min: 1, max: 12 }) });
  fc.assert(
    fc.property(
      fc.array(part, { maxLength: 5 }),
      fc.integer({ min: 1, max: 50 }),
      fc.nat({ max: 10 }),
      fc.integer({ min: 1, max: 6 }),
      fc.nat({ max: 5 }),
      (given, limit, readAhead, bytes, index) => {
        const pool = new MemoryPool(limit);
        pool.readAheadBytes = readAhead;
        const parts: FillingPart[] = given.map(({ held, claim }) => ({
          fillingBytes: held,
          claimBytes: claim,
        }));
        for (const filling of parts) pool.filled(filling, filling.fillingBytes);
        // One of the parts, or a new one.
        const asking = parts[index] ?? { fillingBytes: 0, claimBytes: 12 };
        const after = parts.includes(asking) ? parts : [...parts, asking];
        const granted = after.map((one) =>
          one === asking ? { ...one, fillingBytes: one.fillingBytes + bytes } : one,
        );
        const available =
          limit - readAhead - granted.reduce((sum, { fillingBytes }) => sum + fillingBytes, 0);
        assert.equal(pool.isSafe(asking, bytes, 12), available >= 0 && canAllComplete(granted, available));
      },
    ),
    { numRuns: 2000 },
  );
});
