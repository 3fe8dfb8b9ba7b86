import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { FilesystemErrorKind } from '../../../src/filesystem/filesystem-error.ts';
import { FilesystemError } from '../../../src/filesystem/filesystem-error.ts';
import type { S3UploadOptions } from '../../../src/s3/upload/upload.ts';
import { skippedOnEmulator, startS3Server, type S3Server } from '../../support/s3-server.ts';
import {
  bytesOf,
  chunksOf,
  digest,
  getObject,
  headObject,
  mib,
  openUpload,
  openUploadIds,
  putObject,
  storageOn,
  writeAll,
} from '../transfer.ts';
import type { TestStorage } from '../transfer.ts';

describe('uploads to S3', () => {
  let s3: S3Server;
  let storage: TestStorage;

  before(async () => {
    s3 = await startS3Server();
    storage = storageOn(s3.endpoint);
  });
  after(async () => {
    assert.equal(storage.memory.heldBytes, 0, 'transfer memory is given back');
    storage.client.destroy();
    await s3.close();
  });

  const open = (key: string, options: Partial<S3UploadOptions> = {}) =>
    openUpload(storage, s3.bucket, key, options);
  const objectAt = (key: string) => getObject(s3.client, s3.bucket, key);
  const uploadsOf = async (key: string): Promise<number> => (await openUploadIds(s3, key)).length;

  for (const sizeBytes of [0, 1, 4096, 70_000, 8 * mib - 1, 8 * mib, 8 * mib + 1, 33 * mib + 5]) {
    it(`An upload of ${sizeBytes} bytes is stored unchanged.`, async () => {
      const bytes = bytesOf(sizeBytes);
      const key = `sizes/${sizeBytes}`;
      const upload = await open(key);
      await writeAll(upload, bytes);
      assert.equal(await objectAt(key), undefined, 'nothing is visible before the commit');
      await upload.commit();
      assert.equal(digest(await objectAt(key)), digest(bytes));
      assert.equal(storage.memory.heldBytes, 0);
      assert.equal(await uploadsOf(key), 0);
    });
  }

  it('The bytes of a part are freed as soon as S3 has confirmed them, and not before.', async () => {
    const bytes = bytesOf(17 * mib);
    const chunks = [...chunksOf(bytes)];
    const upload = await open('freed');
    for (const chunk of chunks) await upload.write(chunk);
    assert.ok(chunks.at(-1)!.byteLength > 0, 'what was not sent is there');
    await upload.commit();
    assert.equal(digest(await objectAt('freed')), digest(bytes));
    const held = chunks.filter(({ buffer }) => buffer.byteLength > 0);
    assert.deepEqual(held, []);
  });

  for (const chunkBytes of [1, 100, 8191, 8192, 16384, 100_000, 3 * mib]) {
    it(`An upload accepts chunks of ${chunkBytes} bytes.`, async () => {
      const bytes = bytesOf(chunkBytes === 1 ? 100_000 : 9 * mib, chunkBytes);
      const upload = await open(`chunks/${chunkBytes}`);
      await writeAll(upload, bytes, chunkBytes);
      await upload.commit();
      assert.equal(digest(await objectAt(`chunks/${chunkBytes}`)), digest(bytes));
    });
  }

  it('An upload holds small chunks of a large buffer without holding the buffer.', async () => {
    const upload = await open('crumbs');
    for (let index = 0; index < 100; index++) {
      const slab = new Uint8Array(mib).fill(index);
      await upload.write(slab.subarray(0, 10));
    }
    assert.ok(storage.memory.heldBytes <= 64 * 1024, `${storage.memory.heldBytes} bytes held for 1,000`);
    await upload.commit();
    assert.equal((await objectAt('crumbs'))?.byteLength, 1000);
  });

  it('The existing object remains until the commit, and after an abort.', async () => {
    const old = bytesOf(1000, 7);
    await putObject(s3.client, s3.bucket, 'kept', old);
    for (const sizeBytes of [10, 20 * mib]) {
      const upload = await open('kept');
      await writeAll(upload, bytesOf(sizeBytes));
      await upload.abort(new Error('the client vanished'));
      assert.equal(digest(await objectAt('kept')), digest(old));
      assert.equal(await uploadsOf('kept'), 0);
      assert.equal(storage.memory.heldBytes, 0);
    }
  });

  it('After an abort, another abort does nothing, and write and commit reject.', async () => {
    const upload = await open('over');
    const reason = new Error('the client vanished');
    await upload.abort(reason);
    await upload.abort(new Error('another reason'));
    await assert.rejects(async () => await upload.write(bytesOf(10)), reason);
    await assert.rejects(upload.commit());
    assert.equal(await objectAt('over'), undefined);
  });

  it('An abort after the commit does nothing.', async () => {
    const upload = await open('done');
    await upload.write(bytesOf(10));
    await upload.commit();
    await upload.abort(new Error('too late'));
    assert.equal((await objectAt('done'))?.byteLength, 10);
  });

  it('An upload stops when its signal aborts: writes reject with the reason, and nothing remains in S3.', async () => {
    const transfer = new AbortController();
    const upload = await open('aborted', { signal: transfer.signal });
    await writeAll(upload, bytesOf(20 * mib));
    const reason = new Error('ABOR');
    transfer.abort(reason);
    await assert.rejects(async () => await upload.write(bytesOf(10)), reason);
    await assert.rejects(upload.commit(), reason);
    await upload.abort(reason);
    assert.equal(await objectAt('aborted'), undefined);
    assert.equal(await uploadsOf('aborted'), 0);
    assert.equal(storage.memory.heldBytes, 0);
  });

  it('An upload whose signal aborted before it was opened does not commit.', async () => {
    await assert.rejects(async () => {
      const upload = await open('never', { signal: AbortSignal.abort(new Error('gone')) });
      await upload.write(bytesOf(1));
      await upload.commit();
    }, /gone/);
    assert.equal(await objectAt('never'), undefined);
  });

  it("The object gets the attributes of the upload's options.", async () => {
    for (const sizeBytes of [10, 9 * mib]) {
      const key = `attributes/${sizeBytes}`;
      const upload = await open(key, { attributes: { ContentType: 'text/csv', Metadata: { mtime: '12' } } });
      await writeAll(upload, bytesOf(sizeBytes));
      await upload.commit();
      const head = await headObject(s3.client, s3.bucket, key);
      assert.equal(head.ContentType, 'text/csv');
      assert.equal(head.Metadata?.['mtime'], '12');
    }
  });

  it('S3 verifies a CRC32 of the whole object.', { skip: skippedOnEmulator('checksums') }, async () => {
    for (const sizeBytes of [10, 20 * mib + 3]) {
      const key = `checksum/${sizeBytes}`;
      const bytes = bytesOf(sizeBytes);
      const upload = await open(key);
      await writeAll(upload, bytes);
      await upload.commit();
      const head = await headObject(s3.client, s3.bucket, key);
      assert.equal(head.ChecksumType, 'FULL_OBJECT');
      const { crc32 } = await import('node:zlib');
      const expected = Buffer.alloc(4);
      expected.writeUInt32BE(crc32(bytes));
      assert.equal(head.ChecksumCRC32, expected.toString('base64'));
    }
  });

  describe('where the name must not be taken', () => {
    const refuse = { ifExists: 'refuse' } as const;

    it('An upload that must not replace is refused at its commit where the key is taken, even by an empty object.', async () => {
      await putObject(s3.client, s3.bucket, 'taken', new Uint8Array());
      const upload = await open('taken', refuse);
      await upload.write(bytesOf(1));
      await rejectsWith('exists', () => upload.commit());
      assert.equal((await objectAt('taken'))?.byteLength, 0);
    });

    for (const sizeBytes of [10, 9 * mib]) {
      it(`An upload of ${sizeBytes} bytes that must not replace does not replace an object that was written meanwhile.`, async () => {
        const key = `raced/${sizeBytes}`;
        const upload = await open(key, refuse);
        await writeAll(upload, bytesOf(sizeBytes));
        const winner = bytesOf(30, 3);
        await putObject(s3.client, s3.bucket, key, winner);
        await rejectsWith('exists', () => upload.commit());
        assert.equal(digest(await objectAt(key)), digest(winner));
        assert.equal(await uploadsOf(key), 0);
      });
    }

    it(
      'Of concurrent uploads that must not replace exactly one is committed.',
      { skip: skippedOnEmulator('conditional writes') },
      async () => {
        const uploads = await Promise.all(Array.from({ length: 8 }, () => open('race', refuse)));
        for (const [index, upload] of uploads.entries()) await upload.write(bytesOf(100, index + 1));
        const outcomes = await Promise.allSettled(uploads.map((upload) => upload.commit()));
        const winner = outcomes.findIndex(({ status }) => status === 'fulfilled');
        assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
        assert.equal(digest(await objectAt('race')), digest(bytesOf(100, winner + 1)));
      },
    );
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
        it(`An upload keeps ${name} and appends ${newBytes} bytes.`, async () => {
          const key = `continued/${oldBytes}-${offset}-${newBytes}`;
          const old = bytesOf(oldBytes, 5);
          await putObject(s3.client, s3.bucket, key, old);
          const upload = await open(key, { offset });
          await writeAll(upload, bytesOf(newBytes, 6));
          assert.equal(
            digest(await objectAt(key)),
            digest(old),
            'the old object is untouched before the commit',
          );
          await upload.commit();
          const kept = old.subarray(0, offset === 'end' ? oldBytes : offset);
          assert.equal(digest(await objectAt(key)), digest(Buffer.concat([kept, bytesOf(newBytes, 6)])));
          assert.equal(await uploadsOf(key), 0);
        });
      }
    }

    it('An APPE creates a missing object.', async () => {
      const upload = await open('begun', { offset: 'end' });
      await upload.write(bytesOf(10));
      await upload.commit();
      assert.equal((await objectAt('begun'))?.byteLength, 10);
    });

    it('An upload refuses an offset beyond the end, also of a missing object.', async () => {
      await putObject(s3.client, s3.bucket, 'short', bytesOf(10));
      await rejectsWith('invalid-offset', () => open('short', { offset: 11 }));
      await rejectsWith('invalid-offset', () => open('missing', { offset: 1 }));
    });

    for (const oldBytes of [1000, 6 * mib]) {
      it(
        `does not overwrite what somebody else made of ${oldBytes} bytes meanwhile`,
        { skip: skippedOnEmulator('conditional writes') },
        async () => {
          const key = `overtaken/${oldBytes}`;
          await putObject(s3.client, s3.bucket, key, bytesOf(oldBytes, 1));
          const upload = await open(key, { offset: 'end' });
          await upload.write(bytesOf(10));
          const newer = bytesOf(oldBytes, 2);
          await putObject(s3.client, s3.bucket, key, newer);
          await rejectsWith('changed', () => upload.commit());
          assert.equal(digest(await objectAt(key)), digest(newer));
          assert.equal(await uploadsOf(key), 0);
        },
      );
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
