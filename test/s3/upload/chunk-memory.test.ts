/** The memory that an upload is charged with follows its bytes, in whatever pieces they arrive. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { useS3 } from '../s3-suite.ts';
import { bytesOf, digest, mib } from '../transfer.ts';

/** A slab and a lent buffer, of which nothing may be used yet. */
const maxUnusedBytes = (64 + 256) * 1024;

/** Pieces of the bytes as reads of a socket return them: each `used` of a buffer of `size` bytes, in turn. */
const reads: readonly (readonly [
  what: string,
  pieces: readonly (readonly [used: number, size: number])[],
])[] = [
  ['half full buffers', [[33 * 1024, 65_536]]],
  [
    'buffers that are nearly full and buffers with one byte',
    [
      [60_000, 65_536],
      [1, 65_536],
    ],
  ],
  [
    'pieces of 8 KiB with single bytes between them',
    [
      [8_192, 8_192],
      [1, 1],
    ],
  ],
  [
    'full buffers and half full ones',
    [
      [65_536, 65_536],
      [33 * 1024, 65_536],
    ],
  ],
];

describe('memory of chunks', () => {
  const s3 = useS3();

  for (const [what, pieces] of reads) {
    it(`An upload that arrives in ${what} is charged with no more than its bytes and what it may fill next`, async () => {
      const storage = s3.newStorage({ budgetBytes: 64 * mib });
      const upload = await s3.open(`charged-${what}`, {}, storage);
      let writtenBytes = 0;
      for (const piece of split(bytesOf(4 * mib), pieces)) {
        await upload.write(piece);
        writtenBytes += piece.length;
        const unusedBytes = storage.memory.heldBytes - writtenBytes;
        assert.ok(unusedBytes <= maxUnusedBytes, `${unusedBytes} unused bytes after ${writtenBytes}`);
      }
      await upload.commit();
      assert.equal(storage.memory.heldBytes, 0);
    });

    it(`Four uploads that arrive in ${what} complete one after another where the memory is enough for one part`, async () => {
      const storage = s3.newStorage({ budgetBytes: 16 * mib });
      const bytes = bytesOf(7 * mib, 3);
      await Promise.all(
        Array.from({ length: 4 }, async (_unused, index) => {
          const key = `short-${what}-${index}`;
          const upload = await s3.open(key, {}, storage);
          for (const piece of split(bytes, pieces)) await upload.write(piece);
          await upload.commit();
          assert.equal(digest(await s3.getObject(key)), digest(bytes));
        }),
      );
      assert.equal(storage.memory.heldBytes, 0);
    });
  }
});

function* split(
  bytes: Buffer,
  pieces: readonly (readonly [used: number, size: number])[],
): Generator<Uint8Array> {
  for (let start = 0, turn = 0; start < bytes.length; turn += 1) {
    const [used, size] = pieces[turn % pieces.length]!;
    const piece = bytes.subarray(start, start + used);
    const buffer = new Uint8Array(Math.max(size, piece.length));
    buffer.set(piece);
    yield buffer.subarray(0, piece.length);
    start += piece.length;
  }
}
