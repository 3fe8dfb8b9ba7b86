/**
 * The contract of `Filesystem`. The same suite runs on the in-memory and on the S3 filesystem. Every test has its own home.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import type { Entry, Filesystem, UploadOptions } from '../../src/filesystem/filesystem.ts';
import { FilesystemError, type FilesystemErrorKind } from '../../src/filesystem/filesystem-error.ts';
import { childOf, type Pathname, resolvePathname, rootPathname } from '../../src/filesystem/pathname.ts';
import { controlNames, names } from './names.ts';

export type Subject = {
  /** A filesystem with an empty home. */
  empty(): Filesystem;
  /** Why this storage cannot fulfil a part of the contract, by the name of what it lacks; those tests are skipped with this reason. */
  readonly lacks: { readonly conditionalWrites?: string; readonly controlCharacters?: string };
  close(): Promise<void>;
};

const signal = new AbortController().signal;

async function collected<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export function at(pathname: string): Pathname {
  return resolvePathname(rootPathname, pathname);
}

export async function put(
  filesystem: Filesystem,
  pathname: string,
  content: string | Uint8Array,
  options: Partial<UploadOptions> = {},
): Promise<void> {
  const upload = await filesystem.openUpload(at(pathname), {
    offset: 0,
    ifExists: 'replace',
    signal,
    ...options,
  });
  try {
    const bytes = Buffer.from(content);
    // In two chunks, so that the test covers joining them.
    await upload.write(bytes.subarray(0, bytes.length >> 1));
    await upload.write(bytes.subarray(bytes.length >> 1));
    await upload.commit();
  } catch (error) {
    await upload.abort(error);
    throw error;
  }
}

export async function get(filesystem: Filesystem, pathname: string, offsetBytes = 0): Promise<Buffer> {
  const download = await filesystem.openDownload(at(pathname), { offsetBytes, signal });
  return Buffer.concat(await collected(download.content));
}

async function text(filesystem: Filesystem, pathname: string, offsetBytes = 0): Promise<string> {
  return (await get(filesystem, pathname, offsetBytes)).toString();
}

export async function entriesOf(filesystem: Filesystem, directory: string): Promise<Entry[]> {
  return (await collected(filesystem.list(at(directory), { signal }))).flat();
}

export async function namesIn(filesystem: Filesystem, directory: string): Promise<string[]> {
  return (await entriesOf(filesystem, directory)).map(({ name, type }) =>
    type === 'file' ? name : `${name}/`,
  );
}

export async function fails(
  kind: FilesystemErrorKind | readonly FilesystemErrorKind[],
  promise: Promise<unknown>,
) {
  const kinds: readonly string[] = [kind].flat();
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof FilesystemError, `not a FilesystemError: ${String(error)}`);
    assert.ok(kinds.includes(error.kind), `${error.kind} (${error.message}) is not ${kinds.join(' or ')}`);
    return true;
  });
}

function bytesOf(sizeBytes: number): Buffer {
  // Not random, so that a failure is reproducible; not periodic in any power of two, so that a misplaced part is detected.
  return Buffer.from(new Uint8Array(sizeBytes).map((_, index) => (index * 31 + (index >> 8)) % 251).buffer);
}

export function filesystemContract(title: string, open: () => Promise<Subject>): void {
  describe(`${title} keeps the contract:`, () => {
    let subject: Subject;
    let filesystem: Filesystem;
    before(async () => {
      subject = await open();
    });
    after(async () => {
      await subject.close();
    });
    const test = (name: string, body: (filesystem: Filesystem) => Promise<void>): void => {
      it(`${title}: ${name}`, async () => {
        filesystem = subject.empty();
        await body(filesystem);
      });
    };
    const testUnless = (
      lack: keyof Subject['lacks'],
      name: string,
      body: (filesystem: Filesystem) => Promise<void>,
    ): void => {
      it(`${title}: ${name}`, async (context) => {
        const reason = subject.lacks[lack];
        if (reason !== undefined) context.skip(reason);
        else await body(subject.empty());
      });
    };

    lookups(test);
    listings(test);
    downloads(test);
    uploads(test, testUnless);
    directories(test);
    removals(test);
    renames(test);
    times(test);
    checksums(test);
    namesSurvive(test, testUnless);
  });
}

type Test = (name: string, body: (filesystem: Filesystem) => Promise<void>) => void;
type TestUnless = (
  lack: keyof Subject['lacks'],
  name: string,
  body: (filesystem: Filesystem) => Promise<void>,
) => void;

function lookups(test: Test): void {
  test('The root directory exists in an empty home', async (filesystem) => {
    const root = await filesystem.stat(rootPathname, { signal });
    assert.deepEqual([root.name, root.type, root.sizeBytes], ['', 'directory', 0]);
  });

  test('stat() returns the name, the size and the upload time of a file', async (filesystem) => {
    const earliest = Date.now() - 2000;
    await put(filesystem, '/a/file.bin', bytesOf(1234));
    const { modifiedAt, ...entry } = await filesystem.stat(at('/a/file.bin'), { signal });
    assert.deepEqual(entry, { name: 'file.bin', type: 'file', sizeBytes: 1234 });
    assert.ok(modifiedAt.getTime() >= earliest && modifiedAt.getTime() <= Date.now() + 2000);
  });

  test('A directory exists where it was made and where there are files below it', async (filesystem) => {
    await put(filesystem, '/deep/er/file', 'x');
    await filesystem.makeDirectory(at('/made'), { signal });
    for (const directory of ['/deep', '/deep/er', '/made']) {
      const { type, sizeBytes } = await filesystem.stat(at(directory), { signal });
      assert.deepEqual([type, sizeBytes], ['directory', 0], directory);
    }
  });

  test('stat() fails with not-found for a missing name, even if it is a prefix of an existing name', async (filesystem) => {
    await put(filesystem, '/name-longer', 'x');
    for (const pathname of ['/nothing', '/name', '/name-longer/below', '/no/where']) {
      await fails('not-found', filesystem.stat(at(pathname), { signal }));
    }
  });

  test('Every call stops when its signal has aborted', async (filesystem) => {
    await put(filesystem, '/file', 'x');
    const reason = new Error('the client has gone');
    const aborted = AbortSignal.abort(reason);
    const calls = [
      filesystem.stat(at('/file'), { signal: aborted }),
      collected(filesystem.list(rootPathname, { signal: aborted })),
      filesystem.openDownload(at('/file'), { offsetBytes: 0, signal: aborted }),
      filesystem.openUpload(at('/file'), { offset: 0, ifExists: 'replace', signal: aborted }),
      filesystem.makeDirectory(at('/new'), { signal: aborted }),
      filesystem.removeFile(at('/file'), { signal: aborted }),
      filesystem.rename(at('/file'), at('/moved'), { signal: aborted }),
      filesystem.checksum(at('/file'), { algorithm: 'MD5', signal: aborted }),
    ];
    await Promise.all(calls.map((call) => assert.rejects(call, reason)));
    assert.deepEqual(await namesIn(filesystem, '/'), ['file']);
  });
}

function listings(test: Test): void {
  test('Listing an empty home or an empty directory returns nothing', async (filesystem) => {
    assert.deepEqual(await entriesOf(filesystem, '/'), []);
    await filesystem.makeDirectory(at('/empty'), { signal });
    assert.deepEqual(await entriesOf(filesystem, '/empty'), []);
  });

  test('A listing has the direct entries of the directory, ordered by name', async (filesystem) => {
    await put(filesystem, '/d/b', 'four');
    await put(filesystem, '/d/a-file', '');
    await put(filesystem, '/d/a/below', 'x');
    await put(filesystem, '/d/.hidden', 'x');
    await put(filesystem, '/da', 'x');
    await filesystem.makeDirectory(at('/d/made'), { signal });
    assert.deepEqual(await namesIn(filesystem, '/d'), ['.hidden', 'a/', 'a-file', 'b', 'made/']);
    const entries = await entriesOf(filesystem, '/d');
    assert.deepEqual(
      entries.map(({ sizeBytes }) => sizeBytes),
      [1, 0, 0, 4, 0],
    );
  });

  test('A filtered listing has only the wanted entries and succeeds when none matches', async (filesystem) => {
    for (const name of ['a', 'b', 'c/d']) await put(filesystem, `/d/${name}`, 'x');
    const list = (isWanted: (name: string) => boolean) =>
      collected(filesystem.list(at('/d'), { signal, isWanted }));
    const wanted = (await list((name) => name > 'a')).flat();
    assert.deepEqual(
      wanted.map(({ name }) => name),
      ['b', 'c'],
    );
    assert.deepEqual((await list(() => false)).flat(), []);
  });

  test('A caller may stop reading a listing between two pages', async (filesystem) => {
    await put(filesystem, '/a', 'x');
    for await (const page of filesystem.list(rootPathname, { signal })) {
      assert.equal(page.length, 1);
      break;
    }
  });

  test('Listing fails for a name that is not a directory', async (filesystem) => {
    await put(filesystem, '/file', 'x');
    await fails('not-found', entriesOf(filesystem, '/nothing'));
    await fails('not-a-directory', entriesOf(filesystem, '/file'));
  });
}

function downloads(test: Test): void {
  const mebibyte = 1024 ** 2;
  for (const sizeBytes of [0, 1, 5 * mebibyte - 1, 5 * mebibyte, 5 * mebibyte + 1]) {
    test(`A file of ${sizeBytes} bytes reads back as it was written`, async (filesystem) => {
      const content = bytesOf(sizeBytes);
      await put(filesystem, '/file', content);
      assert.equal((await filesystem.stat(at('/file'), { signal })).sizeBytes, sizeBytes);
      assert.ok((await get(filesystem, '/file')).equals(content));
    });
  }

  test('A download starts at its offset and reports the size of the whole file', async (filesystem) => {
    await put(filesystem, '/file', '0123456789');
    for (const [offsetBytes, rest] of [
      [0, '0123456789'],
      [1, '123456789'],
      [9, '9'],
      [10, ''],
    ] as const) {
      const download = await filesystem.openDownload(at('/file'), { offsetBytes, signal });
      assert.equal(download.sizeBytes, 10);
      assert.equal(Buffer.concat(await collected(download.content)).toString(), rest);
    }
  });

  test('A download with an offset beyond the end is refused', async (filesystem) => {
    await put(filesystem, '/file', '0123456789');
    await put(filesystem, '/empty', '');
    await fails('invalid-offset', get(filesystem, '/file', 11));
    await fails('invalid-offset', get(filesystem, '/empty', 1));
    assert.equal(await text(filesystem, '/empty', 0), '');
  });

  test('Downloading a directory or a missing file fails', async (filesystem) => {
    await put(filesystem, '/d/file', 'x');
    await fails('not-found', get(filesystem, '/nothing'));
    await fails('not-found', get(filesystem, '/d/nothing'));
    await fails('is-a-directory', get(filesystem, '/d'));
    await fails('is-a-directory', get(filesystem, '/'));
  });

  test('A download never mixes two versions of a file', async (filesystem) => {
    const [old, young] = [bytesOf(3 * mebibyte), Buffer.alloc(3 * mebibyte, 'y')];
    await put(filesystem, '/file', old);
    const { content } = await filesystem.openDownload(at('/file'), { offsetBytes: 0, signal });
    await put(filesystem, '/file', young);
    try {
      assert.ok(Buffer.concat(await collected(content)).equals(old));
    } catch (error) {
      assert.ok(error instanceof FilesystemError && error.kind === 'changed', String(error));
    }
  });

  test('A download ends when its signal aborts', async (filesystem) => {
    await put(filesystem, '/file', bytesOf(3 * mebibyte));
    const controller = new AbortController();
    const reason = new Error('ABOR');
    const download = await filesystem.openDownload(at('/file'), {
      offsetBytes: 0,
      signal: controller.signal,
    });
    controller.abort(reason);
    await assert.rejects(collected(download.content), reason);
  });
}

function uploads(test: Test, testUnless: TestUnless): void {
  const open = async (
    filesystem: Filesystem,
    pathname: string,
    options: Partial<UploadOptions> = {},
  ): ReturnType<Filesystem['openUpload']> =>
    await filesystem.openUpload(at(pathname), { offset: 0, ifExists: 'replace', signal, ...options });

  test('An upload is invisible before its commit and complete after it', async (filesystem) => {
    const upload = await open(filesystem, '/file');
    await upload.write(Buffer.from('whole'));
    assert.deepEqual(await namesIn(filesystem, '/'), []);
    await upload.commit();
    assert.equal(await text(filesystem, '/file'), 'whole');
    await upload.abort(new Error('too late'));
    assert.equal(await text(filesystem, '/file'), 'whole');
  });

  for (const [name, sizeBytes] of [
    ['a few bytes', 10],
    ['12 MiB', 12 * 1024 ** 2],
  ] as const) {
    test(`A prepared upload of ${name} is invisible until its commit and accepts no more bytes`, async (filesystem) => {
      await put(filesystem, '/old', 'old');
      for (const pathname of ['/old', '/new']) {
        const before = await namesIn(filesystem, '/');
        const upload = await open(filesystem, pathname);
        await upload.write(bytesOf(sizeBytes));
        await upload.prepare();
        assert.deepEqual(await namesIn(filesystem, '/'), before);
        assert.equal(await text(filesystem, '/old'), 'old');
        await assert.rejects(async () => await upload.write(Buffer.from('more')));
        await upload.prepare();
        await upload.commit();
        assert.ok((await get(filesystem, pathname)).equals(bytesOf(sizeBytes)));
        await assert.rejects(upload.prepare());
        if (pathname === '/old') await put(filesystem, '/old', 'old');
      }
    });

    test(`A prepared upload of ${name} that is aborted keeps the old file and leaves nothing behind`, async (filesystem) => {
      await put(filesystem, '/old', 'old');
      for (const pathname of ['/old', '/new']) {
        const upload = await open(filesystem, pathname);
        await upload.write(bytesOf(sizeBytes));
        await upload.prepare();
        await upload.abort(new Error('the control connection is gone'));
        await assert.rejects(upload.prepare());
        await assert.rejects(upload.commit());
      }
      assert.deepEqual(await namesIn(filesystem, '/'), ['old']);
      assert.equal(await text(filesystem, '/old'), 'old');
    });
  }

  test('An upload replaces a file as a whole, even with a shorter one', async (filesystem) => {
    await put(filesystem, '/file', 'the longer one');
    await put(filesystem, '/file', 'short');
    assert.equal(await text(filesystem, '/file'), 'short');
  });

  for (const [name, sizeBytes] of [
    ['a few bytes', 10],
    ['12 MiB', 12 * 1024 ** 2],
  ] as const) {
    test(`An upload that is aborted after ${name} keeps the old file and leaves nothing behind`, async (filesystem) => {
      await put(filesystem, '/old', 'old');
      for (const pathname of ['/old', '/new']) {
        const upload = await open(filesystem, pathname);
        await upload.write(bytesOf(sizeBytes));
        await upload.abort(new Error('the data connection was reset'));
        await upload.abort(new Error('twice'));
      }
      assert.deepEqual(await namesIn(filesystem, '/'), ['old']);
      assert.equal(await text(filesystem, '/old'), 'old');
    });
  }

  test('An upload whose signal has aborted cannot be committed', async (filesystem) => {
    await put(filesystem, '/old', 'old');
    const controller = new AbortController();
    const upload = await open(filesystem, '/old', { signal: controller.signal });
    await upload.write(Buffer.from('half'));
    const reason = new Error('the control connection is gone');
    controller.abort(reason);
    await assert.rejects(upload.prepare(), reason);
    await assert.rejects(upload.commit(), reason);
    await upload.abort(reason);
    assert.equal(await text(filesystem, '/old'), 'old');
  });

  test('APPE appends to a file and creates a missing one', async (filesystem) => {
    await put(filesystem, '/log', 'one\n', { offset: 'end' });
    await put(filesystem, '/log', 'two\n', { offset: 'end' });
    await put(filesystem, '/log', '', { offset: 'end' });
    assert.equal(await text(filesystem, '/log'), 'one\ntwo\n');
  });

  test('REST n keeps the first n bytes of a file and replaces the rest', async (filesystem) => {
    await put(filesystem, '/file', '0123456789');
    await put(filesystem, '/file', 'XYZ', { offset: 5 });
    assert.equal(await text(filesystem, '/file'), '01234XYZ');
    await put(filesystem, '/file', '!', { offset: 8 });
    assert.equal(await text(filesystem, '/file'), '01234XYZ!');
  });

  test('An aborted append leaves the file unchanged', async (filesystem) => {
    await put(filesystem, '/log', 'one\n');
    const upload = await open(filesystem, '/log', { offset: 'end' });
    await upload.write(Buffer.from('tw'));
    await upload.abort(new Error('reset'));
    assert.equal(await text(filesystem, '/log'), 'one\n');
  });

  test('A large file can be appended to and overwritten from an offset', async (filesystem) => {
    const content = bytesOf(11 * 1024 ** 2);
    const cut = 7 * 1024 ** 2 + 3;
    await put(filesystem, '/big', content.subarray(0, cut));
    await put(filesystem, '/big', content.subarray(cut), { offset: 'end' });
    assert.ok((await get(filesystem, '/big')).equals(content));
    await put(filesystem, '/big', content.subarray(100), { offset: 100 });
    assert.ok((await get(filesystem, '/big')).equals(content));
  });

  test('An upload with an offset beyond the end is refused and leaves the file unchanged', async (filesystem) => {
    await put(filesystem, '/file', '0123');
    await fails('invalid-offset', put(filesystem, '/file', 'x', { offset: 5 }));
    await fails('invalid-offset', put(filesystem, '/missing', 'x', { offset: 1 }));
    assert.equal(await text(filesystem, '/file'), '0123');
    await fails('not-found', get(filesystem, '/missing'));
  });

  test('An upload that must not replace anything is refused for an existing name', async (filesystem) => {
    await put(filesystem, '/d/file', 'old');
    await fails('exists', open(filesystem, '/d/file', { ifExists: 'refuse' }));
    await fails('exists', open(filesystem, '/d', { ifExists: 'refuse' }));
    await put(filesystem, '/d/new', 'new', { ifExists: 'refuse' });
    assert.equal(await text(filesystem, '/d/file'), 'old');
    assert.equal(await text(filesystem, '/d/new'), 'new');
  });

  testUnless(
    'conditionalWrites',
    'of two uploads to a free name where nothing may be replaced, one wins',
    async (filesystem) => {
      const [first, second] = await Promise.all([
        open(filesystem, '/file', { ifExists: 'refuse' }),
        open(filesystem, '/file', { ifExists: 'refuse' }),
      ]);
      await first.write(Buffer.from('first'));
      await second.write(Buffer.from('second'));
      await first.commit();
      await fails('exists', second.commit());
      await second.abort(new Error('lost'));
      assert.equal(await text(filesystem, '/file'), 'first');
    },
  );

  test('An upload cannot replace a directory', async (filesystem) => {
    await put(filesystem, '/implied/file', 'x');
    await filesystem.makeDirectory(at('/made'), { signal });
    for (const pathname of ['/', '/implied', '/made']) {
      await fails('is-a-directory', put(filesystem, pathname, 'content'));
    }
    assert.deepEqual(await namesIn(filesystem, '/'), ['implied/', 'made/']);
  });

  test('An upload cannot create an entry below a file', async (filesystem) => {
    await put(filesystem, '/file', 'x');
    for (const pathname of ['/file/a', '/file/a/b']) {
      await fails('not-a-directory', put(filesystem, pathname, 'content'));
    }
    await fails('not-a-directory', filesystem.makeDirectory(at('/file/d'), { signal }));
    assert.deepEqual(await namesIn(filesystem, '/'), ['file']);
  });

  test('Names that S3 cannot store are refused', async (filesystem) => {
    const tooLong = `/${'ü'.repeat(600)}`;
    for (const pathname of [tooLong, '/nul\0', '/lone\ud800surrogate']) {
      await fails('name-not-allowed', put(filesystem, pathname, 'x'));
      await fails('name-not-allowed', filesystem.makeDirectory(at(pathname), { signal }));
    }
    await put(filesystem, '/file', 'x');
    await fails('name-not-allowed', filesystem.rename(at('/file'), at(tooLong), { signal }));
    assert.deepEqual(await namesIn(filesystem, '/'), ['file']);
  });
}

function directories(test: Test): void {
  test('A directory can be made at any depth, and only once', async (filesystem) => {
    await filesystem.makeDirectory(at('/a/b/c'), { signal });
    assert.deepEqual(await namesIn(filesystem, '/a'), ['b/']);
    await put(filesystem, '/file', 'x');
    for (const taken of ['/', '/a', '/a/b/c', '/file']) {
      await fails('exists', filesystem.makeDirectory(at(taken), { signal }));
    }
  });

  test('An empty directory can be removed', async (filesystem) => {
    await filesystem.makeDirectory(at('/d'), { signal });
    await filesystem.removeDirectory(at('/d'), { signal });
    await fails('not-found', filesystem.stat(at('/d'), { signal }));
    await filesystem.makeDirectory(at('/d'), { signal });
  });

  test('A directory with entries cannot be removed, even if they are hidden or directories', async (filesystem) => {
    await filesystem.makeDirectory(at('/made'), { signal });
    await put(filesystem, '/made/.hidden', 'x');
    await put(filesystem, '/implied/file', 'x');
    await filesystem.makeDirectory(at('/outer/inner'), { signal });
    for (const directory of ['/made', '/implied', '/outer']) {
      await fails('not-empty', filesystem.removeDirectory(at(directory), { signal }));
    }
    assert.deepEqual(await namesIn(filesystem, '/'), ['implied/', 'made/', 'outer/']);
  });

  test('removeDirectory() refuses files and the root', async (filesystem) => {
    await put(filesystem, '/file', 'x');
    await fails('not-a-directory', filesystem.removeDirectory(at('/file'), { signal }));
    await fails('not-found', filesystem.removeDirectory(at('/nothing'), { signal }));
    await fails('permission-denied', filesystem.removeDirectory(rootPathname, { signal }));
  });

  test('A directory remains when its last subdirectory is removed', async (filesystem) => {
    await filesystem.makeDirectory(at('/outer/inner'), { signal });
    await filesystem.removeDirectory(at('/outer/inner'), { signal });
    assert.deepEqual(await namesIn(filesystem, '/outer'), []);
  });
}

function removals(test: Test): void {
  test('Removing a file leaves files with similar names alone', async (filesystem) => {
    await put(filesystem, '/d/file', 'x');
    await put(filesystem, '/d/file2', 'x');
    await filesystem.removeFile(at('/d/file'), { signal });
    await fails('not-found', filesystem.stat(at('/d/file'), { signal }));
    assert.deepEqual(await namesIn(filesystem, '/d'), ['file2']);
  });

  test('A directory remains when its last file is removed, whether it was made explicitly or not', async (filesystem) => {
    await filesystem.makeDirectory(at('/made'), { signal });
    for (const directory of ['/made', '/implied', '/deep/er']) {
      await put(filesystem, `${directory}/one`, 'x');
      await put(filesystem, `${directory}/two`, 'x');
      await filesystem.removeFile(at(`${directory}/one`), { signal });
      await filesystem.removeFile(at(`${directory}/two`), { signal });
      assert.deepEqual(await namesIn(filesystem, directory), []);
      await put(filesystem, `${directory}/again`, 'x');
      await filesystem.removeFile(at(`${directory}/again`), { signal });
      await filesystem.removeDirectory(at(directory), { signal });
      await fails('not-found', filesystem.stat(at(directory), { signal }));
    }
  });

  test('removeFile() refuses directories and missing names', async (filesystem) => {
    await put(filesystem, '/d/file', 'x');
    await fails('is-a-directory', filesystem.removeFile(at('/d'), { signal }));
    await fails('is-a-directory', filesystem.removeFile(rootPathname, { signal }));
    await fails('not-found', filesystem.removeFile(at('/d/nothing'), { signal }));
    await fails('not-found', filesystem.removeFile(at('/d/fil'), { signal }));
    assert.deepEqual(await namesIn(filesystem, '/d'), ['file']);
  });
}

async function rename(filesystem: Filesystem, from: string, to: string): Promise<void> {
  await filesystem.rename(at(from), at(to), { signal });
}

function renames(test: Test): void {
  test('A file can be renamed into a directory that does not exist yet', async (filesystem) => {
    await put(filesystem, '/a', 'content');
    await rename(filesystem, '/a', '/b');
    await rename(filesystem, '/b', '/new/dir/c');
    assert.deepEqual(await namesIn(filesystem, '/'), ['new/']);
    assert.equal(await text(filesystem, '/new/dir/c'), 'content');
  });

  test('A renamed file replaces an existing file', async (filesystem) => {
    await put(filesystem, '/file', 'old');
    await put(filesystem, '/tmp.file', 'new');
    await rename(filesystem, '/tmp.file', '/file');
    assert.deepEqual(await namesIn(filesystem, '/'), ['file']);
    assert.equal(await text(filesystem, '/file'), 'new');
  });

  test('Renaming a file or a directory to its own name changes nothing', async (filesystem) => {
    await put(filesystem, '/d/file', 'x');
    await rename(filesystem, '/d/file', '/d/file');
    await rename(filesystem, '/d', '/d');
    assert.equal(await text(filesystem, '/d/file'), 'x');
  });

  test('A directory remains when its last file or directory is moved out', async (filesystem) => {
    await put(filesystem, '/d/file', 'x');
    await put(filesystem, '/e/inner/file', 'x');
    await rename(filesystem, '/d/file', '/file');
    await rename(filesystem, '/e/inner', '/inner');
    assert.deepEqual(await namesIn(filesystem, '/d'), []);
    assert.deepEqual(await namesIn(filesystem, '/e'), []);
  });

  test('A renamed directory takes everything below it along, and nothing beside it', async (filesystem) => {
    await put(filesystem, '/d/a', 'a');
    await put(filesystem, '/d/b & c/+%41 ü', 'b');
    await filesystem.makeDirectory(at('/d/empty'), { signal });
    await put(filesystem, '/d2', 'beside');
    await put(filesystem, '/d-3/x', 'beside');
    await rename(filesystem, '/d', '/moved/here');
    assert.deepEqual(await namesIn(filesystem, '/'), ['d-3/', 'd2', 'moved/']);
    assert.deepEqual(await namesIn(filesystem, '/moved/here'), ['a', 'b & c/', 'empty/']);
    assert.equal(await text(filesystem, '/moved/here/b & c/+%41 ü'), 'b');
  });

  test('An empty directory can be renamed', async (filesystem) => {
    await filesystem.makeDirectory(at('/d'), { signal });
    await rename(filesystem, '/d', '/e');
    assert.deepEqual(await namesIn(filesystem, '/'), ['e/']);
  });

  test('Renaming never replaces a directory, nor a file by a directory', async (filesystem) => {
    await put(filesystem, '/d/file', 'x');
    await put(filesystem, '/e/file', 'x');
    await filesystem.makeDirectory(at('/empty'), { signal });
    await put(filesystem, '/file', 'x');
    await fails('exists', rename(filesystem, '/d', '/e'));
    await fails('exists', rename(filesystem, '/d', '/empty'));
    await fails('exists', rename(filesystem, '/d', '/file'));
    await fails('exists', rename(filesystem, '/d', '/'));
    await fails('exists', rename(filesystem, '/file', '/d'));
    await fails('exists', rename(filesystem, '/file', '/'));
    await fails('exists', rename(filesystem, '/d/file', '/d'));
    assert.deepEqual(await namesIn(filesystem, '/'), ['d/', 'e/', 'empty/', 'file']);
  });

  test('A directory cannot be moved below itself, nor a file below a file', async (filesystem) => {
    await put(filesystem, '/d/file', 'x');
    await put(filesystem, '/file', 'x');
    await fails('name-not-allowed', rename(filesystem, '/d', '/d/e'));
    await fails('name-not-allowed', rename(filesystem, '/d', '/d/file/e'));
    await fails('not-a-directory', rename(filesystem, '/d/file', '/file/x'));
    await fails('not-a-directory', rename(filesystem, '/file', '/file/x'));
    await fails('not-a-directory', rename(filesystem, '/d', '/file/x'));
    await rename(filesystem, '/d', '/d-beside');
    assert.deepEqual(await namesIn(filesystem, '/'), ['d-beside/', 'file']);
  });

  test('A missing name and the root cannot be renamed', async (filesystem) => {
    await put(filesystem, '/file', 'x');
    await fails('not-found', rename(filesystem, '/nothing', '/other'));
    await fails('not-found', rename(filesystem, '/nothing', '/nothing'));
    await fails('permission-denied', rename(filesystem, '/', '/other'));
  });
}

/** More names than one page of S3's ListObjectsV2 holds (1,000); takes thousands of requests on S3. */
export async function keepsLargeDirectory(filesystem: Filesystem): Promise<void> {
  const files = Array.from({ length: 1010 }, (_, index) => `file-${index}`);
  const directories = Array.from({ length: 40 }, (_, index) => `file-${index * 25}.d`);
  const expected = [...files, ...directories.map((name) => `${name}/`)].sort();
  const pathnames = [...files, ...directories.map((name) => `${name}/below`)];
  for (let start = 0; start < pathnames.length; start += 50) {
    const some = pathnames.slice(start, start + 50);
    await Promise.all(some.map((name) => put(filesystem, `/many/${name}`, name)));
  }
  assert.deepEqual((await namesIn(filesystem, '/many')).sort(), expected);
  await rename(filesystem, '/many', '/moved');
  await fails('not-found', filesystem.stat(at('/many'), { signal }));
  assert.deepEqual((await namesIn(filesystem, '/moved')).sort(), expected);
  assert.equal(await text(filesystem, '/moved/file-1009'), 'file-1009');
  assert.equal(await text(filesystem, '/moved/file-975.d/below'), 'file-975.d/below');
}

function times(test: Test): void {
  const time = new Date('2001-02-03T04:05:06.789Z');

  test('stat() returns a modification time that was set, and a rename keeps it', async (filesystem) => {
    await put(filesystem, '/d/file', 'content');
    await filesystem.setModifiedAt(at('/d/file'), time, { signal });
    assert.deepEqual((await filesystem.stat(at('/d/file'), { signal })).modifiedAt, time);
    await filesystem.rename(at('/d/file'), at('/d/file2'), { signal });
    await filesystem.rename(at('/d'), at('/e'), { signal });
    assert.deepEqual((await filesystem.stat(at('/e/file2'), { signal })).modifiedAt, time);
    assert.equal(await text(filesystem, '/e/file2'), 'content');
  });

  test('A listing shows a modification time immediately after it is set, and after it is set again', async (filesystem) => {
    await put(filesystem, '/d/file', 'content');
    for (const modifiedAt of [time, new Date('1999-12-31T23:59:59Z')]) {
      await filesystem.setModifiedAt(at('/d/file'), modifiedAt, { signal });
      const expected = [{ name: 'file', type: 'file', sizeBytes: 7, modifiedAt }];
      assert.deepEqual(await entriesOf(filesystem, '/d'), expected);
    }
  });

  test('A rename keeps a modification time that was never set', async (filesystem) => {
    await put(filesystem, '/file', 'x');
    const { modifiedAt } = await filesystem.stat(at('/file'), { signal });
    await filesystem.rename(at('/file'), at('/moved'), { signal });
    assert.deepEqual((await filesystem.stat(at('/moved'), { signal })).modifiedAt, modifiedAt);
  });

  test('A new upload resets a modification time that was set', async (filesystem) => {
    await put(filesystem, '/file', 'x');
    await filesystem.setModifiedAt(at('/file'), time, { signal });
    await put(filesystem, '/file', 'y');
    const { modifiedAt } = await filesystem.stat(at('/file'), { signal });
    assert.ok(modifiedAt.getFullYear() > 2001);
  });

  test('Setting a modification time is refused for directories and missing names', async (filesystem) => {
    await put(filesystem, '/d/file', 'x');
    await fails('not-found', filesystem.setModifiedAt(at('/nothing'), time, { signal }));
    await fails('is-a-directory', filesystem.setModifiedAt(at('/d'), time, { signal }));
    await fails('is-a-directory', filesystem.setModifiedAt(rootPathname, time, { signal }));
  });
}

function checksums(test: Test): void {
  const content = bytesOf(300_000);

  test('checksum() computes every algorithm for a whole file and for a range of it', async (filesystem) => {
    await put(filesystem, '/file', content);
    for (const [algorithm, name] of [
      ['MD5', 'md5'],
      ['SHA-1', 'sha1'],
      ['SHA-256', 'sha256'],
      ['SHA-512', 'sha512'],
    ] as const) {
      const expected = createHash(name).update(content).digest('hex');
      assert.equal(await filesystem.checksum(at('/file'), { algorithm, signal }), expected);
      const range = { startBytes: 1000, endBytes: 250_001 };
      const expectedOfRange = createHash(name).update(content.subarray(1000, 250_001)).digest('hex');
      assert.equal(await filesystem.checksum(at('/file'), { algorithm, ...range, signal }), expectedOfRange);
    }
    const expected = crc32(content).toString(16).padStart(8, '0');
    assert.equal(await filesystem.checksum(at('/file'), { algorithm: 'CRC32', signal }), expected);
  });

  test('A CRC32 has eight hexadecimal digits, even for no bytes', async (filesystem) => {
    await put(filesystem, '/empty', '');
    await put(filesystem, '/file', 'x');
    const options = { algorithm: 'CRC32', signal } as const;
    assert.equal(await filesystem.checksum(at('/empty'), options), '00000000');
    assert.equal(
      await filesystem.checksum(at('/file'), { ...options, startBytes: 1, endBytes: 1 }),
      '00000000',
    );
  });

  test('checksum() refuses a range outside of the file and a name that is not a file', async (filesystem) => {
    await put(filesystem, '/d/file', '0123');
    const options = { algorithm: 'MD5', signal } as const;
    await fails('invalid-offset', filesystem.checksum(at('/d/file'), { ...options, endBytes: 5 }));
    await fails('invalid-offset', filesystem.checksum(at('/d/file'), { ...options, startBytes: 5 }));
    await fails(
      'invalid-offset',
      filesystem.checksum(at('/d/file'), { ...options, startBytes: 3, endBytes: 2 }),
    );
    await fails('is-a-directory', filesystem.checksum(at('/d'), options));
    await fails('not-found', filesystem.checksum(at('/nothing'), options));
  });
}

function namesSurvive(test: Test, testUnless: TestUnless): void {
  for (const name of names)
    test(`The name ${JSON.stringify(name)} is stored and listed unchanged`, survives(name));
  for (const name of controlNames) {
    testUnless('controlCharacters', `the name ${JSON.stringify(name)} survives`, survives(name));
  }

  test('Names that differ only in case, spaces or Unicode normalization are different files', async (filesystem) => {
    const alike = ['A', 'a', 'a ', ' a', '\u00fc', 'u\u0308', 'a+b', 'a b', 'a%20b'];
    for (const name of alike) await put(filesystem, childOf(rootPathname, name), name);
    assert.deepEqual((await namesIn(filesystem, '/')).sort(), alike.sort());
    for (const name of alike) assert.equal(await text(filesystem, childOf(rootPathname, name)), name);
  });
}

/** Uses a name in every call: as a file, as a directory, and on both sides of renames. */
function survives(name: string): (filesystem: Filesystem) => Promise<void> {
  return async (filesystem) => {
    const file = childOf(rootPathname, name);
    await put(filesystem, file, 'content');
    assert.deepEqual(await namesIn(filesystem, '/'), [name]);
    assert.equal((await filesystem.stat(file, { signal })).name, name);
    assert.equal(await text(filesystem, file), 'content');
    await filesystem.rename(file, at('/plain'), { signal });
    assert.deepEqual(await namesIn(filesystem, '/'), ['plain']);
    await filesystem.rename(at('/plain'), file, { signal });
    await filesystem.removeFile(file, { signal });

    await filesystem.makeDirectory(file, { signal });
    assert.deepEqual(await namesIn(filesystem, '/'), [`${name}/`]);
    await put(filesystem, childOf(file, name), 'inside');
    assert.deepEqual(await namesIn(filesystem, file), [name]);
    await filesystem.rename(file, at('/plain'), { signal });
    assert.deepEqual(await namesIn(filesystem, '/plain'), [name]);
    await filesystem.rename(at('/plain'), file, { signal });
    assert.equal(await text(filesystem, childOf(file, name)), 'inside');
    await filesystem.removeFile(childOf(file, name), { signal });
    await filesystem.removeDirectory(file, { signal });
    assert.deepEqual(await namesIn(filesystem, '/'), []);
  };
}
