/**
 * A user's home in S3 as a filesystem: files are objects, directories are prefixes. It decides what is allowed and which requests it
 * takes; docs/decisions/0005-names-and-trees.md lists the requests of each call.
 */
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import { checksumOf } from './checksum.ts';
import { copyObject } from './copy.ts';
import { openS3Download } from '../download/download.ts';
import type { ResumePolicy } from '../upload/resumable-upload.ts';
import { findObject } from '../client/operations.ts';
import { FilesystemCalls } from './filesystem-calls.ts';
import { FileTimeLookup } from './file-times.ts';
import { listDirectory } from './list-directory.ts';
import { directoryModifiedAt } from './directory-entries.ts';
import { attributesOfUpload, modifiedAtOf } from './object-attributes.ts';
import type { ObjectHead } from '../client/object-headers.ts';
import { directoryPrefixOf } from './keys.ts';
import { renameDirectoryEntry, renameFileEntry } from './rename-entry.ts';
import { withRetries } from '../client/retry.ts';
import type { S3Storage } from '../s3-storage.ts';
import { openS3Upload } from '../upload/upload.ts';
import type { Home } from '../../users/user.ts';
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
  StorageLocation,
  Upload,
  UploadOptions,
} from '../../filesystem/filesystem.ts';
import { exists, FilesystemError, isADirectory, notFound } from '../../filesystem/filesystem-error.ts';
import { Lookup } from './lookup.ts';
import { ResumeOffers } from '../upload/resume-offers.ts';
import { nameOf, parentOf, type Pathname } from '../../filesystem/pathname.ts';
import { listFirst } from '../client/list-objects.ts';

/** One for each session: it remembers the directories, markers and resumable uploads that this session has seen. */
export class S3Filesystem implements Filesystem {
  readonly #storage: S3Storage;
  readonly #home: Home;
  /** Whose share of the transfer memory is used. */
  readonly #user: string;
  readonly #lookup: Lookup;
  readonly #markers: DirectoryMarkers;
  readonly #resumeOffers: ResumeOffers | undefined;
  /** Undefined where files show the time of their upload. */
  readonly #fileTimes: FileTimeLookup | undefined;
  readonly #calls: FilesystemCalls;

  /**
   * @param resumePolicy who may resume broken uploads, and for how long; no upload can be resumed where absent. Its owner's
   * transfers share the transfer memory, those of the home where absent.
   * @param fileTimes where it is `client`, a listing that shows times costs a HeadObject for each file.
   * @param sessionId for events about the storage.
   */
  constructor(
    storage: S3Storage,
    home: Home,
    resumePolicy?: ResumePolicy,
    fileTimes: FileTimes = 'upload',
    sessionId?: string,
  ) {
    this.#storage = storage;
    this.#calls = new FilesystemCalls(storage, home.bucket, sessionId);
    this.#home = home;
    this.#user = resumePolicy?.owner ?? `${home.bucket}/${home.prefix}`;
    this.#fileTimes =
      fileTimes === 'client'
        ? new FileTimeLookup(
            // One object may be refused permanently (its KMS key, a policy), and a listing has many.
            (object) => findObject(storage.client, { ...object, retry: true, refusedTimeoutMs: 0 }),
            storage.fileTimeCache,
          )
        : undefined;
    this.#resumeOffers =
      resumePolicy && resumePolicy.windowMs > 0 ? new ResumeOffers(storage, resumePolicy) : undefined;
    this.#lookup = new Lookup(storage, home);
    this.#markers = new DirectoryMarkers(storage, home);
  }

  locate(pathname: Pathname): StorageLocation {
    const { bucket, prefix } = this.#home;
    return { bucket, key: prefix + pathname.slice(1) };
  }

  async stat(pathname: Pathname, options: CallOptions): Promise<Entry> {
    const { signal } = options;
    return await this.#calls.run('stat', options, async () => {
      if (pathname === '/') return directoryEntry(pathname);
      const object = await this.#lookup.head(pathname, signal);
      if (object) return this.#fileEntry(pathname, object);
      if (await this.#lookup.isDirectory(pathname, signal)) return directoryEntry(pathname);
      throw notFound(pathname);
    });
  }

  async *list(directory: Pathname, options: ListOptions): AsyncGenerator<readonly Entry[]> {
    const call = this.#calls.of(options);
    const pages = listDirectory(
      {
        storage: this.#storage,
        home: this.#home,
        lookup: this.#lookup,
        fileTimes: this.#fileTimes,
      },
      directory,
      options,
    );
    try {
      // A generator runs in the context of its reader, so each page is requested as part of the call.
      for (;;) {
        const page = await call.run(() => pages.next());
        if (page.done === true) return;
        yield page.value;
      }
    } catch (error) {
      throw call.run(() => this.#calls.failureOf('list', error, options.signal));
    } finally {
      await pages.return(undefined);
    }
  }

  async openDownload(pathname: Pathname, options: DownloadOptions): Promise<Download> {
    const { offsetBytes, signal } = options;
    return await this.#calls.run('download', options, async () => {
      try {
        return await openS3Download(this.#storage, {
          ...this.#lookup.object(pathname),
          offsetBytes,
          user: this.#user,
          signal,
        });
      } catch (error) {
        if (!(error instanceof FilesystemError && error.kind === 'not-found')) throw error;
        throw await this.#lookup.fileNotFoundError(pathname, signal);
      }
    });
  }

  async resumableBytes(pathname: Pathname, options: CallOptions): Promise<number | undefined> {
    const { signal } = options;
    const resumeOffers = this.#resumeOffers;
    if (!resumeOffers || pathname === '/') return undefined;
    return await this.#calls.run('stat', options, () =>
      resumeOffers.advertise(this.#lookup.object(pathname), signal),
    );
  }

  async openUpload(pathname: Pathname, options: UploadOptions): Promise<Upload> {
    return await this.#calls.run('upload', options, async () => {
      if (pathname === '/') throw isADirectory(pathname);
      const object = this.#lookup.object(pathname);
      // Checked while the data connection is being opened; nothing is committed before the result is known.
      const precondition = this.#checkUpload(pathname, options);
      // The upload makes the directories above it; its commit, which may be long after, adds them again.
      this.#storage.directoryCache.add(object.bucket, object.key);
      // The commit throws its failure.
      precondition?.catch(() => undefined);
      // The one lookup for a name that must be free, before the client sends anything; the commit itself is conditional.
      if (options.ifExists === 'refuse') await precondition;
      const attributes = attributesOfUpload(this.#home.storage, object.key);
      const resume = await this.#resumeOffers?.forUpload(object, options);
      try {
        return await openS3Upload(this.#storage, {
          ...object,
          ...options,
          attributes,
          precondition,
          user: this.#user,
          ...resume,
        });
      } catch (error) {
        resume?.claim?.release();
        throw error;
      }
    });
  }

  async makeDirectory(pathname: Pathname, options: CallOptions): Promise<void> {
    const { signal } = options;
    await this.#calls.run('make-directory', options, async () => {
      const marker = pathname === '/' ? '' : directoryPrefixOf(this.#home.prefix, pathname);
      await Promise.all([
        this.#lookup.assertNothingExists(pathname, signal),
        this.#lookup.assertNoFileAbove(pathname, signal),
      ]);
      if (!(await this.#markers.put(pathname))) throw exists(pathname);
      this.#storage.directoryCache.add(this.#home.bucket, marker);
    });
  }

  async removeDirectory(pathname: Pathname, options: CallOptions): Promise<void> {
    const { signal } = options;
    await this.#calls.run('remove-directory', options, async () => {
      if (pathname === '/') throw new FilesystemError('permission-denied', 'the root cannot be removed');
      const marker = directoryPrefixOf(this.#home.prefix, pathname);
      const parent = parentOf(pathname);
      const [{ objects }, leavesParentEmpty] = await Promise.all([
        listFirst(this.#storage.client, {
          bucket: this.#home.bucket,
          prefix: marker,
          maxEntries: 2,
          signal,
        }),
        this.#markers.isLastEntry(parent, marker, signal),
      ]);
      if (objects.length === 0) throw await this.#lookup.directoryNotFoundError(pathname, signal);
      if (objects.some(({ key }) => key !== marker)) {
        throw new FilesystemError('not-empty', `${pathname} has entries`);
      }
      if (leavesParentEmpty) await this.#markers.put(parent);
      await this.#resumeOffers?.supersedeBelow(this.#home.bucket, marker, signal);
      this.#markers.forget(pathname);
      await this.#delete(marker);
    });
  }

  async removeFile(pathname: Pathname, options: CallOptions): Promise<void> {
    const { signal } = options;
    await this.#calls.run('remove-file', options, async () => {
      if (pathname === '/') throw isADirectory(pathname);
      const object = this.#lookup.object(pathname);
      const parent = parentOf(pathname);
      // SIZE shows a resumable upload, so DELE can delete it, whether a file of its name exists or not.
      const [superseded, file, leavesParentEmpty] = await Promise.all([
        this.#resumeOffers?.supersede(object, signal),
        this.#lookup.head(pathname, signal),
        this.#markers.isLastEntry(parent, object.key, signal),
      ]);
      if (!file) {
        if (superseded) return;
        throw await this.#lookup.fileNotFoundError(pathname, signal);
      }
      if (leavesParentEmpty) await this.#markers.put(parent);
      await this.#delete(object.key);
    });
  }

  async rename(from: Pathname, to: Pathname, options: CallOptions): Promise<void> {
    const { signal } = options;
    await this.#calls.run('rename', options, async () => {
      if (from === '/') throw new FilesystemError('permission-denied', 'the root cannot be renamed');
      const source = await this.#lookup.head(from, signal);
      if (!source && !(await this.#lookup.isDirectory(from, signal))) throw notFound(from);
      if (from === to) return;
      if (to === '/') throw exists(to);
      const context = {
        storage: this.#storage,
        home: this.#home,
        lookup: this.#lookup,
        markers: this.#markers,
        resumeOffers: this.#resumeOffers,
      };
      try {
        await (source
          ? renameFileEntry(context, { from, to, signal }, source)
          : renameDirectoryEntry(context, { from, to, signal }));
      } finally {
        this.#storage.directoryCache.clear();
      }
    });
  }

  async setModifiedAt(pathname: Pathname, modifiedAt: Date, options: CallOptions): Promise<void> {
    const { signal } = options;
    await this.#calls.run('set-modified-at', options, async () => {
      if (!this.#fileTimes) {
        throw new FilesystemError('permission-denied', 'files show the time of their upload');
      }
      const source = await this.#lookup.getFile(pathname, signal);
      if (modifiedAtOf(source).getTime() === modifiedAt.getTime()) return;
      const { bucket, key } = this.#lookup.object(pathname);
      await copyObject(this.#storage.client, { bucket, from: key, to: key, source, modifiedAt });
      this.#storage.fileTimeCache.delete(bucket, key);
    });
  }

  async checksum(pathname: Pathname, options: ChecksumOptions): Promise<string> {
    return await this.#calls.run('checksum', options, async () => {
      const head = await this.#lookup.getFile(pathname, options.signal);
      const source = { ...this.#lookup.object(pathname), head, user: this.#user };
      return await checksumOf(this.#storage, source, options);
    });
  }

  #fileEntry(pathname: Pathname, object: ObjectHead): Entry {
    return {
      name: nameOf(pathname),
      type: 'file',
      sizeBytes: object.ContentLength ?? 0,
      modifiedAt: this.#fileTimes ? modifiedAtOf(object) : (object.LastModified ?? directoryModifiedAt),
    };
  }

  /** Undefined where it is known already that the upload is allowed. */
  #checkUpload(pathname: Pathname, options: UploadOptions): Promise<void> | undefined {
    const { ifExists, signal } = options;
    const doubt = ifExists === 'refuse' ? 'any entry' : this.#lookup.uploadDoubt(pathname);
    if (!doubt) return undefined;
    const check = async (): Promise<void> => {
      if (doubt !== 'any entry') await this.#lookup.assertUploadable(pathname, doubt, signal);
      else {
        await Promise.all([
          this.#lookup.assertNothingExists(pathname, signal),
          this.#lookup.assertNoFileAbove(pathname, signal),
        ]);
      }
    };
    // Retried as long as the upload itself, so that a transient failure does not lose what the client has sent meanwhile.
    return this.#calls.run('upload', options, () =>
      withRetries(check, {
        signal,
        operation: 'upload',
        client: this.#storage.client,
      }),
    );
  }

  async #delete(key: string): Promise<void> {
    await this.#storage.client.send(new DeleteObjectCommand({ Bucket: this.#home.bucket, Key: key }));
  }
}

function directoryEntry(pathname: Pathname): Entry {
  return { name: nameOf(pathname), type: 'directory', sizeBytes: 0, modifiedAt: directoryModifiedAt };
}
