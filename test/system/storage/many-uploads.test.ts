import assert from 'node:assert/strict';
import { it } from 'node:test';
import { bytesOf, digest, getObject, mib, openUpload, storageOn } from '../../s3/transfer.ts';
import { startS3Server } from '../../support/s3-server.ts';

it('64 parallel uploads complete with a memory budget for six parts', async (test) => {
  const s3 = await startS3Server();
  test.after(() => s3.close());
  const narrow = storageOn(s3.endpoint, { budgetBytes: 48 * mib });
  test.after(() => narrow.client.destroy());
  const bytes = bytesOf(11 * mib);
  let mostHeldBytes = 0;
  await Promise.all(
    Array.from({ length: 64 }, async (_unused, index) => {
      const upload = await openUpload(narrow, s3.bucket, `many/${index}`);
      for (let start = 0; start < bytes.byteLength; start += 65536) {
        await upload.write(new Uint8Array(bytes.subarray(start, start + 65536)));
        mostHeldBytes = Math.max(mostHeldBytes, narrow.memory.heldBytes);
      }
      await upload.commit();
    }),
  );
  assert.ok(mostHeldBytes <= 48 * mib, `${mostHeldBytes} bytes held`);
  assert.equal(narrow.memory.heldBytes, 0);
  for (let index = 0; index < 64; index++) {
    assert.equal(digest(await getObject(s3.client, s3.bucket, `many/${index}`)), digest(bytes));
  }
});
