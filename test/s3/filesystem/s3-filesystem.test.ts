/** The contract on S3: on the embedded server, or on the one that S3_ENDPOINT names. */
import { randomUUID } from 'node:crypto';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { S3Filesystem } from '../../../src/s3/filesystem/s3-filesystem.ts';
import { openTestStorage } from '../../support/s3-storage.ts';
import { filesystemContract, type Subject } from '../../filesystem/contract.ts';

filesystemContract('S3Filesystem', async () => {
  const test = await openTestStorage();
  const { storage, server } = test;
  const { EncodingType } = await server.client.send(
    new ListObjectsV2Command({ Bucket: server.bucket, EncodingType: 'url' }),
  );
  const lacks: Subject['lacks'] = {
    ...(EncodingType !== 'url' && {
      controlCharacters: 'this S3 server lists no key with control characters',
    }),
  };
  return {
    empty: () => {
      const home = { bucket: server.bucket, prefix: `home-${randomUUID()}/` };
      return new S3Filesystem(storage, home, undefined, 'client');
    },
    lacks,
    close: () => test.close(),
  };
});
