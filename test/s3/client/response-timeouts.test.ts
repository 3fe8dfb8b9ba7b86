/** How long each kind of request waits for a server that is silent, and how often it is sent. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { copyObjectDirectly, emptyObject, putObject, uploadPart } from '../../../src/s3/client/operations.ts';
import { createS3Client, type GatewayS3Client } from '../../../src/s3/client/s3-client.ts';

/** What takes 60 s by default; 15 and 45 s are in proportion. Below 6 s, because the SDK adds 3 s to longer ones. */
const longestMs = 5_400;
const [shortMs, bodyMs] = [1_350, 4_050];
/** Timers of undici have a resolution of a second. */
const marginMs = 1_300;

const object = { bucket: 'bucket', key: 'key' };
const upload = { Bucket: 'bucket', Key: 'key', UploadId: 'id' };
const body = (sizeBytes: number) => ({ chunks: [Buffer.alloc(sizeBytes)], sizeBytes });
const checksum = { ChecksumCRC32: 'AAAAAA==' };
const { signal } = new AbortController();
const part = { ...object, uploadId: 'id', partNumber: 1, checksum, signal };

const rows: readonly (readonly [
  what: string,
  attempts: number,
  eachMs: number,
  send: (client: GatewayS3Client) => Promise<unknown>,
])[] = [
  ['HeadObject', 2, shortMs, ({ direct }) => direct.send({ ...object, method: 'HEAD' })],
  ['GetObject', 2, shortMs, ({ direct }) => direct.send({ ...object, method: 'GET' })],
  ['a listing', 2, shortMs, ({ direct }) => direct.send({ bucket: 'bucket', method: 'GET' })],
  [
    'PutObject of a small file',
    2,
    shortMs,
    (client) => putObject(client, { ...object, ...emptyObject, attributes: {}, conditions: {} }),
  ],
  ['UploadPart', 1, bodyMs, (client) => uploadPart(client, { ...part, body: body(2 * 1024 * 1024) })],
  [
    'CopyObject',
    1,
    longestMs,
    (client) =>
      copyObjectDirectly(client, { ...object, source: { key: 'other', etag: undefined }, attributes: {} }),
  ],
  ['CreateMultipartUpload', 2, shortMs, (client) => client.send(new CreateMultipartUploadCommand(upload))],
  [
    'CompleteMultipartUpload',
    1,
    longestMs,
    (client) => client.send(new CompleteMultipartUploadCommand(upload)),
  ],
  [
    'UploadPartCopy',
    1,
    longestMs,
    (client) =>
      client.send(new UploadPartCopyCommand({ ...upload, PartNumber: 1, CopySource: 'bucket/other' })),
  ],
];

type SilentServer = { readonly endpoint: string; readonly received: () => number; readonly server: Server };

async function startSilentServer(): Promise<SilentServer> {
  let received = 0;
  const server = createServer((request) => {
    received += 1;
    request.resume();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { endpoint, received: () => received, server };
}

describe('timeouts of requests to S3', { concurrency: true }, () => {
  for (const [what, attempts, eachMs, send] of rows) {
    const times = attempts === 1 ? 'once' : 'twice';
    it(`${what} is sent ${times} to a silent server, and each attempt waits ${eachMs / 1000} of ${longestMs / 1000} s`, async (test) => {
      const { endpoint, received, server } = await startSilentServer();
      const client = createS3Client({
        endpoint,
        region: 'us-east-1',
        forcePathStyle: true,
        credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
        idleTimeoutMs: longestMs,
      });
      test.after(() => {
        client.destroy();
        server.closeAllConnections();
        server.close();
      });
      const beganAtMs = performance.now();
      await assert.rejects(send(client), (error) => error instanceof Error);
      const tookMs = performance.now() - beganAtMs;
      assert.equal(received(), attempts);
      assert.ok(
        tookMs > attempts * eachMs - 20 && tookMs < attempts * (eachMs + marginMs),
        `${Math.round(tookMs)} ms`,
      );
    });
  }
});
