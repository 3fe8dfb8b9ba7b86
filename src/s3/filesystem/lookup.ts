/**
 * Finds out what exists at a pathname, with as few requests as possible: HeadObject for a file, ListObjectsV2 with one key for a
 * directory. Per session.
 */
import type { ObjectHead } from '../client/object-headers.ts';
import { directoryPrefixOf, fileKeyOf } from './keys.ts';
import { findObject } from '../client/operations.ts';
import { BoundedMap } from '../../util/bounded-map.ts';
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
import { listFirst } from '../client/list-objects.ts';

const maxRememberedDirectories = 1000;

/** What the caches cannot answer about the name of an upload. */
export type UploadDoubt = {
  /** Pending while a page of the directory's listing is being read. */
  readonly mightBeDirectory: boolean | Promise<boolean>;
};

/** Its methods reject with S3's own errors, or with a `FilesystemError` where the result of the lookup is one. */
export class Lookup {
  readonly #storage: S3Storage;
  readonly #home: Home;
  /** Directories for which there is no file of the same name. */
  readonly #notFiles = new BoundedMap<Pathname, true>(maxRememberedDirectories);

  constructor(storage: S3Storage, home: Home) {
    this.#storage = storage;
    this.#home = home;
  }

  /** @throws FilesystemError `exists` for a file or directory of this name, and for the root. */
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

  /**
   * What remains to be looked up before an upload may replace a file; undefined where the caches show that no directory of this name
   * and no file above it exists. A directory that another program has just made may be missed.
   */
  uploadDoubt(pathname: Pathname): UploadDoubt | undefined {
    const { parent, prefix } = this.#prefixesOf(pathname);
    const mightBeDirectory = this.#storage.directoryCache.mightContain(this.#home.bucket, parent, prefix);
    const isFree = mightBeDirectory === false && this.#unknownAbove(pathname).length === 0;
    return isFree ? undefined : { mightBeDirectory };
  }

  /** @throws FilesystemError `is-a-directory` for a directory of this name, or that of `assertNoFileAbove`. */
  async assertUploadable(pathname: Pathname, doubt: UploadDoubt, signal: AbortSignal): Promise<void> {
    const refuseDirectory = async (): Promise<void> => {
      const { mightBeDirectory } = doubt;
      const mightExist =
        typeof mightBeDirectory === 'boolean'
          ? mightBeDirectory
          : await untilAborted(mightBeDirectory, signal);
      if (mightExist) await this.assertNotDirectory(pathname, signal, isADirectory);
    };
    await Promise.all([refuseDirectory(), this.assertNoFileAbove(pathname, signal)]);
  }

  /** In S3 `a` and `a/b` can both exist; here a file has nothing below it. One request for each directory and session. */
  async assertNoFileAbove(pathname: Pathname, signal: AbortSignal): Promise<void> {
    await Promise.all(
      this.#unknownAbove(pathname).map(async (directory) => {
        if (await this.head(directory, signal)) {
          throw isAFile(directory);
        }
        this.#notFiles.set(directory, true);
      }),
    );
  }

  /** The attributes of a file; undefined where there is none. */
  async head(pathname: Pathname, signal: AbortSignal): Promise<ObjectHead | undefined> {
    return await findObject(this.#storage.client, { ...this.object(pathname), signal });
  }

  /** @throws FilesystemError `is-a-directory` or `not-found` where there is no file. */
  async getFile(pathname: Pathname, signal: AbortSignal): Promise<ObjectHead> {
    if (pathname === '/') throw isADirectory(pathname);
    const object = await this.head(pathname, signal);
    if (!object) throw await this.fileNotFoundError(pathname, signal);
    return object;
  }

  async isDirectory(pathname: Pathname, signal: AbortSignal): Promise<boolean> {
    const { bucket, key } = this.object(pathname);
    const prefix = `${key}/`;
    // A file's name may be too long for a directory.
    if (Buffer.byteLength(prefix) > maxNameBytes) return false;
    const { objects } = await listFirst(this.#storage.client, { bucket, prefix, maxEntries: 1, signal });
    return objects.length > 0;
  }

  /** The error for a pathname at which there is no file. */
  async fileNotFoundError(pathname: Pathname, signal: AbortSignal): Promise<FilesystemError> {
    return (await this.isDirectory(pathname, signal)) ? isADirectory(pathname) : notFound(pathname);
  }

  /** The error for a pathname at which there is no directory. */
  async directoryNotFoundError(pathname: Pathname, signal: AbortSignal): Promise<FilesystemError> {
    return (await this.head(pathname, signal)) ? isAFile(pathname) : notFound(pathname);
  }

  /** The bucket and key of the file at this pathname. */
  object(pathname: Pathname): { readonly bucket: string; readonly key: string } {
    return { bucket: this.#home.bucket, key: fileKeyOf(this.#home.prefix, pathname) };
  }

  /** The directories above that might be files. */
  #unknownAbove(pathname: Pathname): Pathname[] {
    const unknown: Pathname[] = [];
    for (let above = parentOf(pathname); above !== '/'; above = parentOf(above)) {
      if (!this.#notFiles.has(above)) unknown.push(above);
    }
    return unknown;
  }

  /** The prefixes of a directory by this name and of its parent. */
  #prefixesOf(pathname: Pathname): { readonly parent: string; readonly prefix: string } {
    const { prefix: home } = this.#home;
    return { parent: directoryPrefixOf(home, parentOf(pathname)), prefix: `${fileKeyOf(home, pathname)}/` };
  }
}
