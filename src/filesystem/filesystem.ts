/**
 * What FTP needs of a storage, and no more. One filesystem belongs to one user and shows their home as `/`.
 * The S3 filesystem and the in-memory one keep the same contract (`test/filesystem/contract.ts`).
 *
 * Every call rejects with a `FilesystemError` for what a client can be told, and stops when its signal aborts.
 */
import type { Pathname } from './pathname.ts';

/**
 * Whose time a file shows, in lookups and listings alike: that of its last write to the storage, which clients cannot set, or
 * the one that a client set, where one did.
 */
export type FileTimes = 'upload' | 'client';

/** One file or directory, as a listing or a lookup shows it. */
export type Entry = {
  /** Last segment of its pathname; empty for the root. */
  readonly name: string;
  readonly type: 'file' | 'directory';
  /** Bytes; 0 for a directory. */
  readonly sizeBytes: number;
  readonly modifiedAt: Date;
};

export type DownloadOptions = {
  /** First byte wanted (REST). `FilesystemError('invalid-offset')` beyond the end; equal to the size is an empty download. */
  readonly offsetBytes: number;
  readonly signal: AbortSignal;
};

/** An open file, pinned to the version it had when it was opened. */
export type Download = {
  /** Size of the whole file in bytes, the offset not taken off. */
  readonly sizeBytes: number;
  /** The bytes from the offset to the end, in order, read ahead only within the transfer memory. Leaving the loop closes it. */
  readonly content: AsyncIterable<Uint8Array>;
};

export type UploadOptions = {
  /** 0 replaces the file, n keeps its first n bytes (REST + STOR), `'end'` keeps all of it (APPE; a missing file is begun). */
  readonly offset: number | 'end';
  /** `'refuse'`: `FilesystemError('exists')` where the name is taken, checked again at the commit (drop boxes, STOU). */
  readonly ifExists: 'replace' | 'refuse';
  /** Bytes the client announced (ALLO), a hint for the part size; the caller compares it with what came. */
  readonly announcedBytes?: number | undefined;
  readonly signal: AbortSignal;
};

/** Takes bytes with backpressure. */
export type ByteSink = {
  /**
   * Takes ownership of the bytes. Returns undefined when more may follow immediately, or a promise that resolves when there is
   * room again; until then the caller stops reading its socket. The promise rejects with what broke the sink.
   */
  write(bytes: Uint8Array): Promise<void> | undefined;
};

/** A file being received. It becomes visible when `commit` succeeds, and not before. */
export type Upload = ByteSink & {
  /** Bytes stored in front of the first written one: of the file, or of the abandoned upload that this one resumes. */
  readonly keptBytes?: number;
  /** Publishes the file; resolves after the storage has confirmed it. Afterwards the upload is over, done or failed. */
  commit(): Promise<void>;
  /**
   * Gives the upload up: settles what is in flight and removes every trace, but for what the same user may continue
   * (`resumableBytes`). Never rejects; idempotent; a no-op after `commit`.
   */
  abort(reason: unknown): Promise<void>;
};

export const checksumAlgorithms = ['CRC32', 'MD5', 'SHA-1', 'SHA-256', 'SHA-512'] as const;
export type ChecksumAlgorithm = (typeof checksumAlgorithms)[number];

export type ChecksumOptions = {
  readonly algorithm: ChecksumAlgorithm;
  /** First byte, and the byte after the last one; the whole file by default (RANG, XCRC with a range). */
  readonly startBytes?: number | undefined;
  readonly endBytes?: number | undefined;
  readonly signal: AbortSignal;
};

export type CallOptions = { readonly signal: AbortSignal };

export type ListOptions = CallOptions & {
  /** Which entries are wanted, by name; all by default. */
  readonly isWanted?: (name: string) => boolean;
  /** False where the times of the entries are not looked at: a storage that has to look them up then need not. */
  readonly withTimes?: boolean;
};

export type Filesystem = {
  /** Rejects with `not-found` where the pathname names nothing. The root always exists. */
  stat(pathname: Pathname, options: CallOptions): Promise<Entry>;
  /**
   * The entries of a directory, a page at a time as the storage hands them out, each page ordered by name.
   * `not-found` and `not-a-directory` are thrown before the first page.
   */
  list(directory: Pathname, options: ListOptions): AsyncIterable<readonly Entry[]>;
  openDownload(pathname: Pathname, options: DownloadOptions): Promise<Download>;
  /**
   * Bytes of the caller's own interrupted upload under this name, which an upload from exactly that offset, or `'end'`,
   * then continues; undefined where there is none. Nobody else sees them, and `stat` and `list` do not either.
   */
  resumableBytes?(pathname: Pathname, options: CallOptions): Promise<number | undefined>;
  /**
   * Parents need not exist: a directory is where files are. `is-a-directory` where the name is one and `not-a-directory`
   * below a file: here, or at the latest at the commit, which then publishes nothing.
   */
  openUpload(pathname: Pathname, options: UploadOptions): Promise<Upload>;
  /** `exists` where the name is taken by a file or a directory. */
  makeDirectory(pathname: Pathname, options: CallOptions): Promise<void>;
  /** `not-empty`, `not-found`, `not-a-directory`; the root is `permission-denied`. */
  removeDirectory(pathname: Pathname, options: CallOptions): Promise<void>;
  /** `is-a-directory` for directories. The directory that the file was in stays, be it empty. */
  removeFile(pathname: Pathname, options: CallOptions): Promise<void>;
  /**
   * A file replaces a file (ncftp relies on it); a directory replaces nothing (`exists`), and does not move below itself
   * (`name-not-allowed`). All or nothing: a failure leaves the source whole.
   */
  rename(from: Pathname, to: Pathname, options: CallOptions): Promise<void>;
  /**
   * Sets the time of a file (MFMT); it is kept with the file and survives a rename. `permission-denied` where files show the time
   * of their upload.
   */
  setModifiedAt(pathname: Pathname, modifiedAt: Date, options: CallOptions): Promise<void>;
  /** Lower-case hexadecimal digest of a file's bytes. */
  checksum(pathname: Pathname, options: ChecksumOptions): Promise<string>;
};
