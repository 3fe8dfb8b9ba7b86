/**
 * Listings: ListObjectsV2 page by page, with the next page under way while one is used, and never more than two held.
 */
import { Readable } from 'node:stream';
import { ListObjectsV2Command, type ListObjectsV2CommandOutput, type S3Client } from '@aws-sdk/client-s3';
import type { Entry } from '../filesystem/filesystem.ts';
import { takeEntries, textOf } from './listing-page.ts';
import { entryNameOf } from './object-key.ts';

/** What a listing tells of an object. */
export type ListedObject = {
  readonly key: string;
  readonly sizeBytes: number;
  readonly lastModified: Date;
  /** As S3 writes it, quotes included; empty where the server tells none. */
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
  /** `/` folds what is below a directory into a common prefix; without it everything below the prefix is listed. */
  readonly delimiter?: '/';
  /** Entries of the first and only page, where less than a page is wanted: at most 1,000. */
  readonly firstEntries?: number;
  readonly signal?: AbortSignal;
};

/**
 * A directory of S3 has no time of its own. One fixed time, rather than that of the request, keeps clients that compare
 * times from taking every directory for changed.
 */
export const directoryModifiedAt = new Date(0);

/** The pages of a listing, in order of key. Leaving the loop cancels the page under way. */
export async function* listPages(client: S3Client, options: ListingOptions): AsyncGenerator<ListingPage> {
  const left = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, left.signal]) : left.signal;
  try {
    let next: Promise<Answer> | undefined = requestPage(client, options, undefined, signal);
    while (next) {
      const answer: Answer = await next;
      const token = options.firstEntries === undefined ? answer.continuationToken : undefined;
      next = token === undefined ? undefined : requestPage(client, options, token, signal);
      // Its failure is thrown when its turn comes; until then it must not count as unhandled.
      next?.catch(() => undefined);
      yield answer.page;
    }
  } finally {
    left.abort();
  }
}

/** The first entries of a listing in one request; for questions such as "is there anything below this prefix?". */
export async function listFirst(
  client: S3Client,
  options: ListingOptions & { readonly firstEntries: number },
): Promise<ListingPage> {
  for await (const page of listPages(client, options)) return page;
  return { objects: [], commonPrefixes: [] };
}

/**
 * Turns the pages of one directory, in their order, into entries of FTP.
 *
 * An object `a` and objects below `a/` may both exist. The object wins: it is what a lookup of `/a` finds first, and a
 * name listed twice would break clients that mirror. The objects below keep their own pathnames.
 */
export class DirectoryEntries {
  readonly #prefix: string;
  readonly #onUnlisted: (key: string, reason: 'name' | 'hidden-by-file') => void;
  /**
   * Files that a common prefix may yet collide with. In order of key `a/` may come pages after `a`, but everything
   * between begins with `a`: so only names that begin the key at hand need keeping, each beginning the next.
   */
  readonly #filesBefore: string[] = [];
  #lastCommonPrefix = '';

  constructor(prefix: string, onUnlisted: (key: string, reason: 'name' | 'hidden-by-file') => void) {
    this.#prefix = prefix;
    this.#onUnlisted = onUnlisted;
  }

  /** The entries of the next page, ordered by name. */
  take({ objects, commonPrefixes }: ListingPage): Entry[] {
    const entries: Entry[] = [];
    for (const item of inOrderOfKey(objects, commonPrefixes)) {
      const entry = typeof item === 'string' ? this.#directory(item) : this.#file(item);
      if (entry) entries.push(entry);
    }
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  #file({ key, sizeBytes, lastModified }: ListedObject): Entry | undefined {
    if (key === this.#prefix) return undefined;
    const name = entryNameOf(this.#prefix, key);
    if (name === undefined) {
      this.#onUnlisted(key, 'name');
      return undefined;
    }
    this.#forgetFilesNotBeginning(key);
    this.#filesBefore.push(key);
    return { name, type: 'file', sizeBytes, modifiedAt: lastModified };
  }

  #directory(commonPrefix: string): Entry | undefined {
    // Some servers begin a page with the common prefix that ended the one before.
    if (this.#lastCommonPrefix !== '' && compareKeys(commonPrefix, this.#lastCommonPrefix) <= 0)
      return undefined;
    this.#lastCommonPrefix = commonPrefix;
    const name = entryNameOf(this.#prefix, commonPrefix);
    if (name === undefined) {
      this.#onUnlisted(commonPrefix, 'name');
      return undefined;
    }
    this.#forgetFilesNotBeginning(commonPrefix);
    if (this.#filesBefore.includes(commonPrefix.slice(0, -1))) {
      this.#onUnlisted(commonPrefix, 'hidden-by-file');
      return undefined;
    }
    return { name, type: 'directory', sizeBytes: 0, modifiedAt: directoryModifiedAt };
  }

  #forgetFilesNotBeginning(key: string): void {
    for (let last = this.#filesBefore.at(-1); last !== undefined; last = this.#filesBefore.at(-1)) {
      if (key.startsWith(last)) return;
      this.#filesBefore.pop();
    }
  }
}

/** Order of keys as S3 lists them: by their bytes in UTF-8, which is not the order of JavaScript's strings. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function* inOrderOfKey(
  objects: readonly ListedObject[],
  commonPrefixes: readonly string[],
): Generator<ListedObject | string> {
  let next = 0;
  for (const object of objects) {
    for (; next < commonPrefixes.length; next++) {
      const commonPrefix = commonPrefixes[next] ?? '';
      if (compareKeys(commonPrefix, object.key) > 0) break;
      yield commonPrefix;
    }
    yield object;
  }
  yield* commonPrefixes.slice(next);
}

type Answer = { readonly page: ListingPage; readonly continuationToken: string | undefined };

async function requestPage(
  client: S3Client,
  options: ListingOptions,
  continuationToken: string | undefined,
  signal: AbortSignal,
): Promise<Answer> {
  const command = new ListObjectsV2Command({
    Bucket: options.bucket,
    Prefix: options.prefix,
    Delimiter: options.delimiter,
    MaxKeys: options.firstEntries,
    ContinuationToken: continuationToken,
    // XML cannot carry every character that a key may hold.
    EncodingType: 'url',
  });
  let taken: ListingPage | undefined;
  // Between the connection and the SDK's own reading of the answer, which is left with what is not an entry.
  command.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      taken = await takeFrom(result.response as HttpAnswer);
      return result;
    },
    { step: 'deserialize', priority: 'low', name: 'takeEntries' },
  );
  const output = await client.send(command, { abortSignal: signal });
  return {
    page: decoded(taken ?? pageOf(output), output.EncodingType),
    continuationToken: output.IsTruncated === true ? output.NextContinuationToken : undefined,
  };
}

type HttpAnswer = { readonly statusCode: number; body: Readable | Uint8Array };

async function takeFrom(answer: HttpAnswer): Promise<ListingPage | undefined> {
  if (answer.statusCode !== 200 || !(answer.body instanceof Readable)) return undefined;
  const xml = await textOf(answer.body);
  const taken = takeEntries(xml);
  answer.body = Buffer.from(taken?.rest ?? xml);
  return taken?.page;
}

function pageOf(output: ListObjectsV2CommandOutput): ListingPage {
  const objects = (output.Contents ?? []).map(({ Key = '', Size = 0, LastModified, ETag = '' }) => ({
    key: Key,
    sizeBytes: Size,
    lastModified: LastModified ?? directoryModifiedAt,
    etag: ETag,
  }));
  return { objects, commonPrefixes: (output.CommonPrefixes ?? []).map(({ Prefix = '' }) => Prefix) };
}

/** Servers that do not know the encoding say so by not repeating it. */
function decoded(page: ListingPage, encodingType: string | undefined): ListingPage {
  if (encodingType !== 'url') return page;
  return {
    objects: page.objects.map((object) => ({ ...object, key: decodeKey(object.key) })),
    commonPrefixes: page.commonPrefixes.map(decodeKey),
  };
}

/** S3 encodes as forms do: a space arrives as `+`, a plus as `%2B`. */
function decodeKey(encoded: string): string {
  if (!/[%+]/.test(encoded)) return encoded;
  try {
    return decodeURIComponent(encoded.replaceAll('+', ' '));
  } catch {
    return encoded;
  }
}
