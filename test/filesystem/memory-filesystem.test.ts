import assert from 'node:assert/strict';
import { it } from 'node:test';
import { MemoryFilesystem } from '../../src/filesystem/memory-filesystem.ts';
import { filesystemContract, get, keepsLargeDirectory } from './contract.ts';

filesystemContract('MemoryFilesystem', async () => {
  return await Promise.resolve({
    empty: () => new MemoryFilesystem(),
    lacks: {},
    close: async () => {
      await Promise.resolve();
    },
  });
});

it('MemoryFilesystem shows tests the files of clients, and clients the files of tests.', async () => {
  const filesystem = new MemoryFilesystem();
  filesystem.putFile('/a/b', 'content', new Date(0));
  filesystem.putDirectory('/c/d');
  assert.deepEqual(filesystem.pathnames(), ['/a/', '/a/b', '/c/', '/c/d/']);
  assert.equal((await get(filesystem, '/a/b')).toString(), 'content');
  assert.equal(filesystem.readFile('/a/b')?.toString(), 'content');
  assert.equal(filesystem.readFile('/a'), undefined);
});

it('MemoryFilesystem lists every name of a directory with over 1,000 entries once, and moves the directory as a whole.', () =>
  keepsLargeDirectory(new MemoryFilesystem()));
