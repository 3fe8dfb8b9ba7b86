/** The buffers that an upload lends, and when they are used again. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Upload } from '../../../src/filesystem/filesystem.ts';
import { partBufferBytes } from '../../../src/s3/part-buffers.ts';
import { Part } from '../../../src/s3/upload/part.ts';
import { bytesOf, digest, mib, writeAll } from '../transfer.ts';
import { useS3 } from '../s3-suite.ts';

/** Writes through lent buffers, and through `write` where there are none, as a data connection does. */
async function receiveAll(upload: Upload, bytes: Uint8Array): Promise<number> {
  let lent = 0;
  for (let start = 0; start < bytes.length;) {
    const buffer = upload.takeBuffer!();
    const end = start + (buffer?.bytes.length ?? 16 * 1024);
    const next = bytes.slice(start, end);
    if (buffer) {
      lent += 1;
      buffer.bytes.set(next);
      buffer.usedBytes = next.length;
      await upload.writeBuffer!();
    } else await upload.write(next);
    start = end;
  }
  return lent;
}

describe('the buffers of an upload to S3', () => {
  const s3 = useS3();

  const open = (key: string, on = s3.storage): Promise<Upload> => s3.open(key, {}, on);

  for (const sizeBytes of [100_000, 3 * mib, 8 * mib, 8 * mib + 1, 40 * mib + 5]) {
    it(`An upload of ${sizeBytes} bytes through lent buffers is stored unchanged, twice in the same buffers`, async () => {
      for (const seed of [1, 2]) {
        const bytes = bytesOf(sizeBytes, seed);
        const upload = await open(`lent/${sizeBytes}`);
        assert.ok((await receiveAll(upload, bytes)) > 0);
        await upload.commit();
        assert.equal(digest(await s3.getObject(`lent/${sizeBytes}`)), digest(bytes));
        assert.equal(s3.storage.memory.heldBytes, 0);
      }
    });
  }

  it('An upload gives its buffers back when S3 has confirmed them, to be lent again', async () => {
    const upload = await open('again');
    await receiveAll(upload, bytesOf(20 * mib));
    await upload.commit();
    const idleBytes = s3.storage.memory.idleBytes;
    assert.ok(idleBytes > 0 && idleBytes <= 16 * mib, `${idleBytes} bytes are idle`);
    const next = await open('again');
    assert.ok(next.takeBuffer!());
    assert.equal(s3.storage.memory.idleBytes, idleBytes - partBufferBytes);
    assert.equal(s3.storage.memory.heldBytes, partBufferBytes);
    await next.abort(new Error('not wanted'));
    assert.equal(s3.storage.memory.heldBytes, 0);
  });

  it('An upload that is aborted uses none of its buffers again', async () => {
    const other = s3.newStorage();
    const upload = await open('aborted', other);
    await receiveAll(upload, bytesOf(3 * mib));
    upload.takeBuffer!();
    await upload.abort(new Error('the client has gone'));
    assert.deepEqual([other.memory.heldBytes, other.memory.idleBytes], [0, 0]);
    assert.equal(upload.takeBuffer!(), undefined);
  });

  it('An upload takes an unused buffer back without storing anything of it', async () => {
    const upload = await open('unused');
    await writeAll(upload, Buffer.from('short'));
    upload.takeBuffer!();
    await upload.writeBuffer!();
    await upload.commit();
    assert.equal(String(await s3.getObject('unused')), 'short');
  });

  it('An upload that takes back unused buffers again and again is charged for none of them', async () => {
    const small = s3.newStorage({ budgetBytes: 16 * mib });
    const bytes = bytesOf(6 * mib);
    const upload = await open('unused-repeatedly', small);
    for (let start = 0; start < bytes.length; start += 16 * 1024) {
      assert.ok(upload.takeBuffer!());
      await upload.writeBuffer!();
      await upload.write(new Uint8Array(bytes.subarray(start, start + 16 * 1024)));
      assert.ok(small.memory.heldBytes <= start + 16 * 1024, `${small.memory.heldBytes} bytes for ${start}`);
    }
    await upload.commit();
    assert.equal(digest(await s3.getObject('unused-repeatedly')), digest(bytes));
  });

  it('Uploads that share too little memory for buffers complete without them', async () => {
    const small = s3.newStorage({ budgetBytes: 16 * mib });
    const contents = [1, 2, 3, 4].map((seed) => bytesOf(12 * mib, seed));
    await Promise.all(
      contents.map(async (bytes, index) => {
        const upload = await open(`short-${index}`, small);
        await receiveAll(upload, bytes);
        await upload.commit();
        assert.equal(digest(await s3.getObject(`short-${index}`)), digest(bytes));
      }),
    );
    assert.equal(small.memory.heldBytes, 0);
  });
});

describe('the buffers of a part', () => {
  const cases = [
    { isConfirmed: true, isTaken: true, attempts: 1, given: 1, what: 'was confirmed in its first attempt' },
    { isConfirmed: true, isTaken: true, attempts: 2, given: 0, what: 'was confirmed in its second attempt' },
    {
      isConfirmed: true,
      isTaken: false,
      attempts: 1,
      given: 0,
      what: 'was confirmed before it was sent completely',
    },
    { isConfirmed: false, isTaken: true, attempts: 1, given: 0, what: 'was not confirmed' },
  ];
  for (const { what, given, isConfirmed, isTaken, attempts } of cases) {
    it(`A part that ${what} gives ${given} of 1 buffers back`, () => {
      const part = new Part();
      part.appendBuffer(Buffer.alloc(partBufferBytes), 10);
      part.finish();
      part.isConfirmed = isConfirmed;
      Object.assign(part.sending, { isTaken, attempts });
      const back: Buffer[] = [];
      part.free((buffer) => back.push(buffer));
      part.free((buffer) => back.push(buffer));
      assert.equal(back.length, given);
    });
  }
});
