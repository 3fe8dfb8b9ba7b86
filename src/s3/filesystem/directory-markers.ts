/**
 * Keeps a directory when its last file is removed. S3 has no directories: one exists as long as an object is below it. Clients
 * that empty `/outbound` expect it to remain, so removing the last object first puts a marker: an empty object `outbound/`, as
 * MKD and the S3 console make it.
 *
 * Per session. It remembers the markers it has seen, so that most deletes need no extra request.
 */
import { attributesOfMarker } from './object-attributes.ts';
import { directoryPrefixOf } from './keys.ts';
import { isConflict } from '../client/errors.ts';
import { emptyObject, putObject } from '../client/operations.ts';
import { BoundedMap } from '../../util/bounded-map.ts';
import type { S3Storage } from '../s3-storage.ts';
import type { Home } from '../../users/user.ts';
import { isWithin, type Pathname } from '../../filesystem/pathname.ts';
import { listFirst } from '../client/list-objects.ts';

const maxRememberedMarkers = 1000;

export class DirectoryMarkers {
  readonly #storage: S3Storage;
  readonly #home: Home;
  readonly #marked = new BoundedMap<Pathname, true>(maxRememberedMarkers);

  constructor(storage: S3Storage, home: Home) {
    this.#storage = storage;
    this.#home = home;
  }

  /** Puts the marker; false where it exists already. */
  async put(directory: Pathname): Promise<boolean> {
    const { bucket, prefix, storage } = this.#home;
    try {
      await putObject(this.#storage.client, {
        bucket,
        key: directoryPrefixOf(prefix, directory),
        ...emptyObject,
        attributes: attributesOfMarker(storage),
        conditions: { IfNoneMatch: '*' },
      });
    } catch (error) {
      if (!isConflict(error)) throw error;
      this.#marked.set(directory, true);
      return false;
    }
    this.#marked.set(directory, true);
    return true;
  }

  /**
   * Whether the directory would disappear with one of its entries: it has no marker and no other entry. Costs one request, or none
   * for directories whose marker was seen.
   */
  async isLastEntry(directory: Pathname, departingKey: string, signal: AbortSignal): Promise<boolean> {
    if (directory === '/' || this.#marked.has(directory)) return false;
    const { bucket, prefix: homePrefix } = this.#home;
    const prefix = directoryPrefixOf(homePrefix, directory);
    const { objects, commonPrefixes } = await listFirst(this.#storage.client, {
      bucket,
      prefix,
      delimiter: '/',
      maxEntries: 2,
      signal,
    });
    const keys = [...objects.map(({ key }) => key), ...commonPrefixes];
    if (keys.includes(prefix)) this.#marked.set(directory, true);
    return keys.every((key) => key === departingKey);
  }

  /** Call it when the directory, with everything below it, was removed or renamed. */
  forget(directory: Pathname): void {
    for (const marked of this.#marked.keys()) if (isWithin(directory, marked)) this.#marked.delete(marked);
  }
}
