/**
 * Listings: ListObjectsV2 page by page, with the next page under way while one is used, and never more than two held.
 */
import type { Entry } from '../../filesystem/filesystem.ts';
import { parseListObjects, type ListObjectsResponse } from '../client/list-objects.ts';
import { entryNameOf } from './keys.ts';
import type { GatewayS3Client } from '../client/s3-client.ts';

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
  readonly signal?: AbortSignal;
};

/**
 * A directory of S3 has no time of its own. One fixed time, rather than that of the request, keeps clients that compare
 * times from taking every directory for changed.
 */
export const directoryModifiedAt = new Date(0);

/** The pages of a listing, in order of key. Leaving the loop cancels the page under way. */
export async function* listPages(
  client: GatewayS3Client,
  options: ListingOptions,
): AsyncGenerator<ListingPage> {
  const left = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, left.signal]) : left.signal;
  try {
    let next: Promise<ListObjectsResponse> | undefined = listPage(client, { ...options, signal });
    while (next) {
      const answer: ListObjectsResponse = await next;
      const token = answer.continuationToken;
      next =
        token === undefined ? undefined : listPage(client, { ...options, continuationToken: token, signal });
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
  client: GatewayS3Client,
  options: ListingOptions & { /** At most 1,000. */ readonly firstEntries: number },
): Promise<ListingPage> {
  return (await listPage(client, options)).page;
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

type PageOptions = ListingOptions & {
  readonly firstEntries?: number;
  readonly continuationToken?: string | undefined;
  /** The key behind which the page begins. */
  readonly startAfter?: string;
};

/** One page, of up to 1,000 entries, from the beginning or from where the options say. */
export async function listPage(
  client: GatewayS3Client,
  { bucket, prefix, delimiter, firstEntries, continuationToken, startAfter, signal }: PageOptions,
): Promise<ListObjectsResponse> {
  const request = {
    method: 'GET',
    bucket,
    query: {
      'list-type': '2',
      prefix,
      delimiter,
      'max-keys': firstEntries?.toString(),
      'continuation-token': continuationToken,
      'start-after': startAfter,
      // XML cannot carry every character that a key may hold.
      'encoding-type': 'url',
    },
    signal,
  } as const;
  return parseListObjects(await client.direct.sendForResult(request, 'ListBucketResult'));
}
