/**
 * Which names in a directory are subdirectories, for uploads that follow one another: S3 would let a file `a` be beside
 * `a/b`, so each upload has to ask. From the second one on a page of the directory's listing answers for its neighbours too,
 * in whichever session, for as long as an answer may be old.
 */
import { type ListObjectsResponse, compareKeys, listPage } from './client/list-objects.ts';
import type { GatewayS3Client } from './client/s3-client.ts';
import { BoundedMap } from '../util/bounded-map.ts';

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
  readonly #client: GatewayS3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  #window: ListingWindow | undefined;
  #reading: Promise<void> | undefined;
  /** While a page is on its way, which may not show them yet. */
  #addedMeanwhile = new Set<string>();
  #readAtMs = 0;
  #uploadedAtMs = Number.NEGATIVE_INFINITY;
  /** More than a page of entries. */
  #isLarge = false;
  #hits = 0;
  #pause = 0;

  constructor(client: GatewayS3Client, bucket: string, prefix: string) {
    this.#client = client;
    this.#bucket = bucket;
    this.#prefix = prefix;
  }

  async mightContain(subdirectory: string, nowMs: number): Promise<boolean> {
    const isFirst = nowMs - this.#uploadedAtMs > freshMs;
    this.#uploadedAtMs = nowMs;
    if (nowMs - this.#readAtMs > freshMs) this.#window = undefined;
    if (!this.#window?.covers(subdirectory) && !isFirst) {
      if (!this.#reading && this.#isWorthReading()) this.#reading = this.#read(subdirectory, nowMs);
      await this.#reading;
    }
    if (!this.#window?.covers(subdirectory)) return true;
    this.#hits++;
    return this.#window.has(subdirectory);
  }

  add(subdirectory: string, nowMs: number): void {
    // What is not asked for any more must not grow for ever.
    if (nowMs - this.#readAtMs > freshMs) this.#window = undefined;
    this.#window?.add(subdirectory);
    if (this.#reading) this.#addedMeanwhile.add(subdirectory);
  }

  /** A page that was read for neighbours that did not come is not followed by another one at once. */
  #isWorthReading(): boolean {
    if (this.#window?.isTargeted === true && this.#hits < minHits && this.#pause === 0) {
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
      const response = await listPage(this.#client, {
        bucket: this.#bucket,
        prefix: this.#prefix,
        delimiter: '/',
        startAfter: startAfter === '' ? undefined : startAfter,
      });
      this.#window = new ListingWindow(startAfter, response);
      for (const added of this.#addedMeanwhile) this.#window.add(added);
      this.#isLarge ||= !this.#window.isWhole;
      // From the question on: what others made while it was answered need not be in it.
      this.#readAtMs = nowMs;
      this.#hits = 0;
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
  readonly #client: GatewayS3Client;
  readonly #nowMs: () => number;
  readonly #directories = new BoundedMap<string, UploadDirectory>(maxDirectories);

  constructor(client: GatewayS3Client, nowMs: () => number = () => performance.now()) {
    this.#client = client;
    this.#nowMs = nowMs;
  }

  /**
   * False where `prefix` is surely no subdirectory of `parent`; both end in a slash, but for the root of a bucket. True means:
   * ask S3. Never rejects.
   */
  async mightContain(bucket: string, parent: string, prefix: string): Promise<boolean> {
    const name = `${bucket}/${parent}`;
    const directory = this.#directories.get(name) ?? new UploadDirectory(this.#client, bucket, parent);
    // Set again at each use, so that the least recently used one is evicted.
    this.#directories.set(name, directory);
    return await directory.mightContain(prefix, this.#nowMs());
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

  /** Call it after the gateway has renamed anything. */
  clear(): void {
    this.#directories.clear();
  }
}
