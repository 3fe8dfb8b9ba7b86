import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FilesystemError } from '../../../src/filesystem/filesystem-error.ts';
import { nameOf, type Pathname, resolvePathname, rootPathname } from '../../../src/filesystem/pathname.ts';
import { directoryPrefixOf, entryNameOf, fileKeyOf, pathnameOf } from '../../../src/s3/filesystem/keys.ts';

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
  it('The key of any pathname that a client sends lies below the home and maps back to the pathname.', () => {
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

  it('Different pathnames have different keys.', () => {
    fc.assert(
      fc.property(argument, argument, (one, other) => {
        const [a, b] = [resolvePathname(rootPathname, one), resolvePathname(rootPathname, other)];
        const [keyA, keyB] = [keyOrError('h/', a), keyOrError('h/', b)];
        if (typeof keyA === 'string' && typeof keyB === 'string') assert.equal(keyA === keyB, a === b);
      }),
      { numRuns: 3000 },
    );
  });

  it('An existing key maps to the pathname of which it is the key, or to none.', () => {
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

  it('A key has at most 1,024 bytes of UTF-8.', () => {
    const longest = `/${'a'.repeat(1024 - 'home/'.length)}` as Pathname;
    assert.equal(fileKeyOf('home/', longest).length, 1024);
    for (const tooLong of [`${longest}a`, `/${'ü'.repeat(510)}`, `/${'😀'.repeat(255)}`] as Pathname[]) {
      assert.throws(() => fileKeyOf('home/', tooLong), { kind: 'name-not-allowed' });
    }
    assert.throws(() => directoryPrefixOf('home/', longest), { kind: 'name-not-allowed' });
  });

  it('A key contains neither NUL nor an unpaired surrogate.', () => {
    for (const name of ['/a\0b', '/\ud83d', '/\ude00x'] as Pathname[]) {
      assert.throws(() => fileKeyOf('', name), { kind: 'name-not-allowed' });
      assert.throws(() => directoryPrefixOf('', name), { kind: 'name-not-allowed' });
    }
  });

  it('The prefix of the root is the prefix of the home.', () => {
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
    it(`A listing ${name === undefined ? 'leaves out' : `shows as ${JSON.stringify(name)}`} the key ${JSON.stringify(key)}.`, () => {
      assert.equal(entryNameOf('d/', key), name);
    });
  }

  it('The name of an entry is the last segment of its pathname.', () => {
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
