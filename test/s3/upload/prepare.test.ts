/** What an upload sends before its commit, and what becomes of it if that fails or is aborted. */
import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, it } from 'node:test';
import { findResumableUpload } from '../../../src/s3/upload/resumable-upload.ts';
import type { Operation } from '../../support/fault-proxy.ts';
import { bytesOf, digest, mib, neverAborted, writeAll } from '../transfer.ts';
import { useS3 } from '../s3-suite.ts';

describe('the preparation of an upload to S3', () => {
  const s3 = useS3({ throughProxy: true, retryTimeoutMs: 0 });

  const errorsReported = () => s3.storage.events.filter(({ event }) => event === 'storage-error').length;

  /** The requests that the work causes, by operation. */
  async function requestsOf(work: () => Promise<void>): Promise<Partial<Record<Operation, number>>> {
    const earlier = new Map(s3.proxy.counts);
    await work();
    const counts = [...s3.proxy.counts].map(
      ([name, count]) => [name, count - (earlier.get(name) ?? 0)] as const,
    );
    return Object.fromEntries(counts.filter(([, count]) => count > 0));
  }

  it('A prepared multipart upload leaves only its completion for the commit, and holds no bytes', async () => {
    const bytes = bytesOf(17 * mib + 5);
    const upload = await s3.open('large');
    await writeAll(upload, bytes);
    await upload.prepare();
    assert.equal(await s3.getObject('large'), undefined);
    assert.deepEqual(await requestsOf(() => upload.commit()), { CompleteMultipartUpload: 1 });
    assert.equal(digest(await s3.getObject('large')), digest(bytes));
  });

  it('Preparing an upload of one part sends nothing, and its commit is one PutObject', async () => {
    const upload = await s3.open('small');
    await writeAll(upload, bytesOf(100_000));
    assert.deepEqual(await requestsOf(() => upload.prepare()), {});
    assert.deepEqual(await requestsOf(() => upload.commit()), { PutObject: 1 });
    assert.equal(digest(await s3.getObject('small')), digest(bytesOf(100_000)));
  });

  it('An upload whose commit starts while it is being prepared is stored once', async () => {
    const bytes = bytesOf(12 * mib);
    const upload = await s3.open('overtaken');
    await writeAll(upload, bytes);
    const requests = await requestsOf(async () => {
      await Promise.all([upload.prepare(), upload.commit()]);
    });
    assert.equal(requests.CompleteMultipartUpload, 1);
    assert.equal(digest(await s3.getObject('overtaken')), digest(bytes));
  });

  it('A part that S3 refuses fails the preparation and the commit, and is reported once', async () => {
    for (const end of ['abort', 'commit'] as const) {
      const upload = await s3.open('refused');
      await writeAll(upload, bytesOf(12 * mib));
      const reported = errorsReported();
      s3.proxy.onRequest = (operation) =>
        operation === 'UploadPart' ? { kind: 'answer', status: 403, name: 'AccessDenied' } : undefined;
      await assert.rejects(upload.prepare(), { kind: 'misconfigured' });
      if (end === 'commit') await assert.rejects(upload.commit(), { kind: 'misconfigured' });
      await upload.abort(new Error('the preparation failed'));
      assert.equal(errorsReported() - reported, 1);
      s3.proxy.onRequest = () => undefined;
      assert.equal(await s3.getObject('refused'), undefined);
      assert.deepEqual(await s3.openUploadIds('refused'), []);
    }
  });

  it('A precondition that fails rejects the preparation before anything is published', async () => {
    const reason = new Error('the name became a directory');
    const precondition = Promise.reject(reason);
    precondition.catch(() => undefined);
    const upload = await s3.open('precondition', { precondition });
    await upload.write(bytesOf(10));
    await assert.rejects(upload.prepare(), reason);
    await assert.rejects(upload.commit(), reason);
    assert.equal(await s3.getObject('precondition'), undefined);
  });

  for (const end of ['abort', 'signal'] as const) {
    it(`An upload that is ended by its ${end} while its last part is being sent leaves nothing behind`, async () => {
      const transfer = new AbortController();
      const upload = await s3.open('cut', { signal: transfer.signal });
      await writeAll(upload, bytesOf(8 * mib));
      while ((await s3.openUploadIds('cut')).length === 0) await nextTurn();
      await upload.write(bytesOf(mib));
      s3.proxy.onRequest = (operation) => (operation === 'UploadPart' ? { kind: 'stall' } : undefined);
      const sent = s3.proxy.counts.get('UploadPart') ?? 0;
      const prepared = assert.rejects(upload.prepare(), /the client vanished/);
      while ((s3.proxy.counts.get('UploadPart') ?? 0) === sent) await nextTurn();
      const reason = new Error('the client vanished');
      if (end === 'signal') transfer.abort(reason);
      await upload.abort(reason);
      await prepared;
      assert.equal(await s3.getObject('cut'), undefined);
      assert.deepEqual(await s3.openUploadIds('cut'), []);
    });
  }

  it('A prepared upload that breaks can be resumed, and its short last part is not part of the file', async () => {
    const resumePolicy = { owner: 'alice', windowMs: 60_000 };
    const bytes = bytesOf(20 * mib);
    const upload = await s3.open('kept', { resumePolicy });
    await writeAll(upload, bytes.subarray(0, 17 * mib));
    await upload.prepare();
    await upload.abort(new Error('the client vanished'));
    const target = { bucket: s3.bucket, key: 'kept', resumePolicy, signal: neverAborted };
    const resumable = (await findResumableUpload(s3.storage, target))!;
    assert.equal(resumable.sizeBytes, 16 * mib);
    assert.deepEqual(resumable.staleParts, [3]);
    const rest = await s3.open('kept', { resumePolicy, resumable });
    await writeAll(rest, bytes.subarray(16 * mib));
    await rest.prepare();
    await rest.commit();
    assert.equal(digest(await s3.getObject('kept')), digest(bytes));
  });
});
