import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { XMLParser } from 'fast-xml-parser';
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
  it('The entries of a directory omit its marker, and are ordered by name even where keys are not', () => {
    const { names } = listed(pagesOf(['d/', 'd/a/x', 'd/a-b', 'd/a.c', 'd/b'], 10));
    assert.deepEqual(names, ['a/', 'a-b', 'a.c', 'b']);
  });

  it('A file hides a directory of the same name, however many pages lie between them', () => {
    const between = Array.from({ length: 50 }, (_, index) => `d/name-${index}`);
    const keys = ['d/name', 'd/nam', ...between, 'd/name/below', 'd/name-7/below', 'd/other/x'];
    for (const entriesPerPage of [1, 2, 7, 1000]) {
      const { names, unlisted } = listed(pagesOf(keys, entriesPerPage));
      const expected = ['nam', 'name', ...between.map((key) => key.slice(2)), 'other/'];
      assert.deepEqual(names.sort(), expected.sort());
      assert.deepEqual(unlisted.sort(), ['d/name-7/ hidden-by-file', 'd/name/ hidden-by-file'].sort());
    }
  });

  it('The entries of a directory omit names that FTP cannot express, and report them', () => {
    const keys = ['d//x', 'd/./x', 'd/../x', 'd/a\nb', 'd/ok'];
    const { names, unlisted } = listed(pagesOf(keys, 2));
    assert.deepEqual(names, ['ok']);
    assert.equal(unlisted.length, 4);
  });

  it('A common prefix that a server repeats on the next page is listed once', () => {
    const page = { objects: [], commonPrefixes: ['d/a/', 'd/b/'] };
    assert.deepEqual(listed([page, { objects: [], commonPrefixes: ['d/b/', 'd/c/'] }]).names, [
      'a/',
      'b/',
      'c/',
    ]);
  });

  it('A directory listing has every name exactly once, for any keys and any page size', () => {
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

  it('The XML of a listing yields its entries and the token of the next page', () => {
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

  it('The keys in the XML of a listing are decoded only where the server has encoded them', () => {
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

  it('The XML of a listing is refused without losing entries if its form is not known from any S3 server', () => {
    const refused = [
      '<Contents><Key><![CDATA[a]]></Key></Contents>',
      '<Contents xmlns="x"><Key>a</Key></Contents>',
      '<Contents><Key>a</Key>',
    ];
    for (const body of refused) assert.throws(() => parseListObjects(xml(body)), /a listing/);
  });

  it('The XML of a listing is parsed in a single pass, whatever a server sends', () => {
    const hostile = xml('<Contents>'.repeat(200_000) + '</Contents>&#x110000;');
    const startedAtMs = performance.now();
    assert.equal(parseListObjects(hostile).page.objects.length, 1);
    assert.ok(performance.now() - startedAtMs < 2000, 'squared, it would take minutes');
    const [object] = parseListObjects(xml('<Contents><Key>a&#x110000;</Key></Contents>')).page.objects;
    assert.equal(object?.key, 'a&#x110000;');
  });

  it('The XML of a listing may be empty', () => {
    assert.deepEqual(parseListObjects(xml('')), {
      page: { objects: [], commonPrefixes: [] },
      continuationToken: undefined,
    });
  });
});

/** How a server may write a character of text in XML 1.0. */
function escapeWith(style: number, character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const named = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' }[character];
  const decimal = `&#${code};`;
  const hexadecimal = `&#x${style % 2 === 0 ? code.toString(16) : code.toString(16).toUpperCase()};`;
  if (style % 3 === 1) return hexadecimal;
  if (style % 3 === 2) return decimal;
  // Line ends and tabs are normalized by XML parsers unless they are escaped.
  return named ?? (code < 0x20 ? decimal : character);
}

/** Text that XML 1.0 can carry, as the server means it and as it writes it. */
const text = fc
  .array(
    fc.tuple(
      fc.nat(11),
      fc.oneof(
        fc.constantFrom(
          '&',
          '<',
          '>',
          '"',
          "'",
          '/',
          '+',
          '%',
          ';',
          '#',
          ' ',
          '\n',
          '\t',
          'ü',
          '😀',
          '&amp;',
        ),
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
      ),
    ),
    { minLength: 1, maxLength: 12 },
  )
  .map((characters) => ({
    meant: characters.map(([, character]) => character).join(''),
    written: characters
      .map(([style, shown]) => Array.from(shown, (one) => escapeWith(style, one)).join(''))
      .join(''),
  }))
  // Parsers differ on whether space around text belongs to it; keys with such space arrive URL-encoded.
  .filter(({ meant }) => meant.trim() === meant);

const listing = fc.record({
  objects: fc.array(
    fc.record({
      key: text,
      etag: text,
      sizeBytes: fc.nat(),
      lastModified: fc.date({
        min: new Date('1970-01-01T00:00:00Z'),
        max: new Date('2100-01-01T00:00:00Z'),
        noInvalidDate: true,
      }),
      owner: fc.boolean(),
      isReversed: fc.boolean(),
    }),
    { maxLength: 6 },
  ),
  commonPrefixes: fc.array(text, { maxLength: 4 }),
  token: fc.option(text, { nil: undefined }),
  isIndented: fc.boolean(),
});

type Listing = typeof listing extends fc.Arbitrary<infer Value> ? Value : never;

function written({ objects, commonPrefixes, token, isIndented }: Listing): string {
  const between = isIndented ? '\n  ' : '';
  const contents = objects.map(({ key, etag, sizeBytes, lastModified, owner, isReversed }) => {
    const fields = [
      `<Key>${key.written}</Key>`,
      `<LastModified>${lastModified.toISOString()}</LastModified>`,
      `<ETag>${etag.written}</ETag>`,
      `<Size>${sizeBytes}</Size>`,
      ...(owner ? ['<Owner><ID>0a</ID><DisplayName>Key</DisplayName></Owner>'] : []),
      '<StorageClass>STANDARD</StorageClass>',
    ];
    if (isReversed) fields.reverse();
    return `<Contents>${between}${fields.join(between)}${between}</Contents>`;
  });
  const prefixes = commonPrefixes.map(
    (prefix) => `<CommonPrefixes>${between}<Prefix>${prefix.written}</Prefix></CommonPrefixes>`,
  );
  const next = token === undefined ? [] : [`<NextContinuationToken>${token.written}</NextContinuationToken>`];
  const body = [`<IsTruncated>${token !== undefined}</IsTruncated>`, ...contents, ...prefixes, ...next];
  return `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${body.join(between)}</ListBucketResult>`;
}

/** What a general XML parser reads in the same document. */
function parsedGenerally(document: string): ListObjectsResponse {
  type Contents = { Key: string; Size: string; LastModified: string; ETag: string };
  type Result = {
    Contents?: Contents[];
    CommonPrefixes?: { Prefix: string }[];
    NextContinuationToken?: string;
  };
  const parser = new XMLParser({
    parseTagValue: false,
    trimValues: true,
    htmlEntities: true,
    processEntities: { enabled: true, maxTotalExpansions: 100_000, maxExpandedLength: 1_000_000 },
    isArray: (name: string) => name === 'Contents' || name === 'CommonPrefixes',
  });
  const { ListBucketResult } = parser.parse(document) as { ListBucketResult: Result };
  const { Contents = [], CommonPrefixes = [], NextContinuationToken } = ListBucketResult;
  return {
    page: {
      objects: Contents.map(({ Key, Size, LastModified, ETag }) => ({
        key: Key,
        sizeBytes: Number(Size),
        lastModified: new Date(LastModified),
        etag: ETag,
      })),
      commonPrefixes: CommonPrefixes.map(({ Prefix }) => Prefix),
    },
    continuationToken: NextContinuationToken,
  };
}

describe('The parser of listings', () => {
  it('The parser of listings reads in any document what was meant, and what a general XML parser reads', () => {
    fc.assert(
      fc.property(listing, (content) => {
        const document = written(content);
        const parsed = parseListObjects(document);
        assert.deepEqual(parsed, {
          page: {
            objects: content.objects.map(({ key, etag, sizeBytes, lastModified }) => ({
              key: key.meant,
              sizeBytes,
              lastModified,
              etag: etag.meant,
            })),
            commonPrefixes: content.commonPrefixes.map(({ meant }) => meant),
          },
          continuationToken: content.token?.meant,
        });
        assert.deepEqual(parsed, parsedGenerally(document));
      }),
      { numRuns: 1000 },
    );
  });
});
