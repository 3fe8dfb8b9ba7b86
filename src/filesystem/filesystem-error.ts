/**
 * Every way a filesystem call may fail, as FTP sees it. The set is closed: replies are mapped from the kind once
 * (`src/ftp/commands/filesystem-reply.ts`), and whatever is not a `FilesystemError` becomes 451 and a log line.
 */
export type FilesystemErrorKind =
  /** The pathname names nothing: 550. */
  | 'not-found'
  /** The pathname names something already, and the call must not replace it: 550. */
  | 'exists'
  /** A directory was to be removed, but has entries: 550. */
  | 'not-empty'
  /** A file was expected: 550. */
  | 'is-a-directory'
  /** A directory was expected: 550. */
  | 'not-a-directory'
  /** The user or the gateway's role may not do this: 550. */
  | 'permission-denied'
  /** S3 cannot hold this name (over 1,024 bytes, NUL and the like): 553. */
  | 'name-not-allowed'
  /** A restart offset lies beyond the end of the file: 554 (RFC 1123 4.1.3.4). */
  | 'invalid-offset'
  /** A quota or an object size limit is reached: 552. */
  | 'storage-full'
  /** The file changed under a transfer; mixed bytes are never sent: 451. */
  | 'changed'
  /** S3 was asked to publish the file, and whether it did could not be found out: 451. */
  | 'unconfirmed'
  /** Throttled, unreachable, expired credentials, anything that may pass: 451. */
  | 'unavailable';

/** A failure of a filesystem call. The message is for logs; clients get the text that belongs to the kind. */
export class FilesystemError extends Error {
  override readonly name = 'FilesystemError';
  readonly kind: FilesystemErrorKind;

  constructor(kind: FilesystemErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

export function notFound(pathname: string): FilesystemError {
  return new FilesystemError('not-found', `${pathname} does not exist`);
}

export function exists(pathname: string): FilesystemError {
  return new FilesystemError('exists', `${pathname} exists`);
}

export function isADirectory(pathname: string): FilesystemError {
  return new FilesystemError('is-a-directory', `${pathname} is a directory`);
}

export function isAFile(pathname: string): FilesystemError {
  return new FilesystemError('not-a-directory', `${pathname} is a file`);
}
