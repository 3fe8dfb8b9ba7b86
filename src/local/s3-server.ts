/**
 * An S3-compatible server on a local folder, inside this process: for `npm start` and for tests, never for production.
 * It is @20minutes/s3rver with repairs, so that every name a client may choose survives the way there and back, and
 * directories are what they are in S3. What it still lacks is in docs/local-s3.md.
 */
import { once } from 'node:events';
import type { IncomingHttpHeaders, IncomingMessage, Server } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { deleteStored, listStored, type StoredPage } from './s3-store.ts';

export type LocalS3Options = {
  /** Where buckets are kept, a folder each. */
  readonly directory: string;
  readonly buckets: readonly string[];
  /** 0 takes a free one. */
  readonly port: number;
};

export type LocalS3 = {
  readonly endpoint: string;
  /** Accepted by this server; it checks no signature. */
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** Ends every connection and resolves when the port is free. */
  close(): Promise<void>;
};

type Context = {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly query: Readonly<Record<string, string | string[] | undefined>>;
  readonly req: IncomingMessage;
  readonly store: Store;
  readonly response: { get(header: string): string };
  status: number;
  type: string;
  body: unknown;
  set(header: string, value: string): void;
};
type Store = {
  deleteObject(bucket: string, key: string): Promise<void>;
  existsObject(bucket: string, key: string): Promise<boolean>;
  getBucket(bucket: string): Promise<unknown>;
};
type Middleware = (context: Context, next: () => Promise<void>) => Promise<void>;
type S3rver = {
  readonly middleware: Middleware[];
  readonly httpServer: Server;
  readonly store: Store;
  run(): Promise<{ port: number }>;
  on(event: 'error', listener: (error: Error) => void): void;
};
type S3rverConstructor = new (options: {
  readonly address: string;
  readonly port: number;
  readonly directory: string;
  readonly silent: boolean;
  readonly vhostBuckets: boolean;
  readonly allowMismatchedSignatures: boolean;
  readonly configureBuckets: readonly { readonly name: string }[];
}) => S3rver;

/** Starts the server on loopback. Rejects when the port is taken or the folder cannot be written. */
export async function startLocalS3({ directory, buckets, port }: LocalS3Options): Promise<LocalS3> {
  const S3rver = createRequire(import.meta.url)('@20minutes/s3rver') as S3rverConstructor;
  const server = new S3rver({
    address: '127.0.0.1',
    port,
    directory,
    silent: true,
    vhostBuckets: false,
    // Its signature check predates what today's SDK signs.
    allowMismatchedSignatures: true,
    configureBuckets: buckets.map((name) => ({ name })),
  });
  // Koa prints the errors of requests that were cut off, unless somebody listens.
  server.on('error', () => undefined);
  server.store.deleteObject = async (bucket, key) => {
    await deleteStored(join(directory, bucket), key);
  };
  server.middleware.unshift(
    repairXml,
    repairCopySource,
    repairFirstByte,
    refuseExisting,
    listFrom(directory),
  );
  const address = await server.run();
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    credentials: { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' },
    async close() {
      const closed = once(server.httpServer, 'close');
      server.httpServer.close();
      server.httpServer.closeAllConnections();
      await closed;
    },
  };
}

/** It escapes twice: `&` arrives as `&amp;amp;`. */
const repairXml: Middleware = async (context, next) => {
  await next();
  if (typeof context.body !== 'string' || !context.body.startsWith('<?xml')) return;
  context.body = context.body.replace(/&amp;(amp|lt|gt|quot|apos|#39|#x27|#x60);/g, '&$1;');
};

/** It decodes the header with decodeURI, which leaves %2B, %26, %3F and the like as they are; S3 decodes them all. */
const repairCopySource: Middleware = async ({ headers }, next) => {
  const source = headers['x-amz-copy-source'];
  if (typeof source === 'string') headers['x-amz-copy-source'] = encodeURI(decodeURIComponent(source));
  await next();
};

/** It takes the end of `bytes=0-0` for none, and sends everything. */
const repairFirstByte: Middleware = async (context, next) => {
  if (context.method !== 'GET' || context.headers.range !== 'bytes=0-0') {
    await next();
    return;
  }
  context.headers.range = 'bytes=0-1';
  await next();
  if (!(context.body instanceof Readable)) return;
  const bytes = await buffer(context.body);
  const range = context.response.get('content-range').replace('bytes 0-1/', 'bytes 0-0/');
  context.body = bytes.subarray(0, 1);
  context.set('content-range', range);
};

/** It knows no conditional writes. Of them, this one: `If-None-Match: *` keeps an object from being replaced. */
const refuseExisting: Middleware = async (context, next) => {
  const isWrite = context.method === 'PUT' || context.method === 'POST';
  const [, bucket = '', key = ''] = /^\/([^/]+)\/(.+)$/.exec(context.path) ?? [];
  const isConditional = isWrite && context.headers['if-none-match'] === '*' && key !== '';
  if (isConditional && (await context.store.existsObject(bucket, decodeURIComponent(key)))) {
    context.req.resume();
    context.status = 412;
    context.type = 'application/xml';
    context.body = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>PreconditionFailed</Code></Error>';
    return;
  }
  await next();
};

/** ListObjectsV2, with `encoding-type=url`: XML cannot carry control characters. */
function listFrom(directory: string): Middleware {
  return async (context, next) => {
    const { method, path, query, store } = context;
    const bucket = /^\/([^/]+)\/?$/.exec(path)?.[1];
    const isListing = method === 'GET' && bucket !== undefined && query['list-type'] === '2';
    if (!isListing || !(await store.getBucket(bucket))) {
      await next();
      return;
    }
    const token = query['continuation-token'];
    const page = await listStored(join(directory, bucket), {
      prefix: textOf(query['prefix']),
      delimiter: textOf(query['delimiter']) || undefined,
      after:
        token === undefined ? textOf(query['start-after']) : Buffer.from(textOf(token), 'hex').toString(),
      mostEntries: Math.min(Number(query['max-keys'] ?? 1000), 1000),
    });
    context.status = 200;
    context.type = 'application/xml';
    context.body = listingXml(page, query['encoding-type'] === 'url');
  };
}

function listingXml({ objects, commonPrefixes, nextAfter }: StoredPage, encoded: boolean): string {
  const keyText = (key: string): string => (encoded ? urlEncoded(key) : escaped(key));
  const contents = objects.map(
    ({ key, sizeBytes, lastModified, md5 }) =>
      `<Contents><Key>${keyText(key)}</Key><LastModified>${lastModified.toISOString()}</LastModified>` +
      `<ETag>&quot;${md5}&quot;</ETag><Size>${sizeBytes}</Size><StorageClass>STANDARD</StorageClass></Contents>`,
  );
  const prefixes = commonPrefixes.map(
    (prefix) => `<CommonPrefixes><Prefix>${keyText(prefix)}</Prefix></CommonPrefixes>`,
  );
  const token = nextAfter === undefined ? '' : Buffer.from(nextAfter).toString('hex');
  return (
    '<?xml version="1.0" encoding="UTF-8"?>\n' +
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' +
    `<KeyCount>${objects.length + commonPrefixes.length}</KeyCount>` +
    `<IsTruncated>${nextAfter !== undefined}</IsTruncated>` +
    (token && `<NextContinuationToken>${token}</NextContinuationToken>`) +
    (encoded ? '<EncodingType>url</EncodingType>' : '') +
    `${contents.join('')}${prefixes.join('')}</ListBucketResult>`
  );
}

// As S3 does it: as a form would, but for the slashes.
function urlEncoded(key: string): string {
  return encodeURIComponent(key).replaceAll('%2F', '/').replaceAll('%20', '+');
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

function textOf(parameter: string | string[] | undefined): string {
  return typeof parameter === 'string' ? parameter : '';
}
