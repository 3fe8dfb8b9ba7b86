/**
 * An S3-compatible server on a local folder, inside this process: for `npm start` and for tests, never for production.
 * It is @20minutes/s3rver with three repairs, so that every name a client may choose survives the way there and back.
 * What it still lacks is in docs/local-s3.md.
 */
import { once } from 'node:events';
import type { IncomingHttpHeaders, Server } from 'node:http';
import { createRequire } from 'node:module';

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
  readonly headers: IncomingHttpHeaders;
  readonly query: Readonly<Record<string, string | string[] | undefined>>;
  body: unknown;
};
type Middleware = (context: Context, next: () => Promise<void>) => Promise<void>;
type S3rver = {
  readonly middleware: Middleware[];
  readonly httpServer: Server;
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
  server.middleware.unshift(repair);
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

const repair: Middleware = async (context, next) => {
  repairCopySource(context.headers);
  await next();
  if (typeof context.body !== 'string' || !context.body.startsWith('<?xml')) return;
  const body = unescapeOnce(context.body);
  context.body = context.query['encoding-type'] === 'url' ? encodeKeys(body) : body;
};

// It decodes the header with decodeURI, which leaves %2B, %26, %3F and the like as they are; S3 decodes them all.
function repairCopySource(headers: IncomingHttpHeaders): void {
  const source = headers['x-amz-copy-source'];
  if (typeof source === 'string') headers['x-amz-copy-source'] = encodeURI(decodeURIComponent(source));
}

// It escapes twice: `&` arrives as `&amp;amp;`.
function unescapeOnce(xml: string): string {
  return xml.replace(/&amp;(amp|lt|gt|quot|apos|#39|#x27|#x60);/g, '&$1;');
}

// It ignores `encoding-type=url`, without which XML cannot carry control characters.
function encodeKeys(xml: string): string {
  return xml
    .replace(/<(Key|Prefix|StartAfter)>([^<]*)<\//g, (_match, tag: string, text: string) => {
      return `<${tag}>${encodeURIComponent(unescapeEntities(text)).replaceAll('%2F', '/')}</`;
    })
    .replace('</ListBucketResult>', '<EncodingType>url</EncodingType></ListBucketResult>');
}

const entities: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  '#39': "'",
  '#x27': "'",
  '#x60': '`',
};

function unescapeEntities(text: string): string {
  return text.replace(/&([#a-z0-9]+);/g, (match, name: string) => entities[name] ?? match);
}
