import assert from 'node:assert/strict';
import { after, afterEach, describe, it } from 'node:test';
import { statLines } from '../../../src/ftp/commands/listing.ts';
import { MemoryFilesystem } from '../../../src/filesystem/memory-filesystem.ts';
import type { Pathname } from '../../../src/filesystem/pathname.ts';
import { DataSide, readAll, type DataSideOptions } from '../data/data-side.ts';
import { LeakCheck } from '../../support/leak-check.ts';

const leaks = new LeakCheck();
const old = new Date('2020-02-03T04:05:06Z');
let side: DataSide;

async function start(options: DataSideOptions = {}): Promise<MemoryFilesystem> {
  const filesystem = new MemoryFilesystem();
  filesystem.putFile('/a.txt', 'abc', old);
  filesystem.putFile('/b[1].txt', 'abcd', old);
  filesystem.putFile('/dir/c.txt', 'abcde', old);
  filesystem.putFile('/dir/-x', '', old);
  filesystem.putFile('/dir/sub/deep', '', old);
  filesystem.putDirectory('/empty');
  side = await DataSide.start({ filesystem, ...options });
  return filesystem;
}

/** The lines of a listing; every one ends in CR LF. */
async function lines(verb: string, argument = ''): Promise<string[]> {
  const received = readAll(await side.connection());
  assert.equal(await side.command(verb, argument), '226 Directory send OK.\r\n');
  assert.equal(side.preliminaries.at(-1), '150 Here comes the directory listing.\r\n');
  const { bytes, end } = await received;
  assert.equal(end, 'clean');
  const text = bytes.toString();
  assert.ok(text === '' || text.endsWith('\r\n'));
  return text.split('\r\n').slice(0, -1);
}

afterEach(() => side.close());
after(() => leaks.assertNothingLeft());

describe('NLST', () => {
  for (const [argument, names] of [
    ['', ['a.txt', 'b[1].txt', 'dir', 'empty']],
    ['.', ['a.txt', 'b[1].txt', 'dir', 'empty']],
    ['-a', ['a.txt', 'b[1].txt', 'dir', 'empty']],
    ['/', ['/a.txt', '/b[1].txt', '/dir', '/empty']],
    ['dir', ['dir/-x', 'dir/c.txt', 'dir/sub']],
    ['dir/', ['dir/-x', 'dir/c.txt', 'dir/sub']],
    ['-la /dir', ['/dir/-x', '/dir/c.txt', '/dir/sub']],
    ['*.txt', ['a.txt', 'b[1].txt']],
    ['dir/*.txt', ['dir/c.txt']],
    ['dir/-*', ['dir/-x']],
    ['?.txt', ['a.txt']],
    ['[ab].txt', ['a.txt']],
    ['b[1].txt', ['b[1].txt']],
    ['a.txt', ['a.txt']],
    ['dir/c.txt', ['dir/c.txt']],
    ['empty', []],
    ['*.none', []],
  ] as const) {
    it(`${argument === '' ? 'without an argument' : argument} names ${JSON.stringify(names)}`, async () => {
      await start();
      assert.deepEqual(await lines('NLST', argument), names);
    });
  }

  it('sends names that serve in the commands that follow', async () => {
    await start();
    for (const name of await lines('NLST', 'dir/*.txt')) {
      const received = readAll(await side.connection());
      assert.equal(await side.command('RETR', name), '226 Transfer complete.\r\n');
      assert.equal((await received).bytes.toString(), 'abcde');
    }
  });
});

describe('LIST', () => {
  it('has the form of ls -l', async () => {
    await start();
    assert.deepEqual(await lines('LIST', '-la dir/*.txt'), [
      '-rw-r--r-- 1 ftp      ftp                 5 Feb 03  2020 c.txt',
    ]);
  });

  it('shows one file', async () => {
    await start();
    assert.deepEqual(await lines('LIST', 'dir/c.txt'), [
      '-rw-r--r-- 1 ftp      ftp                 5 Feb 03  2020 c.txt',
    ]);
  });

  it('sends nothing for an empty directory', async () => {
    await start();
    assert.deepEqual(await lines('LIST', 'empty'), []);
  });

  it('is refused before 150 for a directory that does not exist', async () => {
    await start();
    for (const argument of ['none', 'none/*.txt', '-R none']) {
      await side.connection();
      await assert.rejects(side.command('LIST', argument), { kind: 'not-found' });
    }
    assert.deepEqual(side.preliminaries, []);
  });

  it('-R shows all directories below, each under its name', async () => {
    await start();
    const names = (await lines('LIST', '-R /')).map((line) => line.split(' ').at(-1));
    assert.deepEqual(names, [
      ...['a.txt', 'b[1].txt', 'dir', 'empty'],
      ...['', './dir:', '-x', 'c.txt', 'sub'],
      ...['', './dir/sub:', 'deep'],
      ...['', './empty:'],
    ]);
  });

  it('sends 20,000 entries in pages', async () => {
    const filesystem = await start();
    for (let index = 0; index < 20_000; index += 1) filesystem.putFile(`/many/${index}`, '', old);
    assert.equal((await lines('LIST', 'many')).length, 20_000);
  });

  it('leaves the storage when the client goes away', async () => {
    const filesystem = await start();
    for (let index = 0; index < 20_000; index += 1)
      filesystem.putFile(`/many/${index}-${'x'.repeat(200)}`, '', old);
    let isLeft = false;
    const list = filesystem.list.bind(filesystem);
    filesystem.list = async function* (...parameters) {
      try {
        for (;;) yield* list(...parameters);
      } finally {
        isLeft = true;
      }
    };
    const client = await side.connection();
    client.once('data', () => client.resetAndDestroy());
    assert.match(await side.command('LIST', 'many'), /^426 /);
    assert.equal(isLeft, true);
  });
});

describe('MLSD', () => {
  it('shows the facts of every entry', async () => {
    await start();
    assert.deepEqual(await lines('MLSD', 'dir'), [
      'type=file;size=0;modify=20200203040506;perm=adfrw; -x',
      'type=file;size=5;modify=20200203040506;perm=adfrw; c.txt',
      (await lines('MLSD', 'dir')).at(-1),
    ]);
  });

  it('shows the facts that OPTS MLST selected', async () => {
    await start();
    side.session.selectedFacts = ['size'];
    assert.deepEqual(await lines('MLSD', 'dir'), ['size=0; -x', 'size=5; c.txt', ' sub']);
  });

  it('takes no options and no wildcards', async () => {
    await start();
    for (const argument of ['-a', '*.txt']) {
      await side.connection();
      await assert.rejects(side.command('MLSD', argument), { kind: 'not-found' });
    }
  });

  it('is 501 for a file', async () => {
    await start();
    await side.connection();
    assert.equal(await side.command('MLSD', 'a.txt'), '501 MLSD lists directories; use MLST for a file.\r\n');
  });
});

describe('MLST', () => {
  it('shows one entry with its full pathname over the control connection', async () => {
    await start();
    side.login.workingDirectory = '/dir' as Pathname;
    assert.equal(
      await side.command('MLST', 'c.txt'),
      '250-Listing /dir/c.txt\r\n type=file;size=5;modify=20200203040506;perm=adfrw; /dir/c.txt\r\n250 End.\r\n',
    );
  });

  it('shows the working directory by default', async () => {
    await start();
    assert.match(
      await side.command('MLST'),
      /^250-Listing \/\r\n type=dir;modify=\d{14};perm=cdeflmp; \/\r\n250 End\.\r\n$/,
    );
  });

  it('begins its line with a space where no fact is selected', async () => {
    await start();
    side.session.selectedFacts = [];
    assert.equal(await side.command('MLST', 'a.txt'), '250-Listing /a.txt\r\n  /a.txt\r\n250 End.\r\n');
  });
});

describe('STAT with a pathname', () => {
  it('has the lines of LIST, at most as many as it may', async () => {
    await start();
    const signal = new AbortController().signal;
    assert.deepEqual(await statLines(side.login, 'a.txt', 10, signal), [
      '-rw-r--r-- 1 ftp      ftp                 3 Feb 03  2020 a.txt',
    ]);
    assert.equal((await statLines(side.login, '', 2, signal)).length, 2);
  });
});
