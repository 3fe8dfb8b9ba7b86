import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FilesystemError } from '../../../src/filesystem/filesystem-error.ts';
import { nameOf, type Pathname, resolvePathname, rootPathname } from '../../../src/filesystem/pathname.ts';
import { directoryPrefixOf, entryNameOf, fileKeyOf } from '../../../src/s3/filesystem/keys.ts';

const prefixes = ['', 'home/', 'a b/ü/%41+/', '../../', './x/', '//'];

/** Anything a client may send as a pathname, with a taste for what is special. */
const argument = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '/',
        '..',
        '.',
        '//',
        '%2e%2e',
        '\\',
        ' ',
        '+',
        '&',
        '<',
        '\n',
        '\0',
        'ü',
        '😀',
        'home',
      ),
      fc.string({ unit: 'binary' }),
    ),
    { maxLength: 12 },
  )
  .map((pieces) => pieces.join(''));

function keyOrError(prefix: string, pathname: Pathname): string | FilesystemError {
  try {
    return fileKeyOf(prefix, pathname);
  } catch (error) {
    assert.ok(error instanceof FilesystemError);
    return error;
  }
}

describe('Object keys', () => {
  it('Object keys are below the home for any pathname, and map back to the pathname', () => {
    fc.assert(
      fc.property(fc.constantFrom(...prefixes), argument, argument, (prefix, directory, name) => {
        const pathname = resolvePathname(resolvePathname(rootPathname, directory), name);
        const key = keyOrError(prefix, pathname);
        if (key instanceof FilesystemError) {
          assert.ok(['name-not-allowed', 'is-a-directory'].includes(key.kind));
          return;
        }
        assert.ok(key.startsWith(prefix) && key.length > prefix.length);
        const below = key.slice(prefix.length).split('/');
        assert.ok(below.every((segment) => !['', '.', '..'].includes(segment)));
        assert.ok(Buffer.byteLength(key) <= 1024);
        if (/[\r\n]/.test(key)) assert.equal(pathnameOf(prefix, key), undefined);
        else assert.equal(pathnameOf(prefix, key), pathname);
      }),
      { numRuns: 3000 },
    );
  });

  it('Object keys of different pathnames are different', () => {
    fc.assert(
      fc.property(argument, argument, (one, other) => {
        const [a, b] = [resolvePathname(rootPathname, one), resolvePathname(rootPathname, other)];
        const [keyA, keyB] = [keyOrError('h/', a), keyOrError('h/', b)];
        if (typeof keyA === 'string' && typeof keyB === 'string') assert.equal(keyA === keyB, a === b);
      }),
      { numRuns: 3000 },
    );
  });

  it('An object key in a bucket maps to a pathname that has this key, or to none', () => {
    fc.assert(
      fc.property(fc.constantFrom(...prefixes), argument, (prefix, rest) => {
        const key = prefix + rest;
        const pathname = pathnameOf(prefix, key);
        if (pathname === undefined || key.endsWith('/')) return;
        const found = keyOrError(prefix, pathname);
        if (typeof found === 'string') assert.equal(found, key);
      }),
      { numRuns: 3000 },
    );
  });

  it('Object keys have at most 1,024 bytes of UTF-8', () => {
    const longest = `/${'a'.repeat(1024 - 'home/'.length)}` as Pathname;
    assert.equal(fileKeyOf('home/', longest).length, 1024);
    for (const tooLong of [`${longest}a`, `/${'ü'.repeat(510)}`, `/${'😀'.repeat(255)}`] as Pathname[]) {
      assert.throws(() => fileKeyOf('home/', tooLong), { kind: 'name-not-allowed' });
    }
    assert.throws(() => directoryPrefixOf('home/', longest), { kind: 'name-not-allowed' });
  });

  it('Object keys contain neither NUL nor an unpaired surrogate', () => {
    for (const name of ['/a\0b', '/\ud83d', '/\ude00x'] as Pathname[]) {
      assert.throws(() => fileKeyOf('', name), { kind: 'name-not-allowed' });
      assert.throws(() => directoryPrefixOf('', name), { kind: 'name-not-allowed' });
    }
  });

  it('The object key of the root is the prefix of the home', () => {
    assert.equal(directoryPrefixOf('home/', rootPathname), 'home/');
    assert.equal(directoryPrefixOf('', rootPathname), '');
    assert.throws(() => fileKeyOf('home/', rootPathname), { kind: 'is-a-directory' });
  });
});

describe('Names in a listing', () => {
  for (const [key, name] of [
    ['d/file', 'file'],
    ['d/dir/', 'dir'],
    ['d/ ', ' '],
    ['d/...', '...'],
    ['d/\u0001', '\u0001'],
    ['d/', undefined],
    ['d//', undefined],
    ['d/./', undefined],
    ['d/../', undefined],
    ['d/.', undefined],
    ['d/..', undefined],
    ['d/a\nb', undefined],
    ['d/a\rb/', undefined],
    ['d/a\0b', undefined],
    ['elsewhere', undefined],
  ] as const) {
    it(`The key ${JSON.stringify(key)} ${name === undefined ? 'is omitted from a listing' : `is listed as ${JSON.stringify(name)}`}`, () => {
      assert.equal(entryNameOf('d/', key), name);
    });
  }

  it('The name of a key in a listing is the last segment of its pathname', () => {
    fc.assert(
      fc.property(argument, (rest) => {
        const pathname = pathnameOf('h/', `h/${rest}`);
        if (pathname === undefined || rest.endsWith('/')) return;
        const directory = `h/${rest.slice(0, rest.lastIndexOf('/') + 1)}`;
        assert.equal(entryNameOf(directory, `h/${rest}`), nameOf(pathname));
      }),
    );
  });
});

/** The inverse of `fileKeyOf`: undefined outside the home, and where a segment cannot be a name. */
function pathnameOf(homePrefix: string, key: string): Pathname | undefined {
  if (!key.startsWith(homePrefix)) return undefined;
  const segments = key.slice(homePrefix.length, key.endsWith('/') ? -1 : undefined).split('/');
  const areNames = segments.every((segment) => entryNameOf('', segment) === segment);
  return areNames ? (`/${segments.join('/')}` as Pathname) : undefined;
}
