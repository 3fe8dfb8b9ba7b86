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

it('MemoryFilesystem shows tests what clients put, and clients what tests put', async () => {
  const filesystem = new MemoryFilesystem();
  filesystem.putFile('/a/b', 'content', new Date(0));
  filesystem.putDirectory('/c/d');
  assert.deepEqual(filesystem.pathnames(), ['/a/', '/a/b', '/c/', '/c/d/']);
  assert.equal((await get(filesystem, '/a/b')).toString(), 'content');
  assert.equal(filesystem.readFile('/a/b')?.toString(), 'content');
  assert.equal(filesystem.readFile('/a'), undefined);
});

it('MemoryFilesystem lists every name of a directory of more than 1,000 once, and moves the directory whole', () =>
  keepsLargeDirectory(new MemoryFilesystem()));
