import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { FilesystemError } from '../../../src/filesystem/filesystem-error.ts';
import { findResumableUpload, truncateTo } from '../../../src/s3/upload/resumable-upload.ts';
import { abortAbandonedUploads } from '../../../src/s3/upload/abandoned-uploads.ts';
import { supersedeUploads } from '../../../src/s3/upload/superseded-uploads.ts';
import { MultipartUpload } from '../../../src/s3/upload/multipart-upload.ts';
import { Part } from '../../../src/s3/upload/part.ts';
import { ownerTagPart } from '../../../src/s3/upload/tag-parts.ts';
import type { S3UploadOptions } from '../../../src/s3/upload/upload.ts';
import { bytesOf, digest, mib, neverAborted, writeAll } from '../transfer.ts';
import { useS3 } from '../s3-suite.ts';

const minuteMs = 60_000;
const vanished = new Error('the client vanished');

describe('resumable uploads', () => {
  const s3 = useS3();
  const resumption = { owner: 'alice', windowMs: minuteMs };

  const open = (key: string, options: Partial<S3UploadOptions> = {}) =>
    s3.open(key, { resumePolicy: resumption, ...options });
  const find = (key: string, by: Partial<typeof resumption> = {}) =>
    findResumableUpload(s3.storage, {
      bucket: s3.bucket,
      key,
      resumePolicy: { ...resumption, ...by },
      signal: neverAborted,
    });
  const openUploads = (key: string) => s3.openUploadIds(key);
  const breakOff = async (key: string, bytes: Uint8Array, options: Partial<S3UploadOptions> = {}) => {
    const upload = await open(key, options);
    await writeAll(upload, bytes);
    await upload.abort(vanished);
  };

  it('An interrupted upload can be resumed, and the object stays unchanged until the resumed upload is committed', async () => {
    const bytes = bytesOf(30 * mib + 17, 3);
    const old = bytesOf(100, 4);
    await s3.putObject('continued', old);
    await breakOff('continued', bytes.subarray(0, 21 * mib));
    assert.equal(digest(await s3.getObject('continued')), digest(old));
    const interrupted = (await find('continued'))!;
    assert.equal(interrupted.sizeBytes, 16 * mib, 'less than a part is sent again');
    const upload = await open('continued', { resumable: interrupted });
    await writeAll(upload, bytes.subarray(interrupted.sizeBytes));
    assert.equal(digest(await s3.getObject('continued')), digest(old));
    await upload.commit();
    assert.equal(digest(await s3.getObject('continued')), digest(bytes));
    assert.equal((await s3.headObject('continued')).ChecksumType, 'FULL_OBJECT');
    assert.equal(await find('continued'), undefined);
    assert.deepEqual(await openUploads('continued'), []);
  });

  it('A resumed upload may break again, several times', async () => {
    const bytes = bytesOf(40 * mib, 5);
    await breakOff('often', bytes.subarray(0, 9 * mib));
    for (const untilBytes of [18 * mib, 18 * mib + 5, 33 * mib]) {
      const interrupted = (await find('often'))!;
      await breakOff('often', bytes.subarray(interrupted.sizeBytes, untilBytes), { resumable: interrupted });
    }
    const interrupted = (await find('often'))!;
    assert.equal(interrupted.sizeBytes, 32 * mib);
    const upload = await open('often', { resumable: interrupted });
    await writeAll(upload, bytes.subarray(interrupted.sizeBytes));
    await upload.commit();
    assert.equal(digest(await s3.getObject('often')), digest(bytes));
  });

  it('An upload that was left to be resumed counts as kept until it is resumed, or until its time is over', async () => {
    const { keptUploads } = s3.storage;
    const before = keptUploads.count;
    await breakOff('kept', bytesOf(9 * mib, 7));
    assert.equal(keptUploads.count, before + 1);
    const upload = await open('kept', { resumable: (await find('kept'))! });
    assert.equal(keptUploads.count, before);
    await upload.abort(vanished);
    assert.equal(keptUploads.count, before + 1);
    // A newer version of the file begins.
    await supersedeUploads(s3.storage, { bucket: s3.bucket, key: 'kept', signal: neverAborted });
    assert.equal(keptUploads.count, before);
    await breakOff('expired', bytesOf(9 * mib, 7), { resumePolicy: { owner: 'alice', windowMs: 1 } });
    await delay(2);
    assert.equal(keptUploads.count, before);
  });

  it('An interrupted upload with all of its bytes stored can be committed without another byte', async () => {
    const bytes = bytesOf(16 * mib, 6);
    await breakOff('full', bytes);
    const interrupted = (await find('full'))!;
    assert.equal(interrupted.sizeBytes, 16 * mib);
    const upload = await open('full', { resumable: interrupted });
    await upload.commit();
    assert.equal(digest(await s3.getObject('full')), digest(bytes));
  });

  it('An interrupted upload can be resumed at the end of any of its parts', async () => {
    const bytes = bytesOf(24 * mib, 7);
    await breakOff('cut', bytes);
    const whole = (await find('cut'))!;
    assert.equal(truncateTo(whole, 9 * mib), undefined);
    const interrupted = truncateTo(whole, 8 * mib)!;
    const rest = bytesOf(2 * mib, 8);
    const upload = await open('cut', { resumable: interrupted });
    await writeAll(upload, rest);
    await upload.commit();
    assert.equal(
      digest(await s3.getObject('cut')),
      digest(Buffer.concat([bytes.subarray(0, 8 * mib), rest])),
    );
  });

  it('A resumed upload never combines its parts with later parts of an earlier attempt', async () => {
    const [earlier, later] = [bytesOf(24 * mib, 13), bytesOf(24 * mib, 14)];
    await breakOff('stale', earlier);
    const begin = earlier.subarray(0, 8 * mib);
    await breakOff('stale', later.subarray(8 * mib, 16 * mib), {
      resumable: truncateTo((await find('stale'))!, 8 * mib)!,
    });
    const interrupted = (await find('stale'))!;
    assert.equal(interrupted.sizeBytes, 16 * mib, 'the third part is not what follows the second');
    const upload = await open('stale', { resumable: interrupted });
    await writeAll(upload, later.subarray(16 * mib));
    await upload.commit();
    const whole = Buffer.concat([begin, later.subarray(8 * mib)]);
    assert.equal(digest(await s3.getObject('stale')), digest(whole));
  });

  it('A resumed upload replaces a last part that is too short to be followed by another', async () => {
    const bytes = bytesOf(16 * mib, 15);
    await breakOff('tail', bytes.subarray(0, 8 * mib));
    const target = { bucket: s3.bucket, key: 'tail', attributes: {}, integrity: 'whole' } as const;
    const tail = new Part();
    tail.append(bytes.subarray(8 * mib, 8 * mib + 100));
    const broken = MultipartUpload.adopt(s3.storage, target, (await find('tail'))!);
    await broken.uploadPart(2, tail, neverAborted);
    const interrupted = (await find('tail'))!;
    assert.equal(interrupted.sizeBytes, 8 * mib);
    const upload = await open('tail', { resumable: interrupted });
    await writeAll(upload, bytes.subarray(8 * mib));
    await upload.commit();
    assert.equal(digest(await s3.getObject('tail')), digest(bytes));
  });

  it('An interrupted upload can be found only by the user who started it, and only under its key', async () => {
    await breakOff('mine', bytesOf(9 * mib));
    assert.equal(await find('mine', { owner: 'bob' }), undefined);
    assert.equal(await find('min'), undefined);
    assert.equal(await find('mine2'), undefined);
    assert.notEqual(await find('mine'), undefined);
    const owned = ownerTagPart('alice', s3.bucket, 'mine');
    assert.notDeepEqual(ownerTagPart('alice', s3.bucket, 'mine2'), owned);
    assert.notDeepEqual(ownerTagPart('alice', 'other', 'mine'), owned);
  });

  it('An interrupted upload is not found after the resume window', async () => {
    await breakOff('late', bytesOf(9 * mib));
    assert.equal(await find('late', { windowMs: -minuteMs }), undefined);
  });

  it('An upload is not kept for a resume when that is switched off, for a drop box, when it appends, or without a full part', async () => {
    await breakOff('off', bytesOf(9 * mib), { resumePolicy: { owner: 'alice', windowMs: 0 } });
    await breakOff('drop-box', bytesOf(9 * mib), { ifExists: 'refuse' });
    await s3.putObject('appended', bytesOf(6 * mib));
    await breakOff('appended', bytesOf(9 * mib), { offset: 'end' });
    await breakOff('small', bytesOf(mib));
    for (const key of ['off', 'drop-box', 'appended', 'small']) assert.deepEqual(await openUploads(key), []);
  });

  it('A multipart upload of another program is never resumed', async () => {
    const target = { bucket: s3.bucket, key: 'foreign', attributes: {}, integrity: 'whole' } as const;
    await MultipartUpload.create(s3.storage, target, neverAborted);
    assert.equal(await find('foreign'), undefined);
  });

  it('A resumed upload ends its predecessor when that has not noticed the loss of its client yet', async () => {
    const bytes = bytesOf(20 * mib, 9);
    const first = await open('half-alive');
    await writeAll(first, bytes.subarray(0, 17 * mib));
    // Its parts may be in flight still; what S3 has is what counts.
    let interrupted = await find('half-alive');
    while (interrupted?.sizeBytes !== 16 * mib) interrupted = await find('half-alive');
    const second = await open('half-alive', { resumable: interrupted });
    await assert.rejects(async () => await first.write(bytesOf(10)));
    await writeAll(second, bytes.subarray(16 * mib));
    await second.commit();
    await first.abort(vanished);
    assert.equal(digest(await s3.getObject('half-alive')), digest(bytes));
  });

  it('A commit fails when two sessions in different tasks resume the same upload', async () => {
    const begin = bytesOf(8 * mib, 10);
    await breakOff('twice', begin);
    const interrupted = (await find('twice'))!;
    const target = { bucket: s3.bucket, key: 'twice', attributes: {}, integrity: 'whole' } as const;
    // The other task, which this process knows nothing of.
    const other = MultipartUpload.adopt(s3.storage, target, interrupted);
    const mine = await open('twice', { resumable: interrupted });
    await writeAll(mine, bytesOf(9 * mib, 11));
    while ((await find('twice'))?.sizeBytes !== 16 * mib);
    const part = new Part();
    part.append(bytesOf(6 * mib, 12));
    await other.uploadPart(2, part, neverAborted);
    await assert.rejects(
      mine.commit(),
      (error) => error instanceof FilesystemError && error.kind === 'changed',
    );
    assert.equal(await s3.getObject('twice'), undefined);
  });

  describe('the sweep', () => {
    const sweep = (silentForMs: number) =>
      abortAbandonedUploads(s3.storage, {
        bucket: s3.bucket,
        prefix: 'sweep/',
        silentForMs,
        signal: neverAborted,
      });

    it('abortAbandonedUploads() removes an upload that was inactive for too long, but none that is recent, running or foreign', async () => {
      await breakOff('sweep/left', bytesOf(9 * mib));
      const foreign = {
        bucket: s3.bucket,
        key: 'sweep/foreign',
        attributes: {},
        integrity: 'whole',
      } as const;
      await MultipartUpload.create(s3.storage, foreign, neverAborted);
      const running = await open('sweep/running');
      await writeAll(running, bytesOf(9 * mib));
      while ((await find('sweep/running')) === undefined);
      assert.equal(await sweep(minuteMs), 0);
      assert.equal((await openUploads('sweep/')).length, 3);
      assert.equal(await sweep(-minuteMs), 1);
      assert.deepEqual(await openUploads('sweep/left'), []);
      assert.equal((await openUploads('sweep/')).length, 2);
      await running.commit();
      assert.equal((await s3.getObject('sweep/running'))?.byteLength, 9 * mib);
    });

    it('abortAbandonedUploads() fails when S3 does not list the uploads', async () => {
      await assert.rejects(
        abortAbandonedUploads(s3.storage, {
          bucket: 'no-such-bucket',
          prefix: '',
          silentForMs: 0,
          signal: neverAborted,
        }),
        (error) => error instanceof FilesystemError && error.kind === 'misconfigured',
      );
    });
  });
});
