/** An upload that ends while S3 is still beginning its multipart upload leaves nothing behind. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bytesOf, mib, writeAll } from '../transfer.ts';
import { useS3 } from '../s3-suite.ts';

describe('a multipart upload that S3 is still beginning', () => {
  const s3 = useS3({ throughProxy: true, budgetBytes: 64 * mib });

  it('A multipart upload whose transfer is aborted while S3 creates it is aborted as soon as its id is known', async () => {
    const asked = new Promise<void>((resolve) => {
      s3.proxy.onRequest = (operation) => {
        if (operation !== 'CreateMultipartUpload') return undefined;
        resolve();
        return { kind: 'slow-first-byte', delayMs: 300 };
      };
    });
    const transfer = new AbortController();
    const upload = await s3.open('begun.bin', { signal: transfer.signal });
    await writeAll(upload, bytesOf(9 * mib));
    await asked;
    transfer.abort(new Error('the client is gone'));
    await upload.abort(transfer.signal.reason);
    assert.equal(s3.proxy.counts.get('CreateMultipartUpload'), 1, 'it was not cancelled and asked for again');
    assert.equal(s3.proxy.counts.get('AbortMultipartUpload'), 1, 'it was aborted');
    assert.equal(s3.proxy.counts.get('UploadPart') ?? 0, 0, 'no part was sent for it');
    assert.deepEqual(await s3.openUploadIds('begun.bin'), []);
  });

  it('A multipart upload that S3 is still creating is reported at the deadline of the process, which does not wait longer', async () => {
    const stopping = s3.newStorage({ budgetBytes: 64 * mib });
    const asked = new Promise<void>((resolve) => {
      s3.proxy.onRequest = (operation) => {
        if (operation !== 'CreateMultipartUpload') return undefined;
        resolve();
        return { kind: 'stall' };
      };
    });
    const upload = await s3.open('silent.bin', {}, stopping);
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
  });
});
