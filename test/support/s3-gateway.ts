/**
 * The whole gateway in front of the test's S3 server, as clients see it: plain, explicit and implicit TLS, two users whose
 * home is the same prefix of the bucket. Closing it checks that nothing is left: sessions, buffers, uploads, sockets, timers.
 */
import assert from 'node:assert/strict';
import {
  GetObjectCommand,
  HeadObjectCommand,
  paginateListObjectsV2,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import type { FileTimes } from '../../src/filesystem/filesystem.ts';
import { S3Filesystem } from '../../src/s3/filesystem/s3-filesystem.ts';
import type { Security, Server } from '../system/clients/client.ts';
import type { Filesystem } from '../../src/filesystem/filesystem.ts';
import { gatewayDefaults } from '../../src/ftp/gateway-settings.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { LeakCheck } from './leak-check.ts';
import { openTestStorage } from './s3-storage.ts';
import { partsArrived, unfinishedUploads } from './unfinished-uploads.ts';

export type S3Gateway = {
  server(security: Security, username?: Username): Server;
  /** Pathnames are the client's; the objects are read and written with the AWS SDK, never through the gateway. */
  putObject(pathname: string, bytes: Uint8Array, metadata?: Readonly<Record<string, string>>): Promise<void>;
  getObject(pathname: string): Promise<Buffer | undefined>;
  objectSizeBytes(pathname: string): Promise<number | undefined>;
  /** Every object below a directory: name relative to it, and bytes; directory markers left out. */
  readObjects(directory: string): Promise<Map<string, Buffer>>;
  /** Pathnames of multipart uploads that were begun and neither completed nor aborted. */
  unfinishedUploads(): Promise<string[]>;
  /** Resolves when S3 has so many parts of an unfinished upload, to their sizes in bytes. */
  partsArrived(pathname: string, dataParts: number): Promise<number[]>;
  nextEvent: TestGateway['nextEvent'];
  /** Everything that was observed so far. */
  readonly events: TestGateway['events'];
  close(): Promise<void>;
};

const prefix = 'home/';
const usernames = ['demo', 'other'] as const;
type Username = (typeof usernames)[number];
const password = 'demo';

export type S3GatewayOptions = {
  /** For how long the user who began it may continue an interrupted upload; nothing of it is kept by default. */
  readonly resumeWindowMs?: number;
  /** What the gateway uses in the place of each user's filesystem. */
  readonly wrap?: (filesystem: Filesystem) => Filesystem;
  /** Whose times files show; that of the upload by default. */
  readonly fileTimes?: FileTimes;
};

export async function startS3Gateway({
  resumeWindowMs = 0,
  fileTimes = 'upload',
  wrap = (filesystem) => filesystem,
}: S3GatewayOptions = {}): Promise<S3Gateway> {
  const leaks = new LeakCheck();
  const testStorage = await openTestStorage();
  const { server: s3, storage } = testStorage;
  const gateway = await startTestGateway({
    users: usernames.map((name) => ({ name, password, home: { bucket: s3.bucket, prefix } })),
    filesystemFor: (user, sessionId) => {
      const resumption = { owner: user.name, windowMs: resumeWindowMs };
      return wrap(new S3Filesystem(storage, user.home, resumption, fileTimes, sessionId));
    },
    fileTimes,
    uploadGraceMs: gatewayDefaults.uploadGraceMs,
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
    server: (security, username = 'demo') => ({
      host: '127.0.0.1',
      port: security === 'implicit' ? gateway.implicitTlsPort! : gateway.controlPort,
      security,
      username,
      password,
      caFile: gateway.caFile,
    }),
    async putObject(pathname, bytes, metadata) {
      const object = { Bucket: s3.bucket, Key: key(pathname), Body: bytes, Metadata: metadata };
      await s3.client.send(new PutObjectCommand(object));
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
      return (await unfinishedUploads(s3)).map((upload) => `/${upload.key.slice(prefix.length)}`);
    },
    partsArrived: (pathname, dataParts) =>
      partsArrived(s3, key(pathname), { dataParts, marks: resumeWindowMs > 0 ? 2 : 1 }),
    nextEvent: (name, fits) => gateway.nextEvent(name, fits),
    events: gateway.events,
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
