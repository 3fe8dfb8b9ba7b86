/**
 * The ways in which a filesystem call can fail. The set is closed: the FTP side maps each kind to a reply in one place, and any
 * error that is not a `FilesystemError` becomes 451 and a log line.
 */
export type FilesystemErrorKind =
  /** The pathname names nothing: 550. */
  | 'not-found'
  /** The pathname already names something that the call must not replace: 550. */
  | 'exists'
  /** The directory cannot be removed, because it has entries: 550. */
  | 'not-empty'
  /** A file was expected: 550. */
  | 'is-a-directory'
  /** A directory was expected: 550. */
  | 'not-a-directory'
  /** The user or the gateway's role lacks the permission: 550. */
  | 'permission-denied'
  /** S3 cannot store this name (over 1,024 bytes, NUL, unpaired surrogate): 553. */
  | 'name-not-allowed'
  /** A restart offset lies beyond the end of the file: 554 (RFC 1123 4.1.3.4). */
  | 'invalid-offset'
  /** A quota or an object size limit is reached: 552. */
  | 'storage-full'
  /** The file changed under a transfer; mixed bytes are never sent: 451. */
  | 'changed'
  /** The file may be committed or not: S3's response was lost, and looking afterwards gave no result either: 451. */
  | 'unconfirmed'
  /** Throttling, an unreachable server, expired credentials, and other transient failures: 451. */
  | 'unavailable';

/** A failed filesystem call. The message is for logs; clients get the reply text of the kind. */
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
