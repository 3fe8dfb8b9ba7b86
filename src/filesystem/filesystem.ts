/**
 * The contract between FTP and the storage. A filesystem belongs to one user and shows their home as `/`. The S3 filesystem and
 * the in-memory one fulfil the same contract (`test/filesystem/contract.ts`).
 *
 * Every call rejects with a `FilesystemError` for failures that may be reported to a client, and stops when its signal aborts.
 */
import type { FilesystemError } from './filesystem-error.ts';
import type { Pathname } from './pathname.ts';

/**
 * The time that files show, in both lookups and listings. `upload`: the time of the last write to the storage, which clients
 * cannot set. `client`: the time that a client set, if any, else that of the last write.
 */
export type FileTimes = 'upload' | 'client';

/** A file or directory in a listing or lookup. */
export type Entry = {
  /** Last segment of the pathname; empty for the root. */
  readonly name: string;
  readonly type: 'file' | 'directory';
  /** Bytes; 0 for a directory. */
  readonly sizeBytes: number;
  readonly modifiedAt: Date;
};

export type CallOptions = {
  readonly signal: AbortSignal;
  /**
   * Called with the failure while the storage fails and the call tries again, or while it does not respond; with undefined when it
   * responds again. A caller that gives up meanwhile knows why it had to wait.
   */
  readonly onStorageFailure?: (failure: FilesystemError | undefined) => void;
};

export type DownloadOptions = CallOptions & {
  /** First byte (REST). Beyond the end: `FilesystemError('invalid-offset')`; equal to the size: an empty download. */
  readonly offsetBytes: number;
};

/** An open file, pinned to the version at the time of opening. */
export type Download = {
  /** Size of the whole file in bytes, including those before the offset. */
  readonly sizeBytes: number;
  /** The bytes from the offset to the end, in order, prefetched only within the transfer memory. Leaving the loop closes it. */
  readonly content: AsyncIterable<Uint8Array>;
  /**
   * Returns a chunk of the content when nothing reads from it any longer, so that its memory is used again. Optional on both
   * sides: a chunk that is not returned is left to the garbage collector.
   */
  readonly recycle?: (bytes: Uint8Array) => void;
};

export type UploadOptions = CallOptions & {
  /** 0 replaces the file, n keeps its first n bytes (REST + STOR), `'end'` appends to it (APPE; a missing file is created). */
  readonly offset: number | 'end';
  /** `'refuse'`: `FilesystemError('exists')` if the name is taken, checked again at the commit (drop boxes, STOU). */
  readonly ifExists: 'replace' | 'refuse';
  /** Bytes that the client announced (ALLO), a hint for the part size; the caller compares it with the received bytes. */
  readonly announcedBytes?: number | undefined;
};

/** A buffer of a sink, to be filled from its start. */
export type ReceiveBuffer = {
  readonly bytes: Uint8Array;
  /** Bytes received so far. The code that fills the buffer keeps this up to date. */
  usedBytes: number;
};

/** Takes bytes with backpressure. */
export type ByteSink = {
  /**
   * Takes ownership of the bytes. Returns undefined when more may follow immediately, or a promise that resolves when there is
   * room again; until then the caller stops reading its socket. The promise rejects with what broke the sink.
   */
  write(bytes: Uint8Array): Promise<void> | undefined;
  /**
   * Lends a buffer to receive into, so that none need be allocated for `write`. Undefined where there is none now. At most one is
   * lent at a time, and while one is, `write` is not called. The sink uses the buffer again later, so nothing may write to it
   * after `writeBuffer`.
   */
  takeBuffer?(): ReceiveBuffer | undefined;
  /** Returns the lent buffer; its used bytes are written as by `write`. */
  writeBuffer?(): Promise<void> | undefined;
};

/** A file being received. It becomes visible when `commit` succeeds, and not before. */
export type Upload = ByteSink & {
  /** Bytes stored in front of the first written one: of the file, or of the abandoned upload that this one resumes. */
  readonly keptBytes?: number;
  /** Set by `commit` if the storage reports it. */
  readonly stored?: StoredObject | undefined;
  /** Aborts, with the reason, as soon as the upload cannot be completed any more: its client need not be waited for. */
  readonly failed?: AbortSignal;
  /**
   * Takes no more bytes, and sends what it can, so that only the publishing request remains; nothing becomes visible. `commit`
   * implies it. A failure is that of the whole upload: the caller aborts it. Idempotent; rejects after `commit` and `abort`.
   */
  prepare(): Promise<void>;
  /** Makes the file visible; resolves when the storage has confirmed it. Afterwards the upload is over, whether it succeeded or not. */
  commit(): Promise<void>;
  /**
   * Abandons the upload: settles requests in flight and removes everything, except what the same user may resume
   * (`resumableBytes`). Never rejects; idempotent; does nothing after `commit`.
   */
  abort(reason: unknown): Promise<void>;
};

export const checksumAlgorithms = ['CRC32', 'MD5', 'SHA-1', 'SHA-256', 'SHA-512'] as const;
export type ChecksumAlgorithm = (typeof checksumAlgorithms)[number];

export type ChecksumOptions = {
  readonly algorithm: ChecksumAlgorithm;
  /** First byte, and the byte after the last one; the whole file by default (XCRC with a range). */
  readonly startBytes?: number | undefined;
  readonly endBytes?: number | undefined;
  readonly signal: AbortSignal;
};

export type ListOptions = CallOptions & {
  /** Selects entries by name; all by default. */
  readonly isWanted?: (name: string) => boolean;
  /** False if the caller ignores the entries' times, so that a storage can skip looking them up. */
  readonly withTimes?: boolean;
};

/** Where a storage keeps a file or directory, for the log. */
export type StorageLocation = { readonly bucket: string; readonly key: string };

/** What the storage confirmed of a committed file, for the log. */
export type StoredObject = {
  /** In a bucket with versioning. */
  readonly versionId?: string | undefined;
  /** Algorithm and value, such as `CRC32 y+28ZQ==`. */
  readonly checksum?: string | undefined;
};

export type Filesystem = {
  /** Where the pathname is or would be stored. Absent where the storage has no buckets. */
  locate?(pathname: Pathname): StorageLocation;
  /** Rejects with `not-found` if the pathname names nothing. The root always exists. */
  stat(pathname: Pathname, options: CallOptions): Promise<Entry>;
  /**
   * The entries of a directory, page by page as the storage returns them, each page ordered by name. `not-found` and
   * `not-a-directory` are thrown before the first page.
   */
  list(directory: Pathname, options: ListOptions): AsyncIterable<readonly Entry[]>;
  openDownload(pathname: Pathname, options: DownloadOptions): Promise<Download>;
  /**
   * Size of the user's own abandoned upload of this name, which an upload at exactly that offset, or at `'end'`, resumes;
   * undefined if there is none. Other users do not see it, and `stat` and `list` do not show it.
   */
  resumableBytes?(pathname: Pathname, options: CallOptions): Promise<number | undefined>;
  /**
   * Parents need not exist: a directory exists where files are. `is-a-directory` for a directory and `not-a-directory` below a
   * file: here or at the commit, which then stores nothing.
   */
  openUpload(pathname: Pathname, options: UploadOptions): Promise<Upload>;
  /** `exists` if the name is taken by a file or a directory. */
  makeDirectory(pathname: Pathname, options: CallOptions): Promise<void>;
  /** `not-empty`, `not-found`, `not-a-directory`; the root is `permission-denied`. */
  removeDirectory(pathname: Pathname, options: CallOptions): Promise<void>;
  /** `is-a-directory` for directories. The directory of the file stays, even if it is then empty. */
  removeFile(pathname: Pathname, options: CallOptions): Promise<void>;
  /**
   * A file replaces a file (ncftp relies on it). A directory replaces nothing (`exists`) and cannot move below itself
   * (`name-not-allowed`). Atomic: a failure leaves the source complete.
   */
  rename(from: Pathname, to: Pathname, options: CallOptions): Promise<void>;
  /**
   * Sets the time of a file (MFMT), which is stored with the file and survives a rename. `permission-denied` if files show the
   * time of their upload.
   */
  setModifiedAt(pathname: Pathname, modifiedAt: Date, options: CallOptions): Promise<void>;
  /** Lower-case hexadecimal digest of a file's bytes. */
  checksum(pathname: Pathname, options: ChecksumOptions): Promise<string>;
};
