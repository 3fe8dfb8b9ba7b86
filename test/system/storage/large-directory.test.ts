import { it } from 'node:test';
import { S3Filesystem } from '../../../src/s3/filesystem/s3-filesystem.ts';
import { keepsLargeDirectory } from '../../filesystem/contract.ts';
import { openTestStorage } from '../../support/s3-storage.ts';

it('S3Filesystem lists every name of a directory of more than one page once, and renames the directory as a whole', async (test) => {
  const testStorage = await openTestStorage();
  test.after(() => testStorage.close());
  const { storage, server } = testStorage;
  await keepsLargeDirectory(new S3Filesystem(storage, { bucket: server.bucket, prefix: 'home/' }));
});
