/**
 * Maps the errors of S3, of the SDK and of connections to the kinds of FilesystemError. One table is by error name (Amazon S3 API
 * Reference, "Error responses", and the names that other S3 servers add), one by HTTP status for responses without a name: the
 * response to a HEAD has no body.
 */
import { FilesystemError, type FilesystemErrorKind } from '../../filesystem/filesystem-error.ts';
import {
  clockErrorName,
  connectionCodeOf,
  errorCodeOf,
  errorNameOf,
  misconfiguredCauses,
  namesOfCause,
  requestIdOf,
  statusOf,
  type StorageCause,
  storageCauseOf,
  storageErrorOf,
  throttlingNames,
} from './storage-cause.ts';

const namesOfKind: Readonly<Partial<Record<FilesystemErrorKind, readonly string[]>>> = {
  'not-found': ['NoSuchKey', 'NotFound', 'NoSuchVersion'],
  // InvalidObjectState: archived in a Glacier class and not restored.
  'permission-denied': ['InvalidObjectState', 'MethodNotAllowed'],
  misconfigured: misconfiguredCauses
    .flatMap((cause) => namesOfCause[cause] ?? [])
    // The next request uses the time of S3 (`direct-client.ts`).
    .filter((name) => name !== clockErrorName),
  'name-not-allowed': ['KeyTooLongError', 'KeyTooLong', 'InvalidURI', 'XMinioInvalidObjectName'],
  'is-a-directory': ['ExistingObjectIsDirectory', 'XMinioObjectExistsAsDirectory'],
  'not-a-directory': ['ObjectParentIsFile', 'XMinioParentIsObject'],
  'invalid-offset': ['InvalidRange'],
  'storage-full': namesOfCause['STORAGE-FULL'] ?? [],
  changed: [
    'ConditionalRequestConflict',
    'EntityTooSmall',
    'InvalidPart',
    'InvalidPartOrder',
    'PreconditionFailed',
  ],
  unavailable: [
    ...throttlingNames,
    clockErrorName,
    // S3 itself, or the connection to it.
    'BadDigest',
    'HTTPParserError',
    'IncompleteBody',
    'InternalError',
    'NetworkingError',
    'NoSuchUpload',
    'OperationAborted',
    'RequestTimeout',
    'ResponseTimeout',
    'ServiceUnavailable',
    'TimeoutError',
    'XAmzContentSHA256Mismatch',
  ],
};

const kindByName: ReadonlyMap<string, FilesystemErrorKind> = new Map(
  Object.entries(namesOfKind).flatMap(([kind, names]) =>
    names.map((name) => [name, kind as FilesystemErrorKind] as const),
  ),
);

const kindByStatus: ReadonlyMap<number, FilesystemErrorKind> = new Map([
  [301, 'misconfigured'],
  [401, 'misconfigured'],
  [403, 'misconfigured'],
  [404, 'not-found'],
  [408, 'unavailable'],
  [409, 'changed'],
  [412, 'changed'],
  [413, 'storage-full'],
  [414, 'name-not-allowed'],
  [416, 'invalid-offset'],
  [429, 'unavailable'],
  [500, 'unavailable'],
  [502, 'unavailable'],
  [503, 'unavailable'],
  [504, 'unavailable'],
  [507, 'storage-full'],
]);

/**
 * The failure of an S3 operation as a `FilesystemError` with the S3 error as its cause; the error itself where it is a
 * `FilesystemError` already, and where it is not an error of S3.
 */
export function toFilesystemError(error: unknown, operation: string): unknown {
  if (error instanceof FilesystemError) return error;
  const kind = classify(error);
  if (!kind) return error;
  const causeCode = isOfStorage(kind) ? storageCauseOf(error) : undefined;
  return new FilesystemError(kind, `${operation}: ${errorCodeOf(error)}`, { cause: error, causeCode });
}

/** A response without the requested bytes: a retry may succeed. */
export class IncompleteResponse extends Error {
  override readonly name = 'IncompleteBody';
}

/** Whether S3 responds that there is no such object. */
export function isNotFound(error: unknown): boolean {
  return classify(error) === 'not-found';
}

/** The multipart upload was completed, aborted or cleaned up: no later attempt can succeed. */
export function isNoSuchUpload(error: unknown): boolean {
  return errorNameOf(storageErrorOf(error)) === 'NoSuchUpload';
}

/**
 * Whether S3 refused the request because of what it found (kind `changed`): a condition (If-Match, If-None-Match) that is not met,
 * a conflicting request, or parts other than those named.
 */
export function isConflict(error: unknown): boolean {
  return classify(error) === 'changed';
}

// Not 501: the server does not support the request.
const retryableStatuses = [500, 502, 503, 504];

/** The failure as the SDK's retry strategy classifies it; undefined where the same request would fail again. */
export function retryTypeOf(error: unknown): 'THROTTLING' | 'TRANSIENT' | undefined {
  const name = errorNameOf(error);
  const status = statusOf(error);
  if (status === 429 || throttlingNames.includes(name)) return 'THROTTLING';
  const isTransientError =
    name === clockErrorName || name === 'RequestTimeout' || retryableStatuses.includes(status ?? 0);
  return isTransientError || isConnectionError(error) ? 'TRANSIENT' : undefined;
}

/** A failure of the storage as the `storage-error` event shows it. */
export type StorageFailure = {
  readonly cause: StorageCause;
  /** S3's name of the error, or the code of the connection. */
  readonly errorName: string;
  readonly httpStatus?: number;
  /** S3's own id of the request, which AWS support asks for. */
  readonly requestId?: string;
};

/**
 * The failure as operators need it; undefined for failures that only concern the client: a missing file is routine, a missing
 * bucket is not. For a `FilesystemError` this classifies its cause, S3's own error.
 */
export function storageFailureOf(error: unknown): StorageFailure | undefined {
  const s3Error = storageErrorOf(error);
  if (!isOfStorage(classify(s3Error))) return undefined;
  const httpStatus = statusOf(s3Error);
  const requestId = requestIdOf(s3Error);
  return {
    cause: storageCauseOf(s3Error),
    errorName: errorCodeOf(s3Error),
    ...(httpStatus !== undefined && { httpStatus }),
    ...(requestId !== undefined && { requestId }),
  };
}

/** Whether a failure of this kind, which S3 has caused, concerns the operator. */
function isOfStorage(kind: FilesystemErrorKind | undefined): boolean {
  return (
    kind === 'unavailable' ||
    kind === 'misconfigured' ||
    kind === 'permission-denied' ||
    kind === 'storage-full'
  );
}

/** The kind of failure that an error of S3, of the SDK or of a connection means; undefined for any other error. */
export function classify(error: unknown): FilesystemErrorKind | undefined {
  if (error instanceof FilesystemError) return error.kind;
  const name = errorNameOf(error);
  const byName = kindByName.get(name);
  if (byName) return byName;
  if (storageCauseOf(error) === 'STORAGE-KMS') return 'misconfigured';
  const status = statusOf(error);
  // With a name it is a request that the gateway has made wrongly; the response to a HEAD has none.
  if (status === 400 && name === 'HTTP 400') return 'unavailable';
  if (status !== undefined) return kindByStatus.get(status);
  return isConnectionError(error) ? 'unavailable' : undefined;
}

function isConnectionError(error: unknown): boolean {
  return connectionCodeOf(error) !== undefined;
}
