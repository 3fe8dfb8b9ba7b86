/**
 * Listing and deleting in the embedded server's folder. Its own listing skips directories that hold nothing but
 * directories, forgets to count common prefixes and looks at the whole bucket each time; its own delete may take a folder
 * away under a concurrent upload.
 */
import { readdir, readFile, rmdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';

/** How the embedded server names the files it keeps for an object `name`. */
const suffixes = {
  object: '._S3rver_object',
  md5: '._S3rver_object.md5',
  metadata: '._S3rver_metadata.json',
};
const ownFolder = /^\._S3rver_/;

export type StoredObject = {
  readonly key: string;
  readonly sizeBytes: number;
  readonly lastModified: Date;
  /** MD5 in hexadecimal. */
  readonly md5: string;
};

export type StoredPage = {
  readonly objects: readonly StoredObject[];
  readonly commonPrefixes: readonly string[];
  /** The key or common prefix to go on after; absent on the last page. */
  readonly nextAfter?: string;
};

export type StoredListing = {
  readonly prefix: string;
  readonly delimiter: string | undefined;
  /** The key or common prefix that ended the page before. */
  readonly after: string;
  readonly mostEntries: number;
};

/** A page of a bucket's keys in the order of S3. The delimiter can only be `/`. */
export async function listStored(bucketFolder: string, listing: StoredListing): Promise<StoredPage> {
  const objects: StoredObject[] = [];
  const commonPrefixes: string[] = [];
  let last = '';
  for await (const key of keysOf(bucketFolder, listing, '')) {
    if (objects.length + commonPrefixes.length >= listing.mostEntries) {
      return { objects, commonPrefixes, nextAfter: last };
    }
    last = key;
    if (isCommonPrefix(key, listing)) commonPrefixes.push(key);
    else objects.push(await objectAt(bucketFolder, key));
  }
  return { objects, commonPrefixes };
}

/** Deletes an object, and the folders that it leaves empty. Deleting what is not there is no error. */
export async function deleteStored(bucketFolder: string, key: string): Promise<void> {
  for (const suffix of Object.values(suffixes)) await unlink(pathOf(bucketFolder, key, suffix)).catch(ignore);
  const segments = key.split('/').slice(0, -1);
  for (; segments.length > 0; segments.pop()) {
    // Fails where something is left, which is the point.
    const removed = await rmdir(join(bucketFolder, ...segments)).then(() => true, ignore);
    if (!removed) return;
  }
}

async function* keysOf(
  bucketFolder: string,
  listing: StoredListing,
  folderKey: string,
): AsyncGenerator<string> {
  const names = await readdir(join(bucketFolder, folderKey), { withFileTypes: true }).catch(() => []);
  const keys = names
    .filter((entry) => !(entry.isDirectory() && ownFolder.test(entry.name)))
    .map((entry) => keyOf(folderKey, entry.name, entry.isDirectory()))
    .filter((key) => key !== undefined)
    .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  for (const key of keys) {
    const isFolder = key.endsWith('/') && key !== folderKey;
    if (isFolder) yield* keysBelow(bucketFolder, listing, key);
    else if (key.startsWith(listing.prefix) && isAfter(key, listing.after)) yield key;
  }
}

async function* keysBelow(
  bucketFolder: string,
  listing: StoredListing,
  folder: string,
): AsyncGenerator<string> {
  const { prefix, after } = listing;
  if (!folder.startsWith(prefix) && !prefix.startsWith(folder)) return;
  if (!isCommonPrefix(folder, listing)) {
    // Everything below comes before `after`, unless `after` is itself below.
    if (isAfter(folder, after) || after.startsWith(folder)) yield* keysOf(bucketFolder, listing, folder);
    return;
  }
  if (!isAfter(folder, after) || after.startsWith(folder)) return;
  const anyBelow = { prefix: folder, delimiter: undefined, after: '', mostEntries: 1 };
  const { done } = await keysOf(bucketFolder, anyBelow, folder).next();
  if (!done) yield folder;
}

function isCommonPrefix(key: string, { prefix, delimiter }: StoredListing): boolean {
  return delimiter === '/' && key.startsWith(prefix) && key.slice(prefix.length).includes('/');
}

function isAfter(key: string, after: string): boolean {
  return after === '' || Buffer.compare(Buffer.from(key), Buffer.from(after)) > 0;
}

function keyOf(folderKey: string, name: string, isFolder: boolean): string | undefined {
  if (isFolder) return `${folderKey}${name}/`;
  return name.endsWith(suffixes.object) ? folderKey + name.slice(0, -suffixes.object.length) : undefined;
}

async function objectAt(bucketFolder: string, key: string): Promise<StoredObject> {
  const { size, mtime } = await stat(pathOf(bucketFolder, key, suffixes.object));
  const md5 = await readFile(pathOf(bucketFolder, key, suffixes.md5), 'utf8').catch(() => '');
  return { key, sizeBytes: size, lastModified: mtime, md5 };
}

function pathOf(bucketFolder: string, key: string, suffix: string): string {
  return join(bucketFolder, key + suffix);
}

function ignore(): false {
  return false;
}
