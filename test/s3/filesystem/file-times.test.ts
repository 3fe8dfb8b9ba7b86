/** The lookups behind a listing that shows times of clients: how many run at once, what is remembered, and what never is. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FilesystemError } from '../../../src/filesystem/filesystem-error.ts';
import { FileTimeLookup } from '../../../src/s3/filesystem/file-times.ts';
import { FileTimeCache } from '../../../src/s3/file-time-cache.ts';
import type { ObjectHead } from '../../../src/s3/client/object-headers.ts';
import type { ListedObject } from '../../../src/s3/client/list-objects.ts';

const written = new Date('2026-03-01T12:00:00Z');
const long = new Date('2026-03-01T13:00:00Z');
const kept = '1000000000';
const keptDate = new Date(1_000_000_000_000);
const signal = new AbortController().signal;
const onRefused = (error: unknown): never => assert.fail(String(error));

function fileTimes(lookUp: ConstructorParameters<typeof FileTimeLookup>[0]): FileTimeLookup {
  return new FileTimeLookup(lookUp, new FileTimeCache());
}

function listed(key: string, changes: Partial<ListedObject> = {}): ListedObject {
  return { key, sizeBytes: 7, lastModified: written, etag: '"a"', ...changes };
}

function headOf(changes: Partial<ObjectHead> = {}): ObjectHead {
  return {
    ContentLength: 7,
    LastModified: written,
    ETag: '"a"',
    RespondedAt: long,
    Metadata: { mtime: kept },
    ...changes,
  };
}

/** Asks for each listing in turn; resolves to the number of lookups that each one took. */
async function lookupsOf(
  heads: readonly ObjectHead[],
  listings: readonly (readonly ListedObject[])[],
): Promise<number[]> {
  let asked = 0;
  const times = fileTimes(() => Promise.resolve(heads[Math.min(asked++, heads.length - 1)]));
  const counts: number[] = [];
  for (const objects of listings) {
    const before = asked;
    await times.timesOf(objects, { bucket: 'b', signal, onRefused });
    counts.push(asked - before);
  }
  return counts;
}

describe('The times of a listing', () => {
  it('The times of a listing are taken from the metadata, and a deleted object has none', async () => {
    const times = fileTimes(({ key }) => Promise.resolve(key === 'gone' ? undefined : headOf()));
    const found = await times.timesOf([listed('a'), listed('gone')], { bucket: 'b', signal, onRefused });
    assert.deepEqual([...found], [['a', { sizeBytes: 7, modifiedAt: keptDate }]]);
  });

  it('The times of a listing are looked up once for a version that cannot be confused with another', async () => {
    assert.deepEqual(await lookupsOf([headOf()], [[listed('a')], [listed('a')]]), [1, 0]);
  });

  for (const [what, head, again] of [
    ['was written within the last seconds', headOf({ RespondedAt: new Date('2026-03-01T12:00:04Z') }), {}],
    ['was uploaded in parts', headOf({ ETag: '"a-2"' }), { etag: '"a-2"' }],
    ['has changed since the listing', headOf({ ETag: '"b"' }), {}],
    ['has no ETag in the listing', headOf({ ETag: '' }), { etag: '' }],
    ['comes without the date of the answer', headOf({ RespondedAt: undefined }), {}],
  ] as const) {
    it(`The times of a listing are looked up again for an object that ${what}`, async () => {
      const object = listed('a', again);
      assert.deepEqual(await lookupsOf([head], [[object], [object]]), [1, 1]);
    });
  }

  for (const [what, change] of [
    ['another date', { lastModified: long }],
    ['another ETag', { etag: '"b"' }],
    ['another size', { sizeBytes: 8 }],
  ] as const) {
    it(`The times of a listing are looked up again for a version with ${what}`, async () => {
      assert.deepEqual(await lookupsOf([headOf()], [[listed('a')], [listed('a', change)]]), [1, 1]);
    });
  }

  it('The times of a listing are looked up again after a time was set', async () => {
    let asked = 0;
    const cache = new FileTimeCache();
    const times = new FileTimeLookup(
      () => Promise.resolve(asked++ === 0 ? headOf() : headOf({ Metadata: { mtime: '5' } })),
      cache,
    );
    await times.timesOf([listed('a')], { bucket: 'b', signal, onRefused });
    cache.delete('b', 'a');
    const found = await times.timesOf([listed('a')], { bucket: 'b', signal, onRefused });
    assert.deepEqual(found.get('a')?.modifiedAt, new Date(5000));
  });

  it('The times of a listing are looked up 32 at a time per listing, and 128 for all listings together', async () => {
    let [underWay, most] = [0, 0];
    const release: (() => void)[] = [];
    const times = fileTimes(async () => {
      most = Math.max(most, ++underWay);
      await new Promise<void>((resolve) => release.push(resolve));
      underWay--;
      return headOf();
    });
    const list = async (bucket: string) => {
      const objects = Array.from({ length: 300 }, (_, index) => listed(`${index}`));
      return (await times.timesOf(objects, { bucket, signal, onRefused })).size;
    };
    const settle = async (...listings: readonly Promise<number>[]): Promise<number[]> => {
      const all = Promise.all(listings);
      for (;;) {
        const turn = new Promise<undefined>((resolve) => setImmediate(resolve, undefined));
        const sizes = await Promise.race([all, turn]);
        if (sizes) return sizes;
        for (const next of release.splice(0)) next();
      }
    };
    assert.deepEqual(await settle(list('one')), [300]);
    assert.equal(most, 32);
    const buckets = Array.from({ length: 20 }, (_, index) => `b${index}`);
    assert.deepEqual(
      await settle(...buckets.map(list)),
      buckets.map(() => 300),
    );
    assert.equal(most, 128);
  });

  it('The times of a listing are the upload times where S3 refuses the lookup, which is reported', async () => {
    const refusal = new FilesystemError('permission-denied', 'AccessDenied');
    const times = fileTimes(() => Promise.reject(refusal));
    const refused: unknown[] = [];
    const found = await times.timesOf([listed('a')], {
      bucket: 'b',
      signal,
      onRefused: (error) => refused.push(error),
    });
    assert.deepEqual([[...found], refused], [[['a', { sizeBytes: 7, modifiedAt: written }]], [refusal]]);
  });

  it('A listing fails when S3 fails to look up its times', async () => {
    const failure = new FilesystemError('unavailable', 'SlowDown');
    const times = fileTimes(() => Promise.reject(failure));
    await assert.rejects(times.timesOf([listed('a')], { bucket: 'b', signal, onRefused }), failure);
  });

  it('The lookup of the times of a listing stops when the client disconnects', async () => {
    const controller = new AbortController();
    const reason = new Error('the client went away');
    const times = fileTimes(({ signal: given }) => {
      queueMicrotask(() => controller.abort(reason));
      return new Promise((_, reject) => given.addEventListener('abort', () => reject(reason)));
    });
    const objects = Array.from({ length: 100 }, (_, index) => listed(`${index}`));
    await assert.rejects(
      times.timesOf(objects, { bucket: 'b', signal: controller.signal, onRefused }),
      reason,
    );
  });
});
