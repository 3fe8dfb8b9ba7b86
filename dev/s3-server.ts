/**
 * A small S3-compatible server inside this process, in memory or on a local folder: for `npm start` and for tests, never for
 * production. What it lacks is in docs/local-s3.md.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { buffer } from 'node:stream/consumers';
import { memoryBodies } from './s3-bodies.ts';
import { Bucket, S3Error } from './s3-bucket.ts';
import { type BucketFolder, openFolder } from './s3-folder.ts';
import { respond, type S3Response, type S3Call } from './s3-operations.ts';
import { element } from './s3-xml.ts';

export type LocalS3Options = {
  /** Folder of the buckets, one subfolder each; in memory by default. */
  readonly directory?: string;
  readonly buckets: readonly string[];
  /** 0 picks a free port. */
  readonly port: number;
  /** Minimum size of every part of a multipart upload but the last (5 MiB in S3). Any size by default. */
  readonly minPartBytes?: number;
  /** The clock of a server in memory; that of the machine by default. */
  readonly nowMs?: () => number;
};

export type LocalS3 = {
  readonly endpoint: string;
  /** Accepted by this server; it checks no signature. */
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** Ends every connection and resolves when the port is free. */
  close(): Promise<void>;
};

/** Starts the server on loopback. Rejects when the port is taken or the folder cannot be written. */
export async function startLocalS3(options: LocalS3Options): Promise<LocalS3> {
  const { directory, port, minPartBytes = 1 } = options;
  const buckets = new Map<string, Bucket>();
  const folders: BucketFolder[] = [];
  for (const name of options.buckets) {
    if (directory === undefined) buckets.set(name, new Bucket(memoryBodies, minPartBytes, options.nowMs));
    else {
      const folder = await openFolder(directory, name, minPartBytes);
      folders.push(folder);
      buckets.set(name, folder.bucket);
    }
  }
  const server = createServer((request, response) => {
    serve(buckets, request, response)
      .catch(() => response.destroy())
      .finally(() => {
        for (const folder of folders) folder.save();
      });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
      await Promise.all(folders.map((folder) => folder.saved()));
    },
  };
}

async function serve(
  buckets: ReadonlyMap<string, Bucket>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method = '' } = request;
  let result: S3Response;
  try {
    const call = await callOf(buckets, request);
    result = await respond(call);
  } catch (error) {
    if (!(error instanceof S3Error)) throw error;
    result = {
      status: error.status,
      headers: { 'content-type': 'application/xml' },
      body: Buffer.from(element('Error', [element('Code', error.name), element('Message', error.name)])),
    };
  }
  const { status, headers, body } = result;
  if (Buffer.isBuffer(body) || body === undefined) {
    const bytes = body ?? Buffer.alloc(0);
    response.writeHead(status, { 'content-length': bytes.byteLength, ...headers });
    response.end(method === 'HEAD' ? undefined : bytes);
    return;
  }
  response.writeHead(status, headers);
  await pipeline(body, response);
}

async function callOf(buckets: ReadonlyMap<string, Bucket>, request: IncomingMessage): Promise<S3Call> {
  const { method = '', url = '', headers } = request;
  const [path, query] = splitOnce(url, '?');
  const [name, key] = splitOnce(path.slice(1), '/');
  const bytes = await buffer(request);
  if (!request.complete) throw new S3Error(400, 'IncompleteBody');
  const bucket = buckets.get(name);
  if (!bucket) throw new S3Error(404, 'NoSuchBucket');
  return {
    method,
    bucket,
    bucketNamed: (other) => buckets.get(other),
    key: decodeURIComponent(key),
    query: new URLSearchParams(query),
    header: (header) => {
      const value = headers[header];
      return typeof value === 'string' ? value : undefined;
    },
    headers,
    bytes: headers['content-encoding']?.includes('aws-chunked') ? unchunked(bytes) : bytes,
  };
}

/** The body without the SDK's own framing (Amazon S3, "aws-chunked"): lengths in hexadecimal, and trailers. */
function unchunked(bytes: Buffer): Buffer {
  const chunks: Buffer[] = [];
  for (let position = 0; position < bytes.length;) {
    const lineEnd = bytes.indexOf('\r\n', position);
    const sizeBytes = parseInt(bytes.toString('latin1', position, lineEnd), 16);
    if (!(sizeBytes > 0)) break;
    chunks.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + sizeBytes));
    position = lineEnd + 2 + sizeBytes + 2;
  }
  return Buffer.concat(chunks);
}

function splitOnce(text: string, separator: string): [string, string] {
  const index = text.indexOf(separator);
  return index === -1 ? [text, ''] : [text.slice(0, index), text.slice(index + separator.length)];
}
