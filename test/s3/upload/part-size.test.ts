import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  minPartBytesAt,
  maxObjectBytes,
  maxPartBytes,
  maxUploadBytes,
  maxParts,
  partSizeBytes,
  minPartBytes,
} from '../../../src/s3/upload/part-size.ts';

const mib = 1024 ** 2;
const gib = 1024 ** 3;
const tib = 1024 ** 4;
/** More memory than any machine has: parts grow as far as S3 lets them. */
const unbounded = 64 * gib;

describe('the size of the next part', () => {
  const growth = [
    [1, 8 * mib],
    [50, 8 * mib],
    [51, 16 * mib],
    [100, 16 * mib],
    [101, 32 * mib],
    [151, 64 * mib],
    [201, 128 * mib],
    [251, 256 * mib],
    [301, 512 * mib],
    [351, gib],
    [401, 2 * gib],
    [451, 4 * gib],
    [500, 4 * gib],
    [501, maxPartBytes],
    [maxParts, maxPartBytes],
  ] as const;
  for (const [partNumber, sizeBytes] of growth) {
    it(`Part ${partNumber} has ${sizeBytes / mib} MiB where memory is not the limit.`, () => {
      assert.equal(partSizeBytes({ partNumber, budgetBytes: unbounded }), sizeBytes);
    });
  }

  const bounded = [
    // [budget, part number, size]
    [16 * mib, 1, minPartBytes],
    [64 * mib, 1, 8 * mib],
    [64 * mib, 51, 8 * mib],
    [64 * mib, 4000, 8 * mib],
    [64 * mib, 4001, 16 * mib],
    [64 * mib, 7001, 32 * mib],
    [256 * mib, 50, 8 * mib],
    [256 * mib, 51, 16 * mib],
    [256 * mib, 101, 32 * mib],
    [256 * mib, 151, 32 * mib],
    [256 * mib, 4001, 64 * mib],
    [256 * mib, 7000, 64 * mib],
    [256 * mib, 7001, 128 * mib],
    [256 * mib, maxParts, 128 * mib],
  ] as const;
  for (const [budgetBytes, partNumber, sizeBytes] of bounded) {
    it(`Part ${partNumber} has ${sizeBytes / mib} MiB with ${budgetBytes / mib} MiB of transfer memory.`, () => {
      assert.equal(partSizeBytes({ partNumber, budgetBytes }), sizeBytes);
    });
  }

  it('The part size follows the announced length, so that a huge file of known length does not run out of part numbers.', () => {
    const announcedBytesLeft = 10 * tib;
    const size = partSizeBytes({ partNumber: 1, budgetBytes: unbounded, announcedBytesLeft });
    assert.ok(size * maxParts >= announcedBytesLeft);
    assert.equal(
      partSizeBytes({ partNumber: 1, budgetBytes: unbounded, announcedBytesLeft: maxObjectBytes }),
      maxPartBytes,
    );
    assert.equal(partSizeBytes({ partNumber: 1, budgetBytes: unbounded, announcedBytesLeft: 100 }), 8 * mib);
  });

  const options = fc.record({
    partNumber: fc.integer({ min: 1, max: maxParts }),
    budgetBytes: fc.integer({ min: 16 * mib, max: unbounded }),
    announcedBytesLeft: fc.integer({ min: 0, max: maxObjectBytes }),
  });

  it('The part size, and the size of a part that is sent early, is always legal in S3.', () => {
    fc.assert(
      fc.property(options, (given) => {
        const size = partSizeBytes(given);
        const earliest = minPartBytesAt(given);
        assert.ok(size >= minPartBytes && size <= maxPartBytes);
        assert.ok(earliest >= minPartBytes && earliest <= size);
      }),
    );
  });

  it('The budget has room for a part in flight beside the one being filled.', () => {
    fc.assert(
      fc.property(options, (given) => {
        assert.ok(partSizeBytes(given) <= Math.max(given.budgetBytes / 2, minPartBytes));
      }),
    );
  });

  it('The part size never shrinks during an upload.', () => {
    fc.assert(
      fc.property(options, ({ partNumber, budgetBytes }) => {
        const next = Math.min(partNumber + 1, maxParts);
        assert.ok(
          partSizeBytes({ partNumber: next, budgetBytes }) >= partSizeBytes({ partNumber, budgetBytes }),
        );
      }),
    );
  });

  it('An upload reaches 46.78 TiB of unannounced length where memory allows, and 48.8 TiB of announced length.', () => {
    assert.equal((maxUploadBytes(unbounded) / tib).toFixed(2), '46.78');
    assert.equal((maxObjectBytes / tib).toFixed(1), '48.8');
  });

  const reach = [
    [64 * mib, '171.9'],
    [256 * mib, '685.5'],
    [1024 * mib, '2730.9'],
  ] as const;
  for (const [budgetBytes, gibibytes] of reach) {
    it(`An upload reaches ${gibibytes} GiB with ${budgetBytes / mib} MiB of transfer memory.`, () => {
      assert.equal((maxUploadBytes(budgetBytes) / gib).toFixed(1), gibibytes);
    });
  }
});
