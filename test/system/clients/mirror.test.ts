/** lftp mirrors a tree of awkward names into the bucket and back, and nothing is lost or renamed on the way. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startS3Gateway, type S3Gateway } from '../../support/s3-gateway.ts';
import { missing, run } from './client.ts';
import { clients, lftpOpening } from './clients.ts';

const lftp = clients.find((client) => client.name === 'lftp')!;

const awkwardNames = [
  'plain.txt',
  'with space.txt',
  ' leading space',
  'trailing space ',
  'double  space',
  "single'quote",
  'double"quote',
  '-x',
  'a -l b',
  '--help',
  'Umlaute äöüß.txt',
  'combining e\u0301.txt',
  'emoji 🦊🚀.bin',
  '日本語.csv',
  '.hidden',
  '..dots',
  '...',
  'percent%20.txt',
  'plus+and&ampersand',
  'less<greater>.xml',
  'hash#question?.txt',
  'back\\slash',
  'star*[x].txt',
  'semi;colon=type',
  'tilde~',
  'dollar$(x)`y`',
  'comma,colon:',
  'pipe|caret^',
  'exclamation!',
  '{braces}',
];

describe('lftp mirror', () => {
  let gateway: S3Gateway;
  let folder: string;

  before(async () => {
    gateway = await startS3Gateway();
    folder = await mkdtemp(join(tmpdir(), 'mirror-'));
  });
  after(async () => {
    await gateway.close();
    await rm(folder, { recursive: true });
  });

  it('lftp mirror copies 300 files with unusual names into the bucket and back unchanged', async (t) => {
    const reason = await missing(lftp);
    if (reason !== undefined) {
      t.skip(reason);
      return;
    }
    const source = join(folder, 'source');
    const back = join(folder, 'back');
    await writeTree(source);
    const files = await readTree(source);
    assert.equal(files.size, 300);

    const opening = lftpOpening(gateway.server('plain'));
    await run(
      { program: 'lftp', arguments: ['--norc', '-c', `${opening}mirror -R "${source}" /tree`] },
      240_000,
    );

    const objects = await gateway.readObjects('/tree/');
    assert.deepEqual([...objects.keys()].sort(), [...files.keys()].sort(), 'object names are file names');
    for (const [name, bytes] of files) assert.deepEqual(objects.get(name), bytes, name);

    await run({ program: 'lftp', arguments: ['--norc', '-c', `${opening}mirror /tree "${back}"`] }, 240_000);
    assert.deepEqual(await readTree(back), files);
  });
});

/** Ten directories of thirty files; every name is used as a file, ten of them as directories. */
async function writeTree(root: string): Promise<void> {
  for (const [level, directory] of awkwardNames.slice(0, 10).entries()) {
    for (const [index, name] of awkwardNames.entries()) {
      const path = join(root, `${directory} d`, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, `${name}\n`.repeat(index * level));
    }
  }
}

async function readTree(root: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(relative(root, path), await readFile(path));
  }
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}
