import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Pathname } from '../../src/filesystem/pathname.ts';
import { S3Filesystem } from '../../src/s3/filesystem/s3-filesystem.ts';
import { ListingWindow, DirectoryCache } from '../../src/s3/directory-cache.ts';
import type { ListObjectsResponse } from '../../src/s3/client/list-objects.ts';
import { interceptRequests } from '../support/s3-requests.ts';
import { openTestStorage, type TestStorage } from '../support/s3-storage.ts';

function answerOf(
  keys: readonly string[],
  commonPrefixes: readonly string[],
  isTruncated: boolean,
): ListObjectsResponse {
  const objects = keys.map((key) => ({ key, sizeBytes: 0, lastModified: new Date(0), etag: '' }));
  return { page: { objects, commonPrefixes }, continuationToken: isTruncated ? 'more' : undefined };
}

describe('A window of a listing', () => {
  const cases: readonly [what: string, ListingWindow, covered: readonly string[], not: readonly string[]][] =
    [
      ['an empty directory', new ListingWindow('', answerOf([], [], false)), ['d/', 'd/a/', 'd/z/'], []],
      ['a whole directory', new ListingWindow('', answerOf(['d/m'], ['d/n/'], false)), ['d/a/', 'd/z/'], []],
      [
        'a first page',
        new ListingWindow('', answerOf(['d/a'], ['d/m/'], true)),
        ['d/!/', 'd/m/'],
        ['d/m0/', 'd/z/'],
      ],
      [
        'a page after a name',
        new ListingWindow('d/m', answerOf(['d/n'], ['d/p/'], true)),
        ['d/m/', 'd/n/', 'd/p/'],
        ['d/a/', 'd/l/', 'd/q/'],
      ],
      [
        'the last page',
        new ListingWindow('d/m', answerOf(['d/n'], [], false)),
        ['d/m/', 'd/z/'],
        ['d/a/', 'd/l/'],
      ],
      [
        'a page of a server that ignores start-after',
        new ListingWindow('d/m', answerOf(['d/a'], ['d/b/'], true)),
        ['d/a/', 'd/b/'],
        ['d/m/', 'd/z/'],
      ],
      [
        'a page without keys that is not the last',
        new ListingWindow('', answerOf([], [], true)),
        [],
        ['d/a/'],
      ],
      // U+FFFD comes before U+1F600 in UTF-8, and behind it in UTF-16.
      [
        'keys in the order of their bytes',
        new ListingWindow('', answerOf(['d/\u{fffd}'], [], true)),
        [],
        ['d/\u{1f600}/'],
      ],
    ];
  for (const [what, window, covered, not] of cases) {
    it(`ListingWindow covers only what ${what} would have shown`, () => {
      for (const prefix of covered) assert.equal(window.covers(prefix), true, prefix);
      for (const prefix of not) assert.equal(window.covers(prefix), false, prefix);
    });
  }

  it('ListingWindow knows the subdirectories that it shows, and those that are added', () => {
    const window = new ListingWindow('', answerOf(['d/file'], ['d/sub/'], false));
    assert.equal(window.has('d/sub/'), true);
    assert.equal(window.has('d/file/'), false);
    window.add('d/new/');
    assert.equal(window.has('d/new/'), true);
  });
});

describe('The directory cache', () => {
  let test: TestStorage;
  let prefix: string;
  let nowMs: number;
  let requests: number;
  let fails: boolean;
  let cache: DirectoryCache;
  const { signal } = new AbortController();

  before(async () => {
    test = await openTestStorage();
    interceptRequests(test.storage.client, ({ command }) => {
      if (command !== 'ListObjectsV2') return;
      requests++;
      if (fails) throw new Error('no answer');
    });
  });
  after(() => test.close());
  beforeEach(() => {
    prefix = `home-${randomUUID()}/`;
    nowMs = 1_000_000;
    requests = 0;
    fails = false;
    cache = new DirectoryCache(test.storage.client, () => nowMs);
  });

  const mayHave = async (name: string) => cache.mightContain(test.server.bucket, prefix, `${prefix}${name}/`);
  const add = (name: string) => cache.add(test.server.bucket, `${prefix}${name}/file`);
  const put = async (name: string): Promise<void> => {
    const { bucket } = test.server;
    const body = { chunks: [], sizeBytes: 0 };
    await test.storage.client.direct.send({ method: 'PUT', bucket, key: prefix + name, body });
  };
  const putMany = async (names: readonly string[]): Promise<void> => {
    for (let first = 0; first < names.length; first += 50) {
      await Promise.all(names.slice(first, first + 50).map(put));
    }
  };

  it('The directory cache makes the first upload ask S3 itself, and reads a page for all at the second', async () => {
    await put('sub/file');
    assert.equal(await mayHave('a'), true);
    assert.equal(requests, 0);
    assert.equal(await mayHave('b'), false);
    assert.equal(await mayHave('sub'), true);
    for (const name of ['a', 'c', 'zz', 'b']) assert.equal(await mayHave(name), false);
    assert.equal(requests, 1);
  });

  it('The directory cache reads its page again after ten seconds', async () => {
    await mayHave('a');
    for (let upload = 0; upload < 25; upload++, nowMs += 1_000) await mayHave(`b${upload}`);
    assert.equal(requests, 3);
  });

  it('The directory cache starts over after ten seconds without an upload', async () => {
    await mayHave('a');
    nowMs += 10_001;
    assert.equal(await mayHave('b'), true);
    assert.equal(requests, 0);
  });

  it('The directory cache knows directories that were made since its page was read, and while it is being read', async () => {
    await mayHave('a');
    const page = mayHave('b');
    add('meanwhile');
    assert.equal(await page, false);
    assert.equal(await mayHave('meanwhile'), true);
    add('later');
    assert.equal(await mayHave('later'), true);
    cache.clear();
    assert.equal(await mayHave('c'), true);
  });

  it('The directory cache knows the directories of a long upload from its commit on', async () => {
    const session = new S3Filesystem(test.storage, { bucket: test.server.bucket, prefix });
    const slow = await session.openUpload('/slow/file' as Pathname, {
      offset: 0,
      ifExists: 'replace',
      signal,
    });
    const known = test.storage.directoryCache;
    const may = (name: string) => known.mightContain(test.server.bucket, prefix, `${prefix}${name}/`);
    await may('a');
    assert.equal(await may('b'), false, 'a page is read that does not show it');
    assert.equal(await may('slow'), false);
    await slow.commit();
    assert.equal(await may('slow'), true);
  });

  it('Parallel uploads wait for the same page of the directory cache', async () => {
    await mayHave('a');
    const answers = await Promise.all(Array.from({ length: 16 }, (_unused, index) => mayHave(`b${index}`)));
    assert.ok(answers.every((may) => !may));
    assert.equal(requests, 1);
  });

  it('Uploads ask S3 themselves when the directory cache cannot read its page', async () => {
    await mayHave('a');
    fails = true;
    assert.equal(await mayHave('b'), true);
    fails = false;
    assert.equal(await mayHave('c'), true);
    assert.equal(requests, 1);
  });

  it('The directory cache continues from the name of the upload in a directory with more than one page', async () => {
    await putMany(Array.from({ length: 1_050 }, (_unused, index) => `a${String(index).padStart(4, '0')}`));
    await put('b30/file');
    await mayHave('b00');
    assert.equal(await mayHave('b01'), true, 'the first page ends before it');
    for (let index = 2; index < 30; index++)
      assert.equal(await mayHave(`b${String(index).padStart(2, '0')}`), false);
    assert.equal(await mayHave('b30'), true);
    assert.equal(requests, 2);
    // Far from its neighbours: two more pages without a hit, then none for a while.
    for (const name of ['a0900', 'a0500', 'a0100']) await mayHave(name);
    const before = requests;
    for (let index = 0; index < 50; index++)
      assert.equal(await mayHave(`a00${String(index).padStart(2, '0')}`), true);
    assert.equal(requests, before);
  });

  it('An upload onto a directory is refused despite the directory cache regardless of who created it and how', async () => {
    const home = { bucket: test.server.bucket, prefix };
    const [session, other] = [new S3Filesystem(test.storage, home), new S3Filesystem(test.storage, home)];
    const upload = async (filesystem: S3Filesystem, pathname: string): Promise<void> => {
      const options = { offset: 0, ifExists: 'replace', signal } as const;
      const opened = await filesystem.openUpload(pathname as Pathname, options);
      await opened.write(Buffer.from('x'));
      await opened.commit();
    };
    const refused = (pathname: string) =>
      assert.rejects(upload(session, pathname), { kind: 'is-a-directory' }, pathname);
    await put('implied/file');
    for (const name of ['a', 'b', 'c']) await upload(session, `/${name}`);
    await refused('/implied');
    await other.makeDirectory('/made' as Pathname, { signal });
    await refused('/made');
    await upload(other, '/uploaded/into/file');
    await refused('/uploaded');
    await other.makeDirectory('/deep/within' as Pathname, { signal });
    await refused('/deep');
    const inner = new S3Filesystem(test.storage, { bucket: home.bucket, prefix: `${prefix}team/anna/` });
    await upload(inner, '/first');
    await refused('/team');
    await other.makeDirectory('/moved' as Pathname, { signal });
    await other.rename('/moved' as Pathname, '/here' as Pathname, { signal });
    await refused('/here');
    await upload(session, '/moved');
  });
});
