/** What an upload sends before its commit, and what becomes of it if that fails or is aborted. */
import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { after, afterEach, before, describe, it } from 'node:test';
import { findResumableUpload } from '../../../src/s3/upload/resumable-upload.ts';
import type { S3UploadOptions } from '../../../src/s3/upload/upload.ts';
import { startFaultProxy, type FaultProxy, type Operation } from '../../support/fault-proxy.ts';
import { startS3Server, type S3Server } from '../../support/s3-server.ts';
import {
  bytesOf,
  digest,
  getObject,
  mib,
  neverAborted,
  openUpload,
  openUploadIds,
  storageOn,
  writeAll,
  type TestStorage,
} from '../transfer.ts';

describe('the preparation of an upload to S3', () => {
  let s3: S3Server;
  let proxy: FaultProxy;
  let storage: TestStorage;

  before(async () => {
    s3 = await startS3Server();
    proxy = await startFaultProxy(s3.endpoint);
    storage = storageOn(proxy.endpoint, { retryTimeoutMs: 0 });
  });
  afterEach(() => {
    proxy.onRequest = () => undefined;
    assert.equal(storage.memory.heldBytes, 0, 'transfer memory is given back');
  });
  after(async () => {
    storage.client.destroy();
    await proxy.close();
    await s3.close();
  });

  const open = (key: string, options: Partial<S3UploadOptions> = {}) =>
    openUpload(storage, s3.bucket, key, options);
  const objectAt = (key: string) => getObject(s3.client, s3.bucket, key);
  const errorsReported = () => storage.events.filter(({ event }) => event === 'storage-error').length;

  /** The requests that the work causes, by operation. */
  async function requestsOf(work: () => Promise<void>): Promise<Partial<Record<Operation, number>>> {
    const earlier = new Map(proxy.counts);
    await work();
    const counts = [...proxy.counts].map(
      ([name, count]) => [name, count - (earlier.get(name) ?? 0)] as const,
    );
    return Object.fromEntries(counts.filter(([, count]) => count > 0));
  }

  it('A prepared multipart upload leaves only its completion for the commit, and holds no bytes', async () => {
    const bytes = bytesOf(17 * mib + 5);
    const upload = await open('large');
    await writeAll(upload, bytes);
    await upload.prepare();
    assert.equal(await objectAt('large'), undefined);
    assert.deepEqual(await requestsOf(() => upload.commit()), { CompleteMultipartUpload: 1 });
    assert.equal(digest(await objectAt('large')), digest(bytes));
  });

  it('Preparing an upload of one part sends nothing, and its commit is one PutObject', async () => {
    const upload = await open('small');
    await writeAll(upload, bytesOf(100_000));
    assert.deepEqual(await requestsOf(() => upload.prepare()), {});
    assert.deepEqual(await requestsOf(() => upload.commit()), { PutObject: 1 });
    assert.equal(digest(await objectAt('small')), digest(bytesOf(100_000)));
  });

  it('An upload whose commit starts while it is being prepared is stored once', async () => {
    const bytes = bytesOf(12 * mib);
    const upload = await open('overtaken');
    await writeAll(upload, bytes);
    const requests = await requestsOf(async () => {
      await Promise.all([upload.prepare(), upload.commit()]);
    });
    assert.equal(requests.CompleteMultipartUpload, 1);
    assert.equal(digest(await objectAt('overtaken')), digest(bytes));
  });

  it('A part that S3 refuses fails the preparation and the commit, and is reported once', async () => {
    for (const end of ['abort', 'commit'] as const) {
      const upload = await open('refused');
      await writeAll(upload, bytesOf(12 * mib));
      const reported = errorsReported();
      proxy.onRequest = (operation) =>
        operation === 'UploadPart' ? { kind: 'answer', status: 403, name: 'AccessDenied' } : undefined;
      await assert.rejects(upload.prepare(), { kind: 'misconfigured' });
      if (end === 'commit') await assert.rejects(upload.commit(), { kind: 'misconfigured' });
      await upload.abort(new Error('the preparation failed'));
      assert.equal(errorsReported() - reported, 1);
      proxy.onRequest = () => undefined;
      assert.equal(await objectAt('refused'), undefined);
      assert.deepEqual(await openUploadIds(s3, 'refused'), []);
    }
  });

  it('A precondition that fails rejects the preparation before anything is published', async () => {
    const reason = new Error('the name became a directory');
    const precondition = Promise.reject(reason);
    precondition.catch(() => undefined);
    const upload = await open('precondition', { precondition });
    await upload.write(bytesOf(10));
    await assert.rejects(upload.prepare(), reason);
    await assert.rejects(upload.commit(), reason);
    assert.equal(await objectAt('precondition'), undefined);
  });

  for (const end of ['abort', 'signal'] as const) {
    it(`An upload that is ended by its ${end} while its last part is being sent leaves nothing behind`, async () => {
      const transfer = new AbortController();
      const upload = await open('cut', { signal: transfer.signal });
      await writeAll(upload, bytesOf(8 * mib));
      while ((await openUploadIds(s3, 'cut')).length === 0) await nextTurn();
      await upload.write(bytesOf(mib));
      proxy.onRequest = (operation) => (operation === 'UploadPart' ? { kind: 'stall' } : undefined);
      const sent = proxy.counts.get('UploadPart') ?? 0;
      const prepared = assert.rejects(upload.prepare(), /the client vanished/);
      while ((proxy.counts.get('UploadPart') ?? 0) === sent) await nextTurn();
      const reason = new Error('the client vanished');
      if (end === 'signal') transfer.abort(reason);
      await upload.abort(reason);
      await prepared;
      assert.equal(await objectAt('cut'), undefined);
      assert.deepEqual(await openUploadIds(s3, 'cut'), []);
    });
  }

  it('A prepared upload that breaks can be resumed, and its short last part is not part of the file', async () => {
    const resumePolicy = { owner: 'alice', windowMs: 60_000 };
    const bytes = bytesOf(20 * mib);
    const upload = await open('kept', { resumePolicy });
    await writeAll(upload, bytes.subarray(0, 17 * mib));
    await upload.prepare();
    await upload.abort(new Error('the client vanished'));
    const target = { bucket: s3.bucket, key: 'kept', resumePolicy, signal: neverAborted };
    const resumable = (await findResumableUpload(storage, target))!;
    assert.equal(resumable.sizeBytes, 16 * mib);
    assert.deepEqual(resumable.staleParts, [3]);
    const rest = await open('kept', { resumePolicy, resumable });
    await writeAll(rest, bytes.subarray(16 * mib));
    await rest.prepare();
    await rest.commit();
    assert.equal(digest(await objectAt('kept')), digest(bytes));
  });
});
