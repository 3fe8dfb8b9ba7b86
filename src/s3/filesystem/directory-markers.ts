/**
 * What keeps a directory there when its last file goes. S3 knows no directories: one is there as long as an object is
 * below it. A client that empties `/outbound` and finds it gone is a broken client, so the last object to go leaves a
 * marker behind: an empty object `outbound/`, as MKD and the consoles of S3 make it.
 *
 * One of these belongs to one session, and remembers what it has seen, so that most deletes ask nothing.
 */
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { attributesOfMarker } from './object-attributes.ts';
import { directoryPrefixOf } from './keys.ts';
import { isPreconditionFailed } from '../client/errors.ts';
import type { S3Storage } from '../s3-storage.ts';
import type { Home } from '../../users/user.ts';
import { isWithin, type Pathname } from '../../filesystem/pathname.ts';
import { listFirst } from '../client/list-objects.ts';

const maxRememberedMarkers = 1000;

export class DirectoryMarkers {
  readonly #storage: S3Storage;
  readonly #home: Home;
  readonly #marked = new Set<Pathname>();

  constructor(storage: S3Storage, home: Home) {
    this.#storage = storage;
    this.#home = home;
  }

  /** Puts the marker; false where there is one already. */
  async put(directory: Pathname): Promise<boolean> {
    const { bucket, prefix, storage } = this.#home;
    try {
      await this.#storage.client.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: directoryPrefixOf(prefix, directory),
          Body: new Uint8Array(),
          IfNoneMatch: '*',
          ...attributesOfMarker(storage),
        }),
      );
    } catch (error) {
      if (!isPreconditionFailed(error)) throw error;
      this.#remember(directory);
      return false;
    }
    this.#remember(directory);
    return true;
  }

  /**
   * Whether the directory would be gone together with one of its entries: no marker, and nothing else in it. One request,
   * and none for directories whose marker was seen.
   */
  async isLastEntry(directory: Pathname, departingKey: string, signal: AbortSignal): Promise<boolean> {
    if (directory === '/' || this.#marked.has(directory)) return false;
    const { bucket, prefix: homePrefix } = this.#home;
    const prefix = directoryPrefixOf(homePrefix, directory);
    const { objects, commonPrefixes } = await listFirst(this.#storage.client, {
      bucket,
      prefix,
      delimiter: '/',
      firstEntries: 2,
      signal,
    });
    const keys = [...objects.map(({ key }) => key), ...commonPrefixes];
    if (keys.includes(prefix)) this.#remember(directory);
    return keys.every((key) => key === departingKey);
  }

  /** To be called when the directory, with what is below it, was removed or moved away. */
  forget(directory: Pathname): void {
    for (const marked of this.#marked) if (isWithin(directory, marked)) this.#marked.delete(marked);
  }

  #remember(directory: Pathname): void {
    if (this.#marked.size >= maxRememberedMarkers) this.#marked.clear();
    this.#marked.add(directory);
  }
}
