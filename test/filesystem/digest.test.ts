import assert from 'node:assert/strict';
import { it } from 'node:test';
import { digestInWorker, digestOf } from '../../src/filesystem/digest.ts';
import { checksumAlgorithms } from '../../src/filesystem/filesystem.ts';
import { bytesOf } from '../s3/transfer.ts';

const bytes = bytesOf(3_000_000);

// eslint-disable-next-line @typescript-eslint/require-await -- the form of a download
async function* chunks(chunkBytes: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += chunkBytes)
    yield bytes.subarray(start, start + chunkBytes);
}

for (const algorithm of checksumAlgorithms) {
  it(`A thread computes the same ${algorithm} as the main thread`, async () => {
    const expected = await digestOf(algorithm, [bytes]);
    assert.equal(await digestInWorker(algorithm, chunks(70_000)), expected);
  });
}

it('A digest in a thread fails with what its content throws, and leaves the content', async () => {
  const reason = new Error('ABOR');
  let isLeft = false;
  async function* failing(): AsyncGenerator<Uint8Array> {
    try {
      yield* chunks(1_000_000);
      throw reason;
    } finally {
      isLeft = true;
    }
  }
  await assert.rejects(digestInWorker('SHA-512', failing()), reason);
  assert.ok(isLeft);
});
