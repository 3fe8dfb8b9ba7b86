/**
 * The whole gateway in front of the test's S3 server, as clients see it: plain, explicit and implicit TLS, one user whose
 * home is a prefix of the bucket. Closing it checks that nothing is left: sessions, buffers, uploads, sockets, timers.
 */
import assert from 'node:assert/strict';
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  paginateListObjectsV2,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { S3Filesystem } from '../../src/filesystem/s3-filesystem.ts';
import type { Security, Server } from '../clients/client.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { LeakCheck } from './leak-check.ts';
import { openTestStorage } from './s3-storage.ts';

export type S3Gateway = {
  server(security: Security): Server;
  /** Pathnames are the client's; the objects are read and written with the AWS SDK, never through the gateway. */
  putObject(pathname: string, bytes: Uint8Array): Promise<void>;
  getObject(pathname: string): Promise<Buffer | undefined>;
  objectSizeBytes(pathname: string): Promise<number | undefined>;
  /** Every object below a directory: name relative to it, and bytes; directory markers left out. */
  readObjects(directory: string): Promise<Map<string, Buffer>>;
  /** Keys of multipart uploads that were begun and neither completed nor aborted. The emulator cannot tell. */
  unfinishedUploads(): Promise<string[]>;
  nextEvent: TestGateway['nextEvent'];
  close(): Promise<void>;
};

const prefix = 'home/';
const username = 'demo';
const password = 'demo';

export async function startS3Gateway(): Promise<S3Gateway> {
  const leaks = new LeakCheck();
  const testStorage = await openTestStorage();
  const { server: s3, storage } = testStorage;
  const gateway = await startTestGateway({
    users: [{ name: username, password, home: { bucket: s3.bucket, prefix } }],
    filesystemFor: (user) => new S3Filesystem(storage, user.home),
    tls: 'optional',
    implicitTls: true,
  });

  const key = (pathname: string): string => prefix + pathname.slice(1);
  const getObject = async (Key: string): Promise<Buffer | undefined> => {
    try {
      const { Body } = await s3.client.send(new GetObjectCommand({ Bucket: s3.bucket, Key }));
      return Buffer.from(await Body!.transformToByteArray());
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  };

  return {
    server: (security) => ({
      host: '127.0.0.1',
      port: security === 'implicit' ? gateway.implicitTlsPort! : gateway.controlPort,
      security,
      username,
      password,
      caFile: gateway.caFile,
    }),
    async putObject(pathname, bytes) {
      await s3.client.send(new PutObjectCommand({ Bucket: s3.bucket, Key: key(pathname), Body: bytes }));
    },
    getObject: (pathname) => getObject(key(pathname)),
    async objectSizeBytes(pathname) {
      const head = await s3.client.send(new HeadObjectCommand({ Bucket: s3.bucket, Key: key(pathname) }));
      return head.ContentLength;
    },
    async readObjects(directory) {
      const objects = new Map<string, Buffer>();
      const Prefix = key(directory);
      const listing = { Bucket: s3.bucket, Prefix };
      for await (const { Contents = [] } of paginateListObjectsV2({ client: s3.client }, listing)) {
        for (const { Key } of Contents) {
          if (!Key!.endsWith('/')) objects.set(Key!.slice(Prefix.length), (await getObject(Key!))!);
        }
      }
      return objects;
    },
    async unfinishedUploads() {
      const { Uploads = [] } = await s3.client.send(new ListMultipartUploadsCommand({ Bucket: s3.bucket }));
      return Uploads.map(({ Key }) => Key!);
    },
    nextEvent: (name) => gateway.nextEvent(name),
    async close() {
      await gateway.close();
      assert.equal(gateway.sessionCount, 0, 'no session is left');
      assert.equal(storage.memory.heldBytes, 0, 'transfer memory is given back');
      await testStorage.close();
      await leaks.assertNothingLeft();
    },
  };
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && (error.name === 'NoSuchKey' || error.name === 'NotFound');
}
