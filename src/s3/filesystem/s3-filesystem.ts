/**
 * A user's home in S3 as FTP sees it: files are objects, directories are prefixes. It decides what may be done; how it is
 * done in S3 is in `src/s3/`. What each call costs in requests: docs/decisions/0005-names-and-trees.md.
 */
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import { copyObject } from './copy.ts';
import { openS3Download } from '../download/download.ts';
import type { ResumePolicy } from '../upload/resumable-upload.ts';
import { keptTimesOf } from './file-times.ts';
import { DirectoryEntries, directoryModifiedAt } from './directory-entries.ts';
import { attributesOfUpload, modifiedAtOf } from './object-attributes.ts';
import type { ObjectHead } from '../client/object-headers.ts';
import { directoryPrefixOf } from './keys.ts';
import { renameDirectory, RenameFailure, renameObject } from './rename.ts';
import { withRetries } from '../client/retry.ts';
import { toFilesystemError, storageErrorEvent } from '../client/errors.ts';
import type { S3Storage } from '../s3-storage.ts';
import { storedChecksum } from './stored-checksum.ts';
import { openS3Upload } from '../upload/upload.ts';
import type { Home } from '../../users/user.ts';
import { CheckedUpload } from '../upload/checked-upload.ts';
import { digestOf, firstBytesOf } from '../../filesystem/digest.ts';
import { DirectoryMarkers } from './directory-markers.ts';
import type {
  CallOptions,
  ChecksumOptions,
  Download,
  DownloadOptions,
  Entry,
  FileTimes,
  Filesystem,
  ListOptions,
  Upload,
  UploadOptions,
} from '../../filesystem/filesystem.ts';
import { exists, FilesystemError, isADirectory, notFound } from '../../filesystem/filesystem-error.ts';
import { Lookup } from './lookup.ts';
import { ResumeOffers } from '../upload/resume-offers.ts';
import { isWithin, nameOf, parentOf, type Pathname } from '../../filesystem/pathname.ts';
import { listFirst, listPages, type ListedObject } from '../client/list-objects.ts';

/** The filesystem of one session: it remembers directories it has seen, to spare requests. */
export class S3Filesystem implements Filesystem {
  readonly #storage: S3Storage;
  readonly #home: Home;
  readonly #lookups: Lookup;
  readonly #markers: DirectoryMarkers;

  readonly #restarts: ResumeOffers | undefined;
  readonly #fileTimes: FileTimes;

  /**
   * @param resumption who may continue interrupted uploads, and for how long; nobody where absent.
   * @param fileTimes where it is `client`, a listing that shows times costs a HeadObject for each file.
   */
  constructor(storage: S3Storage, home: Home, resumption?: ResumePolicy, fileTimes: FileTimes = 'upload') {
    this.#storage = storage;
    this.#home = home;
    this.#fileTimes = fileTimes;
    this.#restarts =
      resumption && resumption.windowMs > 0 ? new ResumeOffers(storage, resumption) : undefined;
    this.#lookups = new Lookup(storage, home);
    this.#markers = new DirectoryMarkers(storage, home);
  }

  async stat(pathname: Pathname, { signal }: CallOptions): Promise<Entry> {
    return await this.#run('stat', signal, async () => {
      if (pathname === '/') return directoryEntry(pathname);
      const object = await this.#lookups.head(pathname, signal);
      if (object) return this.#fileEntry(pathname, object);
      if (await this.#lookups.isDirectory(pathname, signal)) return directoryEntry(pathname);
      throw notFound(pathname);
    });
  }

  async *list(directory: Pathname, options: ListOptions): AsyncGenerator<readonly Entry[]> {
    const { signal } = options;
    try {
      yield* this.#pages(directory, options);
    } catch (error) {
      throw this.#failureOf('list', error, signal);
    }
  }

  async openDownload(pathname: Pathname, { offsetBytes, signal }: DownloadOptions): Promise<Download> {
    return await this.#run('download', signal, async () => {
      try {
        return await openS3Download(this.#storage, {
          ...this.#lookups.object(pathname),
          offsetBytes,
          signal,
        });
      } catch (error) {
        if (!(error instanceof FilesystemError && error.kind === 'not-found')) throw error;
        throw await this.#lookups.fileNotFoundError(pathname, signal);
      }
    });
  }

  async resumableBytes(pathname: Pathname, { signal }: CallOptions): Promise<number | undefined> {
    const restarts = this.#restarts;
    if (!restarts || pathname === '/') return undefined;
    return await this.#run('stat', signal, () => restarts.advertise(this.#lookups.object(pathname), signal));
  }

  async openUpload(pathname: Pathname, options: UploadOptions): Promise<Upload> {
    return await this.#run('upload', options.signal, async () => {
      if (pathname === '/') throw isADirectory(pathname);
      const object = this.#lookups.object(pathname);
      // Asked while the data connection is being made; nothing is published before the answer is there.
      const check = this.#checkUpload(pathname, options);
      // Now, because the first part of it may already be on its way; and at its end, because that may be long after.
      this.#lookups.rememberKey(object.key);
      // Its failure is the upload's, thrown by whoever needs the answer first.
      check.catch(() => undefined);
      if (options.ifExists === 'refuse') await check;
      const attributes = attributesOfUpload(this.#home.storage, object.key);
      const restart = await this.#restarts?.forUpload(object, options);
      try {
        return new CheckedUpload(
          await openS3Upload(this.#storage, { ...object, ...options, attributes, ...restart }),
          check,
          () => this.#lookups.rememberKey(object.key),
        );
      } catch (error) {
        restart?.claim?.release();
        throw error;
      }
    });
  }

  async makeDirectory(pathname: Pathname, { signal }: CallOptions): Promise<void> {
    await this.#run('make-directory', signal, async () => {
      const marker = pathname === '/' ? '' : directoryPrefixOf(this.#home.prefix, pathname);
      await Promise.all([
        this.#lookups.assertNothingExists(pathname, signal),
        this.#lookups.assertNoFileAbove(pathname, signal),
      ]);
      if (!(await this.#markers.put(pathname))) throw exists(pathname);
      this.#lookups.rememberKey(marker);
    });
  }

  async removeDirectory(pathname: Pathname, { signal }: CallOptions): Promise<void> {
    await this.#run('remove-directory', signal, async () => {
      if (pathname === '/') throw new FilesystemError('permission-denied', 'the root cannot be removed');
      const marker = directoryPrefixOf(this.#home.prefix, pathname);
      const parent = parentOf(pathname);
      const [{ objects }, leavesNothing] = await Promise.all([
        listFirst(this.#storage.client, {
          bucket: this.#home.bucket,
          prefix: marker,
          firstEntries: 2,
          signal,
        }),
        this.#markers.isLastEntry(parent, marker, signal),
      ]);
      if (objects.length === 0) throw await this.#lookups.directoryNotFoundError(pathname, signal);
      if (objects.some(({ key }) => key !== marker)) {
        throw new FilesystemError('not-empty', `${pathname} has entries`);
      }
      if (leavesNothing) await this.#markers.put(parent);
      await this.#restarts?.supersedeBelow(this.#home.bucket, marker, signal);
      this.#markers.forget(pathname);
      await this.#delete(marker);
    });
  }

  async removeFile(pathname: Pathname, { signal }: CallOptions): Promise<void> {
    await this.#run('remove-file', signal, async () => {
      if (pathname === '/') throw isADirectory(pathname);
      const object = this.#lookups.object(pathname);
      const parent = parentOf(pathname);
      // SIZE shows an interrupted upload, so DELE can delete it, with a file of its name or without one.
      const [superseded, file, leavesNothing] = await Promise.all([
        this.#restarts?.supersede(object, signal),
        this.#lookups.head(pathname, signal),
        this.#markers.isLastEntry(parent, object.key, signal),
      ]);
      if (!file) {
        if (superseded) return;
        throw await this.#lookups.fileNotFoundError(pathname, signal);
      }
      if (leavesNothing) await this.#markers.put(parent);
      await this.#delete(object.key);
    });
  }

  async rename(from: Pathname, to: Pathname, { signal }: CallOptions): Promise<void> {
    await this.#run('rename', signal, async () => {
      if (from === '/') throw new FilesystemError('permission-denied', 'the root cannot be renamed');
      const source = await this.#lookups.head(from, signal);
      if (!source && !(await this.#lookups.isDirectory(from, signal))) throw notFound(from);
      if (from === to) return;
      if (to === '/') throw exists(to);
      try {
        await (source ? this.#renameFile(from, to, source, signal) : this.#renameDirectory(from, to, signal));
      } finally {
        this.#lookups.forgetDirectories();
      }
    });
  }

  async setModifiedAt(pathname: Pathname, modifiedAt: Date, { signal }: CallOptions): Promise<void> {
    await this.#run('set-modified-at', signal, async () => {
      if (this.#fileTimes === 'upload') {
        throw new FilesystemError('permission-denied', 'files show the time of their upload');
      }
      const source = await this.#lookups.getFile(pathname, signal);
      if (modifiedAtOf(source).getTime() === modifiedAt.getTime()) return;
      const { bucket, key } = this.#lookups.object(pathname);
      await copyObject(this.#storage.client, { bucket, from: key, to: key, source, modifiedAt });
      keptTimesOf(this.#storage).forget(bucket, key);
    });
  }

  async checksum(pathname: Pathname, options: ChecksumOptions): Promise<string> {
    const { algorithm, signal } = options;
    return await this.#run('checksum', signal, async () => {
      const object = await this.#lookups.getFile(pathname, signal);
      const sizeBytes = object.ContentLength ?? 0;
      const { startBytes = 0, endBytes = sizeBytes } = options;
      if (startBytes > endBytes || endBytes > sizeBytes) {
        throw new FilesystemError('invalid-offset', `${pathname} ends before the range`);
      }
      const stored = endBytes - startBytes === sizeBytes ? storedChecksum(object, algorithm) : undefined;
      if (stored !== undefined) return stored;
      const { content } = await openS3Download(this.#storage, {
        ...this.#lookups.object(pathname),
        offsetBytes: startBytes,
        signal,
      });
      return await digestOf(algorithm, firstBytesOf(content, endBytes - startBytes));
    });
  }

  async *#pages(
    directory: Pathname,
    { signal, isWanted, withTimes = true }: ListOptions,
  ): AsyncGenerator<readonly Entry[]> {
    const { bucket, prefix: homePrefix } = this.#home;
    const prefix = directoryPrefixOf(homePrefix, directory);
    const unlisted = new Set<string>();
    const entries = new DirectoryEntries(prefix, (key, reason) => {
      // A line for each of a million such keys helps nobody; the first of its kind in a listing tells enough.
      if (!unlisted.has(reason)) this.#storage.observe({ event: 'unlisted-object', bucket, key, reason });
      unlisted.add(reason);
    });
    let found = directory === '/';
    for await (const page of listPages(this.#storage.client, { bucket, prefix, delimiter: '/', signal })) {
      found ||= page.objects.length + page.commonPrefixes.length > 0;
      if (!found) throw await this.#lookups.directoryNotFoundError(directory, signal);
      const taken = entries.take(page);
      const wanted = isWanted ? taken.filter(({ name }) => isWanted(name)) : taken;
      const shown =
        withTimes && this.#fileTimes === 'client'
          ? await this.#withKeptTimes(prefix, wanted, page.objects, signal)
          : wanted;
      if (shown.length > 0) yield shown;
    }
  }

  /** The same entries with the times that `stat` has for them; those that are gone by now are left out. */
  async #withKeptTimes(
    prefix: string,
    entries: readonly Entry[],
    objects: readonly ListedObject[],
    signal: AbortSignal,
  ): Promise<readonly Entry[]> {
    const { bucket } = this.#home;
    const keys = new Set(entries.flatMap(({ name, type }) => (type === 'file' ? [prefix + name] : [])));
    const wanted = objects.filter(({ key }) => keys.has(key));
    let isReported = false;
    const times = await keptTimesOf(this.#storage).of(wanted, {
      bucket,
      signal,
      onRefused: (error) => {
        if (!isReported) this.#failureOf('list-times', error, signal);
        isReported = true;
      },
    });
    return entries.flatMap((entry) => {
      if (entry.type === 'directory') return [entry];
      const time = times.get(prefix + entry.name);
      return time ? [{ ...entry, ...time }] : [];
    });
  }

  async #renameFile(from: Pathname, to: Pathname, source: ObjectHead, signal: AbortSignal) {
    const { bucket, key: toKey } = this.#lookups.object(to);
    const { key: fromKey } = this.#lookups.object(from);
    const [leavesNothing] = await Promise.all([
      this.#isLeftEmptyBy(from, to, fromKey, signal),
      this.#lookups.assertNotDirectory(to, signal, exists),
      this.#lookups.assertNoFileAbove(to, signal),
    ]);
    if (leavesNothing) await this.#markers.put(parentOf(from));
    await this.#restarts?.supersede({ bucket, key: toKey }, signal);
    await renameObject(this.#storage.client, { bucket, from: fromKey, to: toKey, source });
  }

  async #renameDirectory(from: Pathname, to: Pathname, signal: AbortSignal) {
    if (isWithin(from, to)) {
      throw new FilesystemError('name-not-allowed', `${from} cannot move below itself`);
    }
    const { bucket, prefix } = this.#home;
    const [fromPrefix, toPrefix] = [directoryPrefixOf(prefix, from), directoryPrefixOf(prefix, to)];
    const [leavesNothing] = await Promise.all([
      this.#isLeftEmptyBy(from, to, fromPrefix, signal),
      this.#lookups.assertNothingExists(to, signal),
      this.#lookups.assertNoFileAbove(to, signal),
    ]);
    if (leavesNothing) await this.#markers.put(parentOf(from));
    await this.#restarts?.supersedeBelow(bucket, toPrefix, signal);
    this.#markers.forget(from);
    await renameDirectory(this.#storage.client, { bucket, from: fromPrefix, to: toPrefix, signal });
  }

  #fileEntry(pathname: Pathname, object: ObjectHead): Entry {
    return {
      name: nameOf(pathname),
      type: 'file',
      sizeBytes: object.ContentLength ?? 0,
      modifiedAt:
        this.#fileTimes === 'client' ? modifiedAtOf(object) : (object.LastModified ?? directoryModifiedAt),
    };
  }

  async #isLeftEmptyBy(from: Pathname, to: Pathname, departingKey: string, signal: AbortSignal) {
    const parent = parentOf(from);
    return parent !== parentOf(to) && (await this.#markers.isLastEntry(parent, departingKey, signal));
  }

  async #checkUpload(pathname: Pathname, { ifExists, signal }: UploadOptions): Promise<void> {
    const look = async (): Promise<void> => {
      await Promise.all([
        ifExists === 'refuse'
          ? this.#lookups.assertNothingExists(pathname, signal)
          : this.#lookups.assertNotDirectoryForUpload(pathname, signal),
        this.#lookups.assertNoFileAbove(pathname, signal),
      ]);
    };
    // With the patience of the upload itself: what a client has sent meanwhile must not be lost for want of this answer.
    await this.#run('upload', signal, () =>
      withRetries(look, { signal, operation: 'upload', retryTimeoutMs: this.#storage.retryTimeoutMs }),
    );
  }

  async #delete(key: string): Promise<void> {
    await this.#storage.client.send(new DeleteObjectCommand({ Bucket: this.#home.bucket, Key: key }));
  }

  async #run<Result>(operation: string, signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      throw this.#failureOf(operation, error, signal);
    }
  }

  /** What the caller is to catch: its own reason for aborting, a `FilesystemError`, or a defect as it came. */
  #failureOf(operation: string, error: unknown, signal: AbortSignal): unknown {
    if (signal.aborted) return signal.reason;
    if (error instanceof RenameFailure)
      return this.#failureOf(`${operation}, ${error.message}`, error.cause, signal);
    // What was tried for long comes here as a `FilesystemError` already, S3's own error behind it.
    const answer = error instanceof FilesystemError ? error.cause : error;
    const event = storageErrorEvent(answer, operation, this.#home.bucket);
    if (event) this.#storage.observe(event);
    return error instanceof FilesystemError ? error : toFilesystemError(error, operation);
  }
}

function directoryEntry(pathname: Pathname): Entry {
  return { name: nameOf(pathname), type: 'directory', sizeBytes: 0, modifiedAt: directoryModifiedAt };
}
