import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  compareKeys,
  parseListObjects,
  type ListingPage,
  type ListObjectsResponse,
} from '../../../src/s3/client/list-objects.ts';
import { DirectoryEntries } from '../../../src/s3/filesystem/directory-entries.ts';

const lastModified = new Date(0);

/** The pages that S3 makes of these keys for a listing of `d/`, with so many entries each. */
function pagesOf(keys: readonly string[], entriesPerPage: number): ListingPage[] {
  const items = new Set<string>();
  for (const key of [...keys].sort(compareKeys)) {
    const slash = key.indexOf('/', 'd/'.length);
    items.add(slash < 0 ? key : key.slice(0, slash + 1));
  }
  const ordered = [...items].sort(compareKeys);
  const pages: ListingPage[] = [];
  for (let start = 0; start < ordered.length; start += entriesPerPage) {
    const page = ordered.slice(start, start + entriesPerPage);
    const isFile = (item: string): boolean => item === 'd/' || !item.endsWith('/');
    pages.push({
      objects: page.filter(isFile).map((key) => ({ key, sizeBytes: 1, lastModified, etag: '' })),
      commonPrefixes: page.filter((item) => !isFile(item)),
    });
  }
  return pages;
}

function listed(pages: readonly ListingPage[]): { names: string[]; unlisted: string[] } {
  const unlisted: string[] = [];
  const entries = new DirectoryEntries('d/', (key, reason) => unlisted.push(`${key} ${reason}`));
  const names = pages.flatMap((page) =>
    entries.read(page).map(({ name, type }) => (type === 'file' ? name : `${name}/`)),
  );
  return { names, unlisted };
}

describe('The entries of a directory', () => {
  it('leave out its marker, and are ordered by name where keys are not', () => {
    const { names } = listed(pagesOf(['d/', 'd/a/x', 'd/a-b', 'd/a.c', 'd/b'], 10));
    assert.deepEqual(names, ['a/', 'a-b', 'a.c', 'b']);
  });

  it('hide a directory behind a file of its name, however many pages lie between', () => {
    const between = Array.from({ length: 50 }, (_, index) => `d/name-${index}`);
    const keys = ['d/name', 'd/nam', ...between, 'd/name/below', 'd/name-7/below', 'd/other/x'];
    for (const entriesPerPage of [1, 2, 7, 1000]) {
      const { names, unlisted } = listed(pagesOf(keys, entriesPerPage));
      const expected = ['nam', 'name', ...between.map((key) => key.slice(2)), 'other/'];
      assert.deepEqual(names.sort(), expected.sort());
      assert.deepEqual(unlisted.sort(), ['d/name-7/ hidden-by-file', 'd/name/ hidden-by-file'].sort());
    }
  });

  it('leave out what no FTP name can express, and report it', () => {
    const keys = ['d//x', 'd/./x', 'd/../x', 'd/a\nb', 'd/ok'];
    const { names, unlisted } = listed(pagesOf(keys, 2));
    assert.deepEqual(names, ['ok']);
    assert.equal(unlisted.length, 4);
  });

  it('list a common prefix once that a server repeats on the next page', () => {
    const page = { objects: [], commonPrefixes: ['d/a/', 'd/b/'] };
    assert.deepEqual(listed([page, { objects: [], commonPrefixes: ['d/b/', 'd/c/'] }]).names, [
      'a/',
      'b/',
      'c/',
    ]);
  });

  it('name nothing twice and nothing too few, for any keys and any page size', () => {
    const segment = fc.constantFrom(
      'a',
      'aa',
      'a!',
      'a-',
      'a.b',
      'b',
      'ä',
      '😀',
      '\uffee',
      'a/b',
      'a-/c',
      'b/',
    );
    fc.assert(
      fc.property(fc.uniqueArray(segment), fc.integer({ min: 1, max: 5 }), (segments, entriesPerPage) => {
        const keys = segments.map((name) => `d/${name}`);
        const { names } = listed(pagesOf(keys, entriesPerPage));
        const bare = names.map((name) => name.replace('/', ''));
        assert.equal(new Set(bare).size, bare.length);
        assert.deepEqual(new Set(bare), new Set(segments.map((name) => name.split('/')[0])));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('The XML of a listing', () => {
  const xml = (body: string): string => `<?xml version="1.0"?><ListBucketResult>${body}</ListBucketResult>`;

  it('gives its entries, and the token of the next page', () => {
    const answer = parseListObjects(
      xml(
        '<Prefix>d/</Prefix><IsTruncated>true</IsTruncated>\n' +
          '<Contents>\n<Key>d/a &amp;&lt;&#252;&#x1F600;&amp;amp;</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified>' +
          '<ETag>&quot;0a&quot;</ETag><Size>48800000000000</Size><Owner><ID>Key</ID></Owner></Contents>\n' +
          '<CommonPrefixes><Prefix>d/b+c/</Prefix></CommonPrefixes><NextContinuationToken>t&amp;u</NextContinuationToken>',
      ),
    );
    assert.deepEqual(answer, {
      page: {
        objects: [
          {
            key: 'd/a &<ü😀&amp;',
            sizeBytes: 48_800_000_000_000,
            lastModified: new Date('2026-01-02T03:04:05.678Z'),
            etag: '"0a"',
          },
        ],
        commonPrefixes: ['d/b+c/'],
      },
      continuationToken: 't&u',
    });
  });

  it('has its keys decoded where the server has encoded them, and only there', () => {
    const encoded =
      '<Contents><Key>a+b%2Bc%0A</Key></Contents><CommonPrefixes><Prefix>%C3%BC/</Prefix></CommonPrefixes>';
    const keysOf = ({ page }: ListObjectsResponse) => [
      ...page.objects.map(({ key }) => key),
      ...page.commonPrefixes,
    ];
    assert.deepEqual(keysOf(parseListObjects(xml(`${encoded}<EncodingType>url</EncodingType>`))), [
      'a b+c\n',
      'ü/',
    ]);
    assert.deepEqual(keysOf(parseListObjects(xml(encoded))), ['a+b%2Bc%0A', '%C3%BC/']);
  });

  it('is refused, and no entry lost, in forms that no S3 server is known to use', () => {
    const refused = [
      '<Contents><Key><![CDATA[a]]></Key></Contents>',
      '<Contents xmlns="x"><Key>a</Key></Contents>',
      '<Contents><Key>a</Key>',
    ];
    for (const body of refused) assert.throws(() => parseListObjects(xml(body)), /a listing/);
  });

  it('is read in one pass, whatever a server sends', () => {
    const hostile = xml('<Contents>'.repeat(200_000) + '</Contents>&#x110000;');
    const startedAtMs = performance.now();
    assert.equal(parseListObjects(hostile).page.objects.length, 1);
    assert.ok(performance.now() - startedAtMs < 2000, 'squared, it would take minutes');
    const [object] = parseListObjects(xml('<Contents><Key>a&#x110000;</Key></Contents>')).page.objects;
    assert.equal(object?.key, 'a&#x110000;');
  });

  it('may be empty', () => {
    assert.deepEqual(parseListObjects(xml('')), {
      page: { objects: [], commonPrefixes: [] },
      continuationToken: undefined,
    });
  });
});
