import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FilesystemErrorKind } from '../../../src/filesystem/filesystem-error.ts';
import { FilesystemError } from '../../../src/filesystem/filesystem-error.ts';
import { bytesOf, chunksOf, digest, mib, writeAll } from '../transfer.ts';
import { useS3 } from '../s3-suite.ts';

describe('uploads to S3', () => {
  const s3 = useS3();

  const uploadsOf = async (key: string): Promise<number> => (await s3.openUploadIds(key)).length;

  for (const sizeBytes of [0, 1, 4096, 70_000, 8 * mib - 1, 8 * mib, 8 * mib + 1, 33 * mib + 5]) {
    it(`An upload stores ${sizeBytes} bytes unchanged`, async () => {
      const bytes = bytesOf(sizeBytes);
      const key = `sizes/${sizeBytes}`;
      const upload = await s3.open(key);
      await writeAll(upload, bytes);
      assert.equal(await s3.getObject(key), undefined, 'nothing is visible before the commit');
      await upload.commit();
      assert.equal(digest(await s3.getObject(key)), digest(bytes));
      assert.equal(s3.storage.memory.heldBytes, 0);
      assert.equal(await uploadsOf(key), 0);
    });
  }

  it('An upload releases the bytes of a part as soon as S3 has them, and not before', async () => {
    const bytes = bytesOf(17 * mib);
    const chunks = [...chunksOf(bytes)];
    const upload = await s3.open('freed');
    for (const chunk of chunks) await upload.write(chunk);
    assert.ok(chunks.at(-1)!.byteLength > 0, 'what was not sent is there');
    await upload.commit();
    assert.equal(digest(await s3.getObject('freed')), digest(bytes));
    const held = chunks.filter(({ buffer }) => buffer.byteLength > 0);
    assert.deepEqual(held, []);
  });

  for (const chunkBytes of [1, 100, 8191, 8192, 16384, 100_000, 3 * mib]) {
    it(`An upload accepts chunks of ${chunkBytes} bytes`, async () => {
      const bytes = bytesOf(chunkBytes === 1 ? 100_000 : 9 * mib, chunkBytes);
      const upload = await s3.open(`chunks/${chunkBytes}`);
      await writeAll(upload, bytes, chunkBytes);
      await upload.commit();
      assert.equal(digest(await s3.getObject(`chunks/${chunkBytes}`)), digest(bytes));
    });
  }

  it('An upload keeps small chunks of a large buffer without keeping the buffer', async () => {
    const upload = await s3.open('small-chunks');
    for (let index = 0; index < 100; index++) {
      const slab = new Uint8Array(mib).fill(index);
      await upload.write(slab.subarray(0, 10));
    }
    assert.ok(
      s3.storage.memory.heldBytes <= 64 * 1024,
      `${s3.storage.memory.heldBytes} bytes held for 1,000`,
    );
    await upload.commit();
    assert.equal((await s3.getObject('small-chunks'))?.byteLength, 1000);
  });

  it('An upload leaves the existing object unchanged until its commit and after an abort', async () => {
    const old = bytesOf(1000, 7);
    await s3.putObject('kept', old);
    for (const sizeBytes of [10, 20 * mib]) {
      const upload = await s3.open('kept');
      await writeAll(upload, bytesOf(sizeBytes));
      await upload.abort(new Error('the client vanished'));
      assert.equal(digest(await s3.getObject('kept')), digest(old));
      assert.equal(await uploadsOf('kept'), 0);
      assert.equal(s3.storage.memory.heldBytes, 0);
    }
  });

  it('An aborted upload ignores a second abort and rejects writes and the commit', async () => {
    const upload = await s3.open('over');
    const reason = new Error('the client vanished');
    await upload.abort(reason);
    await upload.abort(new Error('another reason'));
    await assert.rejects(async () => await upload.write(bytesOf(10)), reason);
    await assert.rejects(upload.commit());
    assert.equal(await s3.getObject('over'), undefined);
  });

  it('An upload ignores an abort after its commit', async () => {
    const upload = await s3.open('done');
    await upload.write(bytesOf(10));
    await upload.commit();
    await upload.abort(new Error('too late'));
    assert.equal((await s3.getObject('done'))?.byteLength, 10);
  });

  it('An upload whose signal aborts rejects writes with the reason and leaves nothing behind', async () => {
    const transfer = new AbortController();
    const upload = await s3.open('aborted', { signal: transfer.signal });
    await writeAll(upload, bytesOf(20 * mib));
    const reason = new Error('ABOR');
    transfer.abort(reason);
    await assert.rejects(async () => await upload.write(bytesOf(10)), reason);
    await assert.rejects(upload.commit(), reason);
    await upload.abort(reason);
    assert.equal(await s3.getObject('aborted'), undefined);
    assert.equal(await uploadsOf('aborted'), 0);
    assert.equal(s3.storage.memory.heldBytes, 0);
  });

  it('An upload whose signal aborted before it was opened cannot be committed', async () => {
    await assert.rejects(async () => {
      const upload = await s3.open('never', { signal: AbortSignal.abort(new Error('gone')) });
      await upload.write(bytesOf(1));
      await upload.commit();
    }, /gone/);
    assert.equal(await s3.getObject('never'), undefined);
  });

  it('An upload gives the object its attributes', async () => {
    for (const sizeBytes of [10, 9 * mib]) {
      const key = `attributes/${sizeBytes}`;
      const upload = await s3.open(key, {
        attributes: { ContentType: 'text/csv', Metadata: { mtime: '12' } },
      });
      await writeAll(upload, bytesOf(sizeBytes));
      await upload.commit();
      const head = await s3.headObject(key);
      assert.equal(head.ContentType, 'text/csv');
      assert.equal(head.Metadata?.['mtime'], '12');
    }
  });

  it('An upload lets S3 verify a CRC32 of the whole object', async () => {
    for (const sizeBytes of [10, 20 * mib + 3]) {
      const key = `checksum/${sizeBytes}`;
      const bytes = bytesOf(sizeBytes);
      const upload = await s3.open(key);
      await writeAll(upload, bytes);
      await upload.commit();
      const head = await s3.headObject(key);
      assert.equal(head.ChecksumType, 'FULL_OBJECT');
      const { crc32 } = await import('node:zlib');
      const expected = Buffer.alloc(4);
      expected.writeUInt32BE(crc32(bytes));
      assert.equal(head.ChecksumCRC32, expected.toString('base64'));
    }
  });

  describe('where the name must not be taken', () => {
    const refuse = { ifExists: 'refuse' } as const;

    it('An upload that must not replace anything is refused for an existing name, even of an empty object', async () => {
      await s3.putObject('taken', new Uint8Array());
      const upload = await s3.open('taken', refuse);
      await upload.write(bytesOf(1));
      await rejectsWith('exists', () => upload.commit());
      assert.equal((await s3.getObject('taken'))?.byteLength, 0);
    });

    for (const sizeBytes of [10, 9 * mib]) {
      it(`An upload that must not replace anything keeps an object of ${sizeBytes} bytes that was created meanwhile`, async () => {
        const key = `raced/${sizeBytes}`;
        const upload = await s3.open(key, refuse);
        await writeAll(upload, bytesOf(sizeBytes));
        const winner = bytesOf(30, 3);
        await s3.putObject(key, winner);
        await rejectsWith('exists', () => upload.commit());
        assert.equal(digest(await s3.getObject(key)), digest(winner));
        assert.equal(await uploadsOf(key), 0);
      });
    }

    it('Of many parallel uploads that must not replace anything, exactly one succeeds', async () => {
      const uploads = await Promise.all(Array.from({ length: 8 }, () => s3.open('race', refuse)));
      for (const [index, upload] of uploads.entries()) await upload.write(bytesOf(100, index + 1));
      const outcomes = await Promise.allSettled(uploads.map((upload) => upload.commit()));
      const winner = outcomes.findIndex(({ status }) => status === 'fulfilled');
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
      assert.equal(digest(await s3.getObject('race')), digest(bytesOf(100, winner + 1)));
    });
  });

  describe('that continue an object', () => {
    const cases = [
      { name: 'an empty object', oldBytes: 0, offset: 'end' },
      { name: 'a short object', oldBytes: 1000, offset: 'end' },
      { name: 'the first byte', oldBytes: 1000, offset: 1 },
      { name: 'one byte less than a part', oldBytes: 5 * mib - 1, offset: 'end' },
      { name: 'exactly a part', oldBytes: 5 * mib, offset: 'end' },
      { name: 'a part of a long object', oldBytes: 9 * mib, offset: 5 * mib },
      { name: 'a crooked offset', oldBytes: 9 * mib, offset: 6 * mib + 13 },
      { name: 'a short head of a long object', oldBytes: 9 * mib, offset: 77 },
      { name: 'all of a long object', oldBytes: 9 * mib, offset: 9 * mib },
    ] as const;
    for (const { name, oldBytes, offset } of cases) {
      for (const newBytes of [0, 10, 9 * mib]) {
        it(`An upload keeps ${name} and adds ${newBytes} bytes`, async () => {
          const key = `continued/${oldBytes}-${offset}-${newBytes}`;
          const old = bytesOf(oldBytes, 5);
          await s3.putObject(key, old);
          const upload = await s3.open(key, { offset });
          await writeAll(upload, bytesOf(newBytes, 6));
          assert.equal(
            digest(await s3.getObject(key)),
            digest(old),
            'the old object is untouched before the commit',
          );
          await upload.commit();
          const kept = old.subarray(0, offset === 'end' ? oldBytes : offset);
          assert.equal(digest(await s3.getObject(key)), digest(Buffer.concat([kept, bytesOf(newBytes, 6)])));
          assert.equal(await uploadsOf(key), 0);
        });
      }
    }

    it('An upload at the end of a missing object creates it', async () => {
      const upload = await s3.open('begun', { offset: 'end' });
      await upload.write(bytesOf(10));
      await upload.commit();
      assert.equal((await s3.getObject('begun'))?.byteLength, 10);
    });

    it('An upload with an offset beyond the end is refused, even for a missing object', async () => {
      await s3.putObject('short', bytesOf(10));
      await rejectsWith('invalid-offset', () => s3.open('short', { offset: 11 }));
      await rejectsWith('invalid-offset', () => s3.open('missing', { offset: 1 }));
    });

    for (const oldBytes of [1000, 6 * mib]) {
      it(`An upload does not overwrite a change that was made meanwhile to an object of ${oldBytes} bytes`, async () => {
        const key = `overtaken/${oldBytes}`;
        await s3.putObject(key, bytesOf(oldBytes, 1));
        const upload = await s3.open(key, { offset: 'end' });
        await upload.write(bytesOf(10));
        const newer = bytesOf(oldBytes, 2);
        await s3.putObject(key, newer);
        await rejectsWith('changed', () => upload.commit());
        assert.equal(digest(await s3.getObject(key)), digest(newer));
        assert.equal(await uploadsOf(key), 0);
      });
    }
  });
});

async function rejectsWith(kind: FilesystemErrorKind, run: () => Promise<unknown>): Promise<void> {
  await assert.rejects(run, (error) => {
    assert.ok(error instanceof FilesystemError, String(error));
    assert.equal(error.kind, kind);
    return true;
  });
}
