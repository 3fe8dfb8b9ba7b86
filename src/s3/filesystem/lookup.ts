/**
 * What is at a pathname, asked of S3 with as few requests as the answer needs: HeadObject for a file, ListObjectsV2 with
 * one key for a directory. One of these belongs to one session.
 */
import type { ObjectHead } from '../client/object-headers.ts';
import { directoryPrefixOf, fileKeyOf } from './keys.ts';
import { findObjectAtOnce } from '../client/object-lookup.ts';
import type { S3Storage } from '../s3-storage.ts';
import { untilAborted } from '../../util/until-aborted.ts';
import type { Home } from '../../users/user.ts';
import {
  exists,
  type FilesystemError,
  isADirectory,
  isAFile,
  notFound,
} from '../../filesystem/filesystem-error.ts';
import { parentOf, type Pathname, maxNameBytes } from '../../filesystem/pathname.ts';
import { type DirectoryCache, directoryCacheOf } from '../directory-cache.ts';
import { listFirst } from '../client/list-objects.ts';

const maxRememberedKeys = 1000;

/** Rejections are S3's own errors, or a `FilesystemError` where the answer itself is one. */
export class Lookup {
  readonly #storage: S3Storage;
  readonly #home: Home;
  /** Directories that were seen not to be files as well. */
  readonly #notFiles = new Set<Pathname>();
  readonly #subdirectories: DirectoryCache;

  constructor(storage: S3Storage, home: Home) {
    this.#storage = storage;
    this.#home = home;
    this.#subdirectories = directoryCacheOf(storage);
  }

  async assertNothingExists(pathname: Pathname, signal: AbortSignal): Promise<void> {
    if (pathname === '/') throw exists(pathname);
    const refuseFile = async (): Promise<void> => {
      if (await this.head(pathname, signal)) throw exists(pathname);
    };
    await Promise.all([refuseFile(), this.assertNotDirectory(pathname, signal, exists)]);
  }

  async assertNotDirectory(
    pathname: Pathname,
    signal: AbortSignal,
    errorOf: (pathname: Pathname) => FilesystemError,
  ): Promise<void> {
    if (await this.isDirectory(pathname, signal)) throw errorOf(pathname);
  }

  /** The same for uploads, which come many at a time: a directory that was made within the last seconds may be missed. */
  async assertNotDirectoryForUpload(pathname: Pathname, signal: AbortSignal): Promise<void> {
    const { parent, prefix } = this.#placeOf(pathname);
    const answer = this.#subdirectories.mightContain(this.#home.bucket, parent, prefix);
    if (!(await untilAborted(answer, signal))) return;
    await this.assertNotDirectory(pathname, signal, isADirectory);
  }

  /** To be called when the session puts a file, or the marker of a directory. */
  rememberKey(key: string): void {
    this.#subdirectories.add(this.#home.bucket, key);
  }

  /** To be called after the session has moved things about. */
  forgetDirectories(): void {
    this.#subdirectories.forget();
  }

  /** S3 lets `a` and `a/b` both be; here a file has nothing below it. One request for a directory and session. */
  async assertNoFileAbove(pathname: Pathname, signal: AbortSignal): Promise<void> {
    const unknown: Pathname[] = [];
    for (let above = parentOf(pathname); above !== '/'; above = parentOf(above)) {
      if (!this.#notFiles.has(above)) unknown.push(above);
    }
    await Promise.all(
      unknown.map(async (directory) => {
        if (await this.head(directory, signal)) {
          throw isAFile(directory);
        }
        this.#rememberNotFile(directory);
      }),
    );
  }

  async head(pathname: Pathname, signal: AbortSignal): Promise<ObjectHead | undefined> {
    return await findObjectAtOnce(this.#storage, { ...this.object(pathname), signal });
  }

  async getFile(pathname: Pathname, signal: AbortSignal): Promise<ObjectHead> {
    if (pathname === '/') throw isADirectory(pathname);
    const object = await this.head(pathname, signal);
    if (!object) throw await this.fileNotFoundError(pathname, signal);
    return object;
  }

  async isDirectory(pathname: Pathname, signal: AbortSignal): Promise<boolean> {
    const { bucket, key } = this.object(pathname);
    const prefix = `${key}/`;
    // A file's name may be so long that no directory can have it.
    if (Buffer.byteLength(prefix) > maxNameBytes) return false;
    const { objects } = await listFirst(this.#storage.client, { bucket, prefix, firstEntries: 1, signal });
    return objects.length > 0;
  }

  async fileNotFoundError(pathname: Pathname, signal: AbortSignal): Promise<FilesystemError> {
    return (await this.isDirectory(pathname, signal)) ? isADirectory(pathname) : notFound(pathname);
  }

  async directoryNotFoundError(pathname: Pathname, signal: AbortSignal): Promise<FilesystemError> {
    return (await this.head(pathname, signal)) ? isAFile(pathname) : notFound(pathname);
  }

  object(pathname: Pathname): { readonly bucket: string; readonly key: string } {
    return { bucket: this.#home.bucket, key: fileKeyOf(this.#home.prefix, pathname) };
  }

  /** Of a directory by this name, and of the directory that it would be in. */
  #placeOf(pathname: Pathname): { readonly parent: string; readonly prefix: string } {
    const { prefix: home } = this.#home;
    return { parent: directoryPrefixOf(home, parentOf(pathname)), prefix: `${fileKeyOf(home, pathname)}/` };
  }

  #rememberNotFile(directory: Pathname): void {
    if (this.#notFiles.size >= maxRememberedKeys) this.#notFiles.clear();
    this.#notFiles.add(directory);
  }
}
