/**
 * Which names in a directory are subdirectories, for uploads that follow one another: S3 would let a file `a` be beside
 * `a/b`, so each upload has to ask. From the second one on a page of the directory's listing answers for its neighbours too,
 * in whichever session, for as long as an answer may be old.
 */
import { type ListObjectsResponse, compareKeys, listPage } from './client/list-objects.ts';
import type { S3Storage } from './s3-storage.ts';

/**
 * For so long a page is believed. Without it, too, somebody may make a directory between the question and the end of the
 * upload; what comes of it is told in docs/decisions/0005-names-and-trees.md.
 */
const freshMs = 10_000;

/** A page must have spared this many requests for another one to be read at once. */
const minHits = 10;

/** Uploads that ask for themselves after a page that was not worthwhile, such as names at random in a huge directory. */
const pauseUploads = 100;

/** Directories that are known at a time; at most 1,000 names each. */
const maxDirectories = 64;

/** A stretch of a directory's listing, in order of key: a subdirectory that it does not show was none when it was read. */
export class ListingWindow {
  /** Everything behind this key; empty for the beginning. */
  readonly #after: string;
  /** Up to and including this key; undefined for the end. */
  readonly #last: string | undefined;
  readonly #subdirectories: Set<string>;

  /** @param after the key behind which the server was asked to begin. */
  constructor(after: string, { page, continuationToken }: ListObjectsResponse) {
    const keys = [...page.objects.map(({ key }) => key), ...page.commonPrefixes].sort(compareKeys);
    const [first] = keys;
    // Servers that do not know `start-after` begin at the beginning.
    this.#after = first !== undefined && compareKeys(first, after) <= 0 ? '' : after;
    this.#last = continuationToken === undefined ? undefined : (keys.at(-1) ?? '');
    this.#subdirectories = new Set(page.commonPrefixes);
  }

  /** Whether it was read for one name and those behind it. */
  get isTargeted(): boolean {
    return this.#after !== '';
  }

  get isWhole(): boolean {
    return this.#after === '' && this.#last === undefined;
  }

  /** @param prefix the subdirectory's, with its slash. */
  covers(prefix: string): boolean {
    if (compareKeys(prefix, this.#after) <= 0) return false;
    return this.#last === undefined || compareKeys(prefix, this.#last) <= 0;
  }

  has(prefix: string): boolean {
    return this.#subdirectories.has(prefix);
  }

  add(prefix: string): void {
    this.#subdirectories.add(prefix);
  }
}

/** What is known of one directory. */
class UploadDirectory {
  readonly #storage: S3Storage;
  readonly #bucket: string;
  readonly #prefix: string;
  #stretch: ListingWindow | undefined;
  #reading: Promise<void> | undefined;
  /** While a page is on its way, which may not show them yet. */
  #addedMeanwhile = new Set<string>();
  #readAtMs = 0;
  #uploadedAtMs = Number.NEGATIVE_INFINITY;
  /** More than a page of entries. */
  #isLarge = false;
  #spared = 0;
  #pause = 0;

  constructor(storage: S3Storage, bucket: string, prefix: string) {
    this.#storage = storage;
    this.#bucket = bucket;
    this.#prefix = prefix;
  }

  async mayHave(subdirectory: string, nowMs: number): Promise<boolean> {
    const isFirst = nowMs - this.#uploadedAtMs > freshMs;
    this.#uploadedAtMs = nowMs;
    if (nowMs - this.#readAtMs > freshMs) this.#stretch = undefined;
    if (!this.#stretch?.covers(subdirectory) && !isFirst) {
      if (!this.#reading && this.#isWorthReading()) this.#reading = this.#read(subdirectory, nowMs);
      await this.#reading;
    }
    if (!this.#stretch?.covers(subdirectory)) return true;
    this.#spared++;
    return this.#stretch.has(subdirectory);
  }

  add(subdirectory: string, nowMs: number): void {
    // What is not asked for any more must not grow for ever.
    if (nowMs - this.#readAtMs > freshMs) this.#stretch = undefined;
    this.#stretch?.add(subdirectory);
    if (this.#reading) this.#addedMeanwhile.add(subdirectory);
  }

  /** A page that was read for neighbours that did not come is not followed by another one at once. */
  #isWorthReading(): boolean {
    if (this.#stretch?.isTargeted === true && this.#spared < minHits && this.#pause === 0) {
      this.#pause = pauseUploads;
    }
    if (this.#pause === 0) return true;
    this.#pause--;
    return false;
  }

  /** Never rejects: whoever learns nothing here asks S3 for itself, and hears of its failure. */
  async #read(subdirectory: string, nowMs: number): Promise<void> {
    // Most directories fit into one page; in those that do not, names mostly come in their order.
    const startAfter = this.#isLarge ? subdirectory.slice(0, -1) : '';
    try {
      const answer = await listPage(this.#storage.client, {
        bucket: this.#bucket,
        prefix: this.#prefix,
        delimiter: '/',
        ...(startAfter !== '' && { startAfter }),
      });
      this.#stretch = new ListingWindow(startAfter, answer);
      for (const added of this.#addedMeanwhile) this.#stretch.add(added);
      this.#isLarge ||= !this.#stretch.isWhole;
      // From the question on: what others made while it was answered need not be in it.
      this.#readAtMs = nowMs;
      this.#spared = 0;
    } catch {
      this.#pause = pauseUploads;
    } finally {
      this.#addedMeanwhile.clear();
      this.#reading = undefined;
    }
  }
}

/** What is known of the directories that are uploaded into. */
export class DirectoryCache {
  readonly #storage: S3Storage;
  readonly #nowMs: () => number;
  readonly #directories = new Map<string, UploadDirectory>();

  constructor(storage: S3Storage, nowMs: () => number = () => performance.now()) {
    this.#storage = storage;
    this.#nowMs = nowMs;
  }

  /**
   * False where `prefix` is surely no subdirectory of `parent`; both end in a slash, but for the root of a bucket. True means:
   * ask S3. Never rejects.
   */
  async mightContain(bucket: string, parent: string, prefix: string): Promise<boolean> {
    const name = `${bucket}/${parent}`;
    const directory = this.#directories.get(name) ?? new UploadDirectory(this.#storage, bucket, parent);
    // The one that was used last is forgotten last.
    this.#directories.delete(name);
    this.#directories.set(name, directory);
    const [oldest] = this.#directories.keys();
    if (this.#directories.size > maxDirectories && oldest !== undefined) this.#directories.delete(oldest);
    return await directory.mayHave(prefix, this.#nowMs());
  }

  /** To be called for each key that the gateway puts: the directories that it lies in are there now, in every home. */
  add(bucket: string, key: string): void {
    if (this.#directories.size === 0) return;
    let parent = '';
    for (let slash = key.indexOf('/'); slash >= 0; slash = key.indexOf('/', slash + 1)) {
      const prefix = key.slice(0, slash + 1);
      this.#directories.get(`${bucket}/${parent}`)?.add(prefix, this.#nowMs());
      parent = prefix;
    }
  }

  /** To be called after the gateway has moved things about. */
  forget(): void {
    this.#directories.clear();
  }
}

const known = new WeakMap<S3Storage, DirectoryCache>();

/** What all sessions on this storage know together. */
export function directoryCacheOf(storage: S3Storage): DirectoryCache {
  let subdirectories = known.get(storage);
  if (!subdirectories) known.set(storage, (subdirectories = new DirectoryCache(storage)));
  return subdirectories;
}
