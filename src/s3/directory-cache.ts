/**
 * A cache of which names in a directory are subdirectories, for uploads. In S3 a file `a` can exist beside `a/b`, so each upload
 * has to check. From the second upload into a directory on, one page of its listing serves all sessions for some seconds.
 */
import { type ListObjectsResponse, compareKeys, listPage } from './client/list-objects.ts';
import type { GatewayS3Client } from './client/s3-client.ts';
import { BoundedMap } from '../util/bounded-map.ts';

/**
 * How long a page is used. Without the cache, too, another program may make a directory between the check and the end of the
 * upload; docs/decisions/0005-names-and-trees.md describes the result.
 */
const freshMs = 10_000;

/** Requests that a page must have saved for another one to be read right after it. */
const minHits = 10;

/** Uploads that check for themselves after a page with too few hits, such as random names in a huge directory. */
const pauseUploads = 100;

/** Directories whose window is cached; each window has at most 1,000 names, and those that this process added. */
const maxDirectories = 64;

/** A window of a directory's listing, in order of key: a subdirectory that it does not contain did not exist when it was read. */
export class ListingWindow {
  /** It begins after this key; empty for the beginning of the listing. */
  readonly #after: string;
  /** It ends with this key; undefined for the end of the listing. */
  readonly #last: string | undefined;
  readonly #subdirectories: Set<string>;

  /** @param after the key after which the page was requested. */
  constructor(after: string, { page, continuationToken }: ListObjectsResponse) {
    const keys = [...page.objects.map(({ key }) => key), ...page.commonPrefixes].sort(compareKeys);
    const [first] = keys;
    // Servers that do not support `start-after` begin at the beginning.
    this.#after = first !== undefined && compareKeys(first, after) <= 0 ? '' : after;
    this.#last = continuationToken === undefined ? undefined : (keys.at(-1) ?? '');
    this.#subdirectories = new Set(page.commonPrefixes);
  }

  /** Whether it begins at the name that was checked, and not at the beginning of the directory. */
  get isTargeted(): boolean {
    return this.#after !== '';
  }

  get isWhole(): boolean {
    return this.#after === '' && this.#last === undefined;
  }

  /**
   * Whether the window would contain this subdirectory if it existed.
   * @param prefix the key prefix of the subdirectory, with its slash.
   */
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

/** The cached window of one directory, and the policy of reading it. */
class UploadDirectory {
  readonly #client: GatewayS3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  #window: ListingWindow | undefined;
  #reading: Promise<void> | undefined;
  /** Subdirectories added while a page is being read, which may not contain them. */
  #addedWhileReading = new Set<string>();
  #readAtMs = 0;
  #uploadedAtMs = Number.NEGATIVE_INFINITY;
  /** More than a page of entries. */
  #isLarge = false;
  #hits = 0;
  /** Uploads that still check for themselves before another page is read. */
  #pausedUploads = 0;

  constructor(client: GatewayS3Client, bucket: string, prefix: string) {
    this.#client = client;
    this.#bucket = bucket;
    this.#prefix = prefix;
  }

  mightContain(subdirectory: string, nowMs: number): boolean | Promise<boolean> {
    const isFirst = nowMs - this.#uploadedAtMs > freshMs;
    this.#uploadedAtMs = nowMs;
    if (nowMs - this.#readAtMs > freshMs) this.#window = undefined;
    if (!this.#window?.covers(subdirectory) && !isFirst) {
      if (!this.#reading && this.#isWorthReading()) this.#reading = this.#read(subdirectory, nowMs);
      if (this.#reading) return this.#reading.then(() => this.#inWindow(subdirectory));
    }
    return this.#inWindow(subdirectory);
  }

  #inWindow(subdirectory: string): boolean {
    if (!this.#window?.covers(subdirectory)) return true;
    this.#hits++;
    return this.#window.has(subdirectory);
  }

  add(subdirectory: string, nowMs: number): void {
    // A window that is not used any more must not grow without bound.
    if (nowMs - this.#readAtMs > freshMs) this.#window = undefined;
    this.#window?.add(subdirectory);
    if (this.#reading) this.#addedWhileReading.add(subdirectory);
  }

  /** After a page with too few hits no other page is read for some uploads. */
  #isWorthReading(): boolean {
    if (this.#window?.isTargeted === true && this.#hits < minHits && this.#pausedUploads === 0) {
      this.#pausedUploads = pauseUploads;
    }
    if (this.#pausedUploads === 0) return true;
    this.#pausedUploads--;
    return false;
  }

  /** Never rejects: on failure callers query S3 themselves. */
  async #read(subdirectory: string, nowMs: number): Promise<void> {
    // Most directories fit into one page; in larger ones names mostly arrive in order.
    const startAfter = this.#isLarge ? subdirectory.slice(0, -1) : '';
    try {
      const response = await listPage(this.#client, {
        bucket: this.#bucket,
        prefix: this.#prefix,
        delimiter: '/',
        startAfter: startAfter === '' ? undefined : startAfter,
      });
      this.#window = new ListingWindow(startAfter, response);
      for (const added of this.#addedWhileReading) this.#window.add(added);
      this.#isLarge ||= !this.#window.isWhole;
      // The time of the request: what was made during the request may be missing in the response.
      this.#readAtMs = nowMs;
      this.#hits = 0;
    } catch {
      this.#pausedUploads = pauseUploads;
    } finally {
      this.#addedWhileReading.clear();
      this.#reading = undefined;
    }
  }
}

/** The windows of all directories that uploads go to; shared by all sessions. */
export class DirectoryCache {
  readonly #client: GatewayS3Client;
  readonly #nowMs: () => number;
  readonly #directories = new BoundedMap<string, UploadDirectory>(maxDirectories);

  constructor(client: GatewayS3Client, nowMs: () => number = () => performance.now()) {
    this.#client = client;
    this.#nowMs = nowMs;
  }

  /**
   * False where `prefix` is certainly no subdirectory of `parent`; both end in a slash, except for the root of a bucket. True means
   * unknown: query S3. A promise only while a page is being read; it never rejects.
   */
  mightContain(bucket: string, parent: string, prefix: string): boolean | Promise<boolean> {
    const name = `${bucket}/${parent}`;
    const directory = this.#directories.get(name) ?? new UploadDirectory(this.#client, bucket, parent);
    // Set again at each use, so that the least recently used one is evicted.
    this.#directories.set(name, directory);
    return directory.mightContain(prefix, this.#nowMs());
  }

  /** Call it for each key that the gateway puts: the directories above it exist now, in every home. */
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
