/** Turns the listing pages of one directory into entries: names that FTP can express, each once. Pure. */
import type { Entry } from '../../filesystem/filesystem.ts';
import { compareKeys, type ListedObject, type ListingPage } from '../client/list-objects.ts';
import { entryNameOf } from './keys.ts';

/**
 * A directory in S3 has no time. One fixed time, rather than that of the request, because clients that compare times would
 * otherwise consider every directory changed.
 */
export const directoryModifiedAt = new Date(0);

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
   * Keys of files with which a later common prefix may collide. In order of key, `a/` may come pages after `a`, but every key
   * between them begins with `a`. So only files whose key is a prefix of the current key are kept.
   */
  readonly #filesBefore: string[] = [];
  #lastCommonPrefix = '';

  constructor(prefix: string, onUnlisted: (key: string, reason: 'name' | 'hidden-by-file') => void) {
    this.#prefix = prefix;
    this.#onUnlisted = onUnlisted;
  }

  /** The entries of the next page, ordered by name. */
  read({ objects, commonPrefixes }: ListingPage): Entry[] {
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
    this.#keepFilesThatBegin(key);
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
    this.#keepFilesThatBegin(commonPrefix);
    if (this.#filesBefore.includes(commonPrefix.slice(0, -1))) {
      this.#onUnlisted(commonPrefix, 'hidden-by-file');
      return undefined;
    }
    return { name, type: 'directory', sizeBytes: 0, modifiedAt: directoryModifiedAt };
  }

  #keepFilesThatBegin(key: string): void {
    for (let last = this.#filesBefore.at(-1); last !== undefined; last = this.#filesBefore.at(-1)) {
      if (key.startsWith(last)) return;
      this.#filesBefore.pop();
    }
  }
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
