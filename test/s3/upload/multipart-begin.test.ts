/** An upload that ends while S3 is still beginning its multipart upload leaves nothing behind. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type FaultProxy, startFaultProxy } from '../../support/fault-proxy.ts';
import { type S3Server, startS3Server } from '../../support/s3-server.ts';
import {
  bytesOf,
  mib,
  openUpload,
  openUploadIds,
  storageOn,
  type TestStorage,
  writeAll,
} from '../transfer.ts';

describe('a multipart upload that S3 is still beginning', () => {
  let s3: S3Server;
  let proxy: FaultProxy;
  let storage: TestStorage;

  before(async () => {
    s3 = await startS3Server();
    proxy = await startFaultProxy(s3.endpoint);
    storage = storageOn(proxy.endpoint, { budgetBytes: 64 * mib });
  });
  after(async () => {
    assert.equal(storage.memory.heldBytes, 0, 'transfer memory is given back');
    storage.client.destroy();
    await proxy.close();
    await s3.close();
  });

  it('A multipart upload whose transfer is aborted while S3 creates it is aborted as soon as its id is known', async () => {
    const asked = new Promise<void>((resolve) => {
      proxy.onRequest = (operation) => {
        if (operation !== 'CreateMultipartUpload') return undefined;
        resolve();
        return { kind: 'slow-first-byte', delayMs: 300 };
      };
    });
    const transfer = new AbortController();
    const upload = await openUpload(storage, s3.bucket, 'begun.bin', { signal: transfer.signal });
    await writeAll(upload, bytesOf(9 * mib));
    await asked;
    transfer.abort(new Error('the client is gone'));
    await upload.abort(transfer.signal.reason);
    assert.equal(proxy.counts.get('CreateMultipartUpload'), 1, 'it was not cancelled and asked for again');
    assert.equal(proxy.counts.get('AbortMultipartUpload'), 1, 'it was aborted');
    assert.equal(proxy.counts.get('UploadPart') ?? 0, 0, 'no part was sent for it');
    assert.deepEqual(await openUploadIds(s3, 'begun.bin'), []);
  });

  it('A multipart upload that S3 is still creating is reported at the deadline of the process, which does not wait longer', async () => {
    const stopping = storageOn(proxy.endpoint, { budgetBytes: 64 * mib });
    const asked = new Promise<void>((resolve) => {
      proxy.onRequest = (operation) => {
        if (operation !== 'CreateMultipartUpload') return undefined;
        resolve();
        return { kind: 'stall' };
      };
    });
    const upload = await openUpload(stopping, s3.bucket, 'silent.bin');
    await writeAll(upload, bytesOf(9 * mib));
    await asked;
    const aborted = upload.abort(new Error('the gateway is stopping'));
    stopping.client.settling.giveUp();
    await aborted;
    await stopping.client.settling.done();
    const reported = stopping.events.filter((event) => event.event === 'storage-error');
    assert.deepEqual(reported, [
      {
        event: 'storage-error',
        retrying: false,
        operation: 'CreateMultipartUpload',
        bucket: s3.bucket,
        key: 'silent.bin',
        cause: 'STORAGE-UNCONFIRMED',
        errorName: 'Unconfirmed',
      },
    ]);
    assert.equal(stopping.memory.heldBytes, 0);
    stopping.client.destroy();
  });
});
