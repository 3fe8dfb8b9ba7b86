/** ListObjectsV2, page by page: the next page is requested while one is used, and never more than two are in memory. */
import type { GatewayS3Client } from './s3-client.ts';
import { elementText } from './xml.ts';

/** An object as a listing shows it. */
export type ListedObject = {
  readonly key: string;
  readonly sizeBytes: number;
  readonly lastModified: Date;
  /** As S3 writes it, with quotes; empty where the server sends none. */
  readonly etag: string;
};

export type ListingPage = {
  readonly objects: readonly ListedObject[];
  /** Each ends in the delimiter; empty without one. */
  readonly commonPrefixes: readonly string[];
};

export type ListingOptions = {
  readonly bucket: string;
  readonly prefix: string;
  /** With `/` everything below a directory is one common prefix; without it everything below the prefix is listed. */
  readonly delimiter?: '/' | undefined;
  readonly signal?: AbortSignal | undefined;
};

export type ListObjectsResponse = {
  readonly page: ListingPage;
  /** For the request of the next page; undefined on the last one. */
  readonly continuationToken: string | undefined;
};

// Preallocated, because capturing a stack trace costs more than reading a short listing. An abort without a reason makes one.
const listingIsOver = new Error('the listing is over');

/** The pages of a listing, in order of key. Leaving the loop cancels the request in flight. */
export async function* listPages(
  client: GatewayS3Client,
  options: ListingOptions,
): AsyncGenerator<ListingPage> {
  const loopLeft = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, loopLeft.signal]) : loopLeft.signal;
  try {
    let next: Promise<ListObjectsResponse> | undefined = listPage(client, { ...options, signal });
    while (next) {
      const response: ListObjectsResponse = await next;
      const token = response.continuationToken;
      next =
        token === undefined ? undefined : listPage(client, { ...options, continuationToken: token, signal });
      // Its failure is thrown when it is awaited; until then it must not count as unhandled.
      next?.catch(() => undefined);
      yield response.page;
    }
  } finally {
    loopLeft.abort(listingIsOver);
  }
}

/** The first entries of a listing, in one request: for example to find out whether anything exists below a prefix. */
export async function listFirst(
  client: GatewayS3Client,
  options: ListingOptions & { /** At most 1,000 (`max-keys`). */ readonly maxEntries: number },
): Promise<ListingPage> {
  return (await listPage(client, options)).page;
}

type PageOptions = ListingOptions & {
  readonly maxEntries?: number | undefined;
  readonly continuationToken?: string | undefined;
  /** The key after which the page begins. */
  readonly startAfter?: string | undefined;
};

/** One page of up to 1,000 entries, from the beginning or from where the options say. */
export async function listPage(
  client: GatewayS3Client,
  { bucket, prefix, delimiter, maxEntries, continuationToken, startAfter, signal }: PageOptions,
): Promise<ListObjectsResponse> {
  const request = {
    method: 'GET',
    bucket,
    query: {
      'list-type': '2',
      prefix,
      delimiter,
      'max-keys': maxEntries?.toString(),
      'continuation-token': continuationToken,
      'start-after': startAfter,
      // XML cannot carry every character that a key may hold.
      'encoding-type': 'url',
    },
    signal,
  } as const;
  return parseListObjects(await client.direct.sendForResult(request, 'ListBucketResult'));
}

/** The order in which S3 lists keys: by their bytes in UTF-8, which is not the order of JavaScript's strings. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/**
 * Parses a response. A page of 1,000 entries takes two milliseconds of the event loop; with the SDK it takes nearly twenty.
 * @throws Error for XML in a form that S3 servers do not use (attributes, CDATA): entries must not be lost silently.
 */
export function parseListObjects(xml: string): ListObjectsResponse {
  if (/<!\[CDATA\[|<(?:Contents|CommonPrefixes|Key|Prefix)\s/.test(xml)) {
    throw new Error('a listing in XML of an unsupported form');
  }
  // Servers that do not support the encoding do not repeat it in the response.
  const keyOf = elementText(xml, 'EncodingType') === 'url' ? decodeKey : unchanged;
  const objects: ListedObject[] = [];
  for (const block of blocksOf(xml, 'Contents')) {
    objects.push({
      key: keyOf(elementText(block, 'Key')),
      sizeBytes: Number(elementText(block, 'Size')),
      lastModified: new Date(elementText(block, 'LastModified')),
      etag: elementText(block, 'ETag'),
    });
  }
  const commonPrefixes: string[] = [];
  for (const block of blocksOf(xml, 'CommonPrefixes'))
    commonPrefixes.push(keyOf(elementText(block, 'Prefix')));
  const isTruncated = elementText(xml, 'IsTruncated') === 'true';
  const continuationToken = isTruncated ? elementText(xml, 'NextContinuationToken') : undefined;
  if (continuationToken === '') throw new Error('a truncated listing without a continuation token');
  return { page: { objects, commonPrefixes }, continuationToken };
}

function* blocksOf(xml: string, name: string): Generator<string> {
  const [opening, closing] = [`<${name}>`, `</${name}>`];
  for (let start = xml.indexOf(opening); start >= 0; start = xml.indexOf(opening, start)) {
    const end = xml.indexOf(closing, start);
    if (end < 0) throw new Error('a listing with an element that is not closed');
    yield xml.slice(start + opening.length, end);
    start = end;
  }
}

function unchanged(key: string): string {
  return key;
}

/** A key from a response with `encoding-type=url`, the encoding of HTML forms: a space is `+`, a plus `%2B`. */
export function decodeKey(encoded: string): string {
  if (!/[%+]/.test(encoded)) return encoded;
  try {
    return decodeURIComponent(encoded.replaceAll('+', ' '));
  } catch {
    return encoded;
  }
}
