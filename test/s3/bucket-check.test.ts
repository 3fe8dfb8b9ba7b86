import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BucketCheck } from '../../src/s3/bucket-check.ts';
import { openTestStorage } from '../support/s3-storage.ts';

const { signal } = new AbortController();

describe('the check of buckets at start', () => {
  it('The check reports a bucket that does not exist once, also one of a user who is added later, and nothing about one that does', async () => {
    const { server, storage, close } = await openTestStorage();
    const homes = [
      { bucket: server.bucket, prefix: 'alice/' },
      { bucket: 'no-such-bucket', prefix: 'bob/' },
      { bucket: 'no-such-bucket', prefix: 'carol/' },
    ];
    const check = new BucketCheck(storage, signal);
    await check.check(homes);
    // As when a user is added later.
    await check.check([...homes, { bucket: 'other-missing-bucket', prefix: 'dave/' }]);
    // Not every server has request ids.
    const reported = storage.events.map((event) => ({ ...event, requestId: undefined }));
    assert.deepEqual(
      reported,
      ['no-such-bucket', 'other-missing-bucket'].map((bucket) => ({
        event: 'storage-error',
        retrying: false,
        operation: 'check-at-start',
        bucket,
        endpoint: server.endpoint,
        cause: 'STORAGE-BUCKET',
        errorName: 'NoSuchBucket',
        httpStatus: 404,
        requestId: undefined,
      })),
    );
    await close();
  });

  it('The check ends without a report when the gateway stops', async () => {
    const { storage, close } = await openTestStorage();
    await new BucketCheck(storage, AbortSignal.abort()).check([{ bucket: 'no-such-bucket', prefix: '' }]);
    assert.deepEqual(storage.events, []);
    await close();
  });
});
