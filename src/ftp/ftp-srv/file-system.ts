/**
 * Adapts a filesystem to ftp-srv's own `FileSystem`, for programs that run ftp-srv 4.6.3 as published: resolve its `login`
 * event with `{ fs: new FtpSrvFileSystem(new S3Filesystem(storage, home)) }`. The gateway itself does not use it.
 */
import { randomUUID } from 'node:crypto';
import { Readable, Writable } from 'node:stream';
import type { FileSystem, FtpConnection } from 'ftp-srv';
import type { Entry, Filesystem, Upload } from '../../filesystem/filesystem.ts';
import { FilesystemError, type FilesystemErrorKind } from '../../filesystem/filesystem-error.ts';
import { filesystemReply } from '../commands/filesystem-reply.ts';
import { type Pathname, resolvePathname, rootPathname } from '../../filesystem/pathname.ts';

/** The fields of a `Stats` that ftp-srv reads. */
export type FtpSrvStats = {
  readonly name: string;
  readonly size: number;
  readonly mtime: Date;
  isDirectory(): boolean;
};

export type FtpSrvFileStream<Stream> = { readonly stream: Stream; readonly clientPath: string };

/**
 * Per connection. Rejections carry a text that may be sent to a client, because ftp-srv sends it. ftp-srv treats every upload
 * whose data connection ended for complete, and no filesystem can tell otherwise.
 */
export class FtpSrvFileSystem implements FileSystem {
  readonly connection: FtpConnection;
  readonly root = '/';
  readonly #filesystem: Filesystem;
  #workingDirectory = rootPathname;

  /** The type of ftp-srv's class requires the connection; ftp-srv never uses it. */
  constructor(filesystem: Filesystem, connection?: FtpConnection) {
    this.#filesystem = filesystem;
    this.connection = connection as FtpConnection;
  }

  get cwd(): string {
    return this.#workingDirectory;
  }

  currentDirectory(): string {
    return this.#workingDirectory;
  }

  async get(fileName: string): Promise<FtpSrvStats> {
    return statsOf(await this.#stat(this.#resolve(fileName)));
  }

  /** Returns all entries in one array: ftp-srv cannot list in pages. */
  async list(path = '.'): Promise<FtpSrvStats[]> {
    return await withClientErrors(async () => {
      const stats: FtpSrvStats[] = [];
      const { signal } = new AbortController();
      for await (const page of this.#filesystem.list(this.#resolve(path), { signal })) {
        for (const entry of page) stats.push(statsOf(entry));
      }
      return stats;
    });
  }

  async chdir(path = '.'): Promise<string> {
    const pathname = this.#resolve(path);
    const { type } = await this.#stat(pathname);
    if (type !== 'directory') throw new Error(textOf('not-a-directory'));
    this.#workingDirectory = pathname;
    return pathname;
  }

  /** The stream emits `finish` after the storage has confirmed the file; after `destroy` the old file is unchanged. */
  async write(
    fileName: string,
    { append = false, start = 0 }: { append?: boolean; start?: number } = {},
  ): Promise<FtpSrvFileStream<Writable>> {
    const pathname = this.#resolve(fileName);
    const controller = new AbortController();
    const upload = await withClientErrors(() =>
      this.#filesystem.openUpload(pathname, {
        offset: append ? 'end' : start,
        ifExists: 'replace',
        signal: controller.signal,
      }),
    );
    return { stream: writableOf(upload, controller), clientPath: pathname };
  }

  async read(fileName: string, { start = 0 }: { start?: number } = {}): Promise<FtpSrvFileStream<Readable>> {
    const pathname = this.#resolve(fileName);
    const controller = new AbortController();
    const { content } = await withClientErrors(() =>
      this.#filesystem.openDownload(pathname, { offsetBytes: start, signal: controller.signal }),
    );
    const stream = Readable.from(contentWithClientErrors(content), { objectMode: false });
    stream.once('close', () => {
      controller.abort(new Error('the download was closed'));
    });
    return { stream, clientPath: pathname };
  }

  /** Removes a file or a directory: ftp-srv calls it for DELE and for RMD. */
  async delete(path: string): Promise<void> {
    const pathname = this.#resolve(path);
    const { type } = await this.#stat(pathname);
    const { signal } = new AbortController();
    await withClientErrors(() =>
      type === 'directory'
        ? this.#filesystem.removeDirectory(pathname, { signal })
        : this.#filesystem.removeFile(pathname, { signal }),
    );
  }

  async mkdir(path: string): Promise<string> {
    const pathname = this.#resolve(path);
    const { signal } = new AbortController();
    await withClientErrors(() => this.#filesystem.makeDirectory(pathname, { signal }));
    return pathname;
  }

  async rename(from: string, to: string): Promise<void> {
    const { signal } = new AbortController();
    await withClientErrors(() => this.#filesystem.rename(this.#resolve(from), this.#resolve(to), { signal }));
  }

  /** Does nothing, because S3 has no modes; clients that set one after an upload must not fail. */
  async chmod(path: string): Promise<void> {
    await this.#stat(this.#resolve(path));
  }

  getUniqueName(): string {
    return randomUUID().replaceAll('-', '');
  }

  #resolve(path: string): Pathname {
    return resolvePathname(this.#workingDirectory, path);
  }

  async #stat(pathname: Pathname): Promise<Entry> {
    const { signal } = new AbortController();
    return await withClientErrors(() => this.#filesystem.stat(pathname, { signal }));
  }
}

function writableOf(upload: Upload, controller: AbortController): Writable {
  const stream = new Writable({
    write(bytes: Buffer, _encoding, callback) {
      const written = upload.write(bytes);
      if (written) written.then(() => callback(), clientErrorCallback(callback));
      else callback();
    },
    final(callback) {
      // ftp-srv ends the stream of a broken connection and destroys it in the same tick.
      setImmediate(() => {
        if (!stream.destroyed) upload.commit().then(() => callback(), clientErrorCallback(callback));
      });
    },
    destroy(error, callback) {
      const reason = error ?? new Error('the upload was closed');
      void upload.abort(reason).then(() => {
        controller.abort(reason);
        callback(error);
      });
    },
  });
  return stream;
}

function clientErrorCallback(callback: (error: Error) => void): (error: unknown) => void {
  return (error) => {
    callback(clientErrorOf(error));
  };
}

async function* contentWithClientErrors(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* content;
  } catch (error) {
    throw clientErrorOf(error);
  }
}

async function withClientErrors<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw clientErrorOf(error);
  }
}

function statsOf({ name, type, sizeBytes, modifiedAt }: Entry): FtpSrvStats {
  return { name, size: sizeBytes, mtime: modifiedAt, isDirectory: () => type === 'directory' };
}

/** The error with a text that a client may read, and the original error as its cause for ftp-srv's log. */
function clientErrorOf(error: unknown): Error {
  const text = error instanceof FilesystemError ? textOf(error.kind) : 'The server failed; try again later.';
  return new Error(text, { cause: error });
}

function textOf(kind: FilesystemErrorKind): string {
  return [filesystemReply(kind).text].flat().join(' ');
}
