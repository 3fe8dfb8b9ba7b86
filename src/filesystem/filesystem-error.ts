import type { CauseCode } from '../observability/cause.ts';

/**
 * The ways in which a filesystem call can fail. The set is closed, and the FTP side maps each kind to a reply in one place
 * (`src/ftp/commands/filesystem-reply.ts`). Any other error is unexpected.
 */
export type FilesystemErrorKind =
  /** The pathname names nothing. */
  | 'not-found'
  /** The pathname already names something that the call must not replace. */
  | 'exists'
  /** The directory cannot be removed, because it has entries. */
  | 'not-empty'
  /** A file was expected. */
  | 'is-a-directory'
  /** A directory was expected. */
  | 'not-a-directory'
  /** The user lacks the permission, or the file cannot be read as it is stored. */
  | 'permission-denied'
  /** The storage cannot hold this name (over 1,024 bytes, NUL, unpaired surrogate). */
  | 'name-not-allowed'
  /** A restart offset lies beyond the end of the file. */
  | 'invalid-offset'
  /** A quota or an object size limit is reached. */
  | 'storage-full'
  /** The file changed under a transfer; mixed bytes are never sent. */
  | 'changed'
  /** The file may or may not be committed: the storage's response was lost, and a lookup afterwards gave no result. */
  | 'unconfirmed'
  /** The client sent next to nothing while other uploads waited for the memory that its upload held. */
  | 'client-silent'
  /** The storage refuses the gateway itself: its credentials, its role, the bucket. Only the operator can correct it. */
  | 'misconfigured'
  /** Throttling, an unreachable server, and other transient failures. */
  | 'unavailable';

/** A failed filesystem call. The message is for logs; clients get the reply text of the kind. */
export class FilesystemError extends Error {
  override readonly name = 'FilesystemError';
  readonly kind: FilesystemErrorKind;
  /** For the log, the metrics and the reply; a storage names it where it knows more than the kind tells. */
  readonly causeCode: CauseCode;

  constructor(
    kind: FilesystemErrorKind,
    message: string,
    options?: ErrorOptions & { readonly causeCode?: CauseCode | undefined },
  ) {
    super(message, options);
    this.kind = kind;
    this.causeCode = options?.causeCode ?? causeOfKind[kind];
  }
}

/** The cause of an error whose kind is all that is known. */
export const causeOfKind: Readonly<Record<FilesystemErrorKind, CauseCode>> = {
  'not-found': 'FILE-NOT-FOUND',
  exists: 'FILE-EXISTS',
  'not-empty': 'FILE-NOT-EMPTY',
  'is-a-directory': 'FILE-TYPE',
  'not-a-directory': 'FILE-TYPE',
  'permission-denied': 'FILE-PERMISSION',
  'name-not-allowed': 'FILE-NAME',
  'invalid-offset': 'FILE-OFFSET',
  'storage-full': 'STORAGE-FULL',
  changed: 'FILE-CHANGED',
  unconfirmed: 'STORAGE-UNCONFIRMED',
  'client-silent': 'DATA-SLOW',
  misconfigured: 'STORAGE-DENIED',
  unavailable: 'STORAGE-ERROR',
};

/** The error for a pathname that names nothing. */
export function notFound(pathname: string): FilesystemError {
  return new FilesystemError('not-found', `${pathname} does not exist`);
}

/** The error for a name that is taken. */
export function exists(pathname: string): FilesystemError {
  return new FilesystemError('exists', `${pathname} exists`);
}

/** The error where a file was expected. */
export function isADirectory(pathname: string): FilesystemError {
  return new FilesystemError('is-a-directory', `${pathname} is a directory`);
}

/** The error where a directory was expected. */
export function isAFile(pathname: string): FilesystemError {
  return new FilesystemError('not-a-directory', `${pathname} is a file`);
}
