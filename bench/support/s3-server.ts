/** The S3 server of all measurements: VersityGW over TLS on loopback, with an added round trip if given. */
import { execFileSync } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  DeleteObjectsCommand,
  ListMultipartUploadsCommand,
  type MultipartUpload,
  paginateListObjectsV2,
  S3Client,
} from '@aws-sdk/client-s3';
import { findVersityGw, startVersityGw } from '../../test/support/versitygw.ts';
import { startDistance, type Distance } from './distance.ts';
import type { S3Target } from './peer.ts';

export type BenchS3 = {
  /** For the servers under comparison: with the added round trip. */
  readonly target: S3Target;
  /** One line for the header of the output. */
  readonly description: string;
  /** An SDK client without the added round trip, for preparation and cleanup. */
  readonly client: S3Client;
  /** The server's own process, without the added round trip. */
  readonly pid: number;
  /** Requests so far, from the server's log; 0 without a log. */
  requestCount(): Promise<number>;
  /** Unfinished uploads, at most the 1,000 of one response. */
  openUploads(): Promise<readonly MultipartUpload[]>;
  /** Deletes every object and every unfinished upload, so that each server starts with the same disk. */
  empty(): Promise<void>;
  close(): Promise<void>;
};

/** Throws if VersityGW is not installed. The log that `requestCount` reads costs the server a write for each request. */
export async function startBenchS3(
  options: { readonly roundTripMs?: number; readonly countsRequests?: boolean } = {},
): Promise<BenchS3> {
  const { roundTripMs = 0, countsRequests = false } = options;
  const program = await findVersityGw();
  if (program === undefined) throw new Error('VersityGW is not installed; see docs/local-s3.md');
  const logFile = countsRequests ? join(tmpdir(), `versitygw-requests-${process.pid}`) : undefined;
  if (logFile !== undefined) process.env['VGW_ACCESS_LOG'] = logFile;
  const versitygw = await startVersityGw(program);
  delete process.env['VGW_ACCESS_LOG'];
  const { environment } = versitygw;
  const near: S3Target = {
    endpoint: versitygw.endpoint,
    bucket: 'bench',
    region: 'us-east-1',
    accessKeyId: environment['AWS_ACCESS_KEY_ID'] ?? '',
    secretAccessKey: environment['AWS_SECRET_ACCESS_KEY'] ?? '',
    caFile: environment['NODE_EXTRA_CA_CERTS'] ?? '',
  };
  const client = await s3ClientOf(near);
  await client.send(new CreateBucketCommand({ Bucket: near.bucket }));
  const distance: Distance | undefined =
    roundTripMs > 0 ? await startDistance(near.endpoint, roundTripMs) : undefined;
  return {
    target: { ...near, endpoint: distance?.endpoint ?? near.endpoint },
    description:
      `VersityGW ${moduleVersion(program)} on a local folder, over TLS on loopback` +
      (distance ? `, ${roundTripMs} ms of round trip away` : ''),
    client,
    pid: versitygw.pid,
    requestCount: async () => (logFile === undefined ? 0 : linesOf(await readFile(logFile))),
    openUploads: () => openUploads(client, near.bucket),
    empty: () => empty(client, near.bucket),
    async close() {
      client.destroy();
      await distance?.stop();
      await versitygw.close();
      if (logFile !== undefined) await rm(logFile, { force: true });
    },
  };
}

/** An SDK client for the S3 server. The caller destroys it. */
export async function s3ClientOf(target: S3Target): Promise<S3Client> {
  const ca = target.caFile === '' ? undefined : await readFile(target.caFile);
  return new S3Client({
    endpoint: target.endpoint,
    region: target.region,
    credentials: { accessKeyId: target.accessKeyId, secretAccessKey: target.secretAccessKey },
    forcePathStyle: true,
    requestHandler: { httpsAgent: { keepAlive: true, maxSockets: 64, ...(ca && { ca }) } },
  });
}

async function openUploads(client: S3Client, bucket: string): Promise<readonly MultipartUpload[]> {
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  return Uploads;
}

async function empty(client: S3Client, bucket: string): Promise<void> {
  for (const { Key, UploadId } of await openUploads(client, bucket))
    await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }));
  for await (const { Contents = [] } of paginateListObjectsV2({ client }, { Bucket: bucket })) {
    const Objects = Contents.map(({ Key }) => ({ Key }));
    if (Objects.length === 0) continue;
    const { Errors = [] } = await client.send(
      new DeleteObjectsCommand({ Bucket: bucket, Delete: { Quiet: true, Objects } }),
    );
    if (Errors[0]) throw new Error(`delete of ${Errors[0].Key ?? ''}: ${Errors[0].Code ?? ''}`);
  }
}

function linesOf(text: Buffer): number {
  let lines = 0;
  for (let at = text.indexOf(10); at >= 0; at = text.indexOf(10, at + 1)) lines += 1;
  return lines;
}

function moduleVersion(path: string): string {
  const printed = execFileSync('go', ['version', '-m', path], { encoding: 'utf8' });
  return /\tmod\t\S+\t(\S+)/.exec(printed)?.[1] ?? '';
}
