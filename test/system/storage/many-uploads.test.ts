import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { useS3 } from '../../s3/s3-suite.ts';
import { bytesOf, digest, mib } from '../../s3/transfer.ts';

describe('many uploads', () => {
  const s3 = useS3({ budgetBytes: 48 * mib });

  it('64 parallel uploads complete with a memory budget for six parts', async () => {
    const { memory } = s3.storage;
    const bytes = bytesOf(11 * mib);
    let mostHeldBytes = 0;
    await Promise.all(
      Array.from({ length: 64 }, async (_unused, index) => {
        const upload = await s3.open(`many/${index}`);
        for (let start = 0; start < bytes.byteLength; start += 65536) {
          await upload.write(new Uint8Array(bytes.subarray(start, start + 65536)));
          mostHeldBytes = Math.max(mostHeldBytes, memory.heldBytes);
        }
        await upload.commit();
      }),
    );
    assert.ok(mostHeldBytes <= 48 * mib, `${mostHeldBytes} bytes held`);
    for (let index = 0; index < 64; index++) {
      assert.equal(digest(await s3.getObject(`many/${index}`)), digest(bytes));
    }
  });
});
