/**
 * Maps the errors of S3, of the SDK and of connections to the kinds of FilesystemError. One table is by error name (Amazon S3 API
 * Reference, "Error responses", and the names that other S3 servers add), one by HTTP status for responses without a name: the
 * response to a HEAD has no body.
 */
import { FilesystemError, type FilesystemErrorKind } from '../../filesystem/filesystem-error.ts';

const throttlingNames = [
  'BandwidthLimitExceeded',
  'RequestLimitExceeded',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TooManyRequests',
  'TooManyRequestsException',
];

/** The request's time differs from that of S3 by more than 15 minutes. */
export const clockErrorName = 'RequestTimeTooSkewed';

const namesOfKind: Readonly<Partial<Record<FilesystemErrorKind, readonly string[]>>> = {
  'not-found': ['NoSuchKey', 'NotFound', 'NoSuchBucket', 'NoSuchVersion'],
  // InvalidObjectState: archived in a Glacier class and not restored.
  'permission-denied': [
    'AccessDenied',
    'AllAccessDisabled',
    'Forbidden',
    'InvalidObjectState',
    'MethodNotAllowed',
  ],
  'name-not-allowed': ['KeyTooLongError', 'KeyTooLong', 'InvalidURI', 'XMinioInvalidObjectName'],
  'is-a-directory': ['ExistingObjectIsDirectory', 'XMinioObjectExistsAsDirectory'],
  'not-a-directory': ['ObjectParentIsFile', 'XMinioParentIsObject'],
  'invalid-offset': ['InvalidRange'],
  'storage-full': [
    'EntityTooLarge',
    'InsufficientStorage',
    'QuotaExceeded',
    'XMinioAdminBucketQuotaExceeded',
    'XMinioStorageFull',
  ],
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
    // Credentials: expired, rotated, or unavailable.
    'CredentialsProviderError',
    'ExpiredToken',
    'ExpiredTokenException',
    'InvalidAccessKeyId',
    'InvalidToken',
    'SignatureDoesNotMatch',
    'TokenRefreshRequired',
    // S3 itself, or the connection to it.
    'BadDigest',
    'IncompleteBody',
    'InternalError',
    'NetworkingError',
    'NoSuchUpload',
    'OperationAborted',
    'RequestTimeout',
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
  [401, 'permission-denied'],
  [403, 'permission-denied'],
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
 * Errors of sockets, names and certificates carry a `code` in capitals (Node.js, "Errors": system errors, OpenSSL), and so
 * do those of HTTP (undici, "Errors"; llhttp's begin with HPE).
 */
const connectionErrorCode =
  /^(E[A-Z]{3,}|CERT_|DEPTH_ZERO_|ERR_SSL_|ERR_TLS_|SELF_SIGNED_|UNABLE_TO_|HPE_|UND_ERR_(SOCKET|CONNECT_|HEADERS_|BODY_|RES|CLOSED|DESTROYED))/;

/**
 * The failure of an S3 operation as a `FilesystemError` with the S3 error as its cause; the error itself where it is a
 * `FilesystemError` already, and where it is not an error of S3.
 */
export function toFilesystemError(error: unknown, operation: string): unknown {
  if (error instanceof FilesystemError) return error;
  const kind = classify(error);
  if (!kind) return error;
  return new FilesystemError(kind, `${operation}: ${errorNameOf(error)}`, { cause: error });
}

/** A response without the requested bytes: a retry may succeed. */
export class IncompleteResponse extends Error {
  override readonly name = 'IncompleteBody';
}

/** Whether S3 responds that there is no such object. */
export function isNotFound(error: unknown): boolean {
  return classify(error) === 'not-found' && errorNameOf(s3ErrorOf(error)) !== 'NoSuchBucket';
}

/** The multipart upload was completed, aborted or cleaned up: no later attempt can succeed. */
export function isNoSuchUpload(error: unknown): boolean {
  return errorNameOf(s3ErrorOf(error)) === 'NoSuchUpload';
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

/** An S3 error as the `storage-error` event shows it. */
export type OperatorError = { readonly errorName: string; readonly httpStatus?: number };

/**
 * The error as operators need it; undefined for failures that only concern the client: a missing file is routine, a missing
 * bucket is not. For a `FilesystemError` this classifies its cause, S3's own error.
 */
export function operatorErrorOf(error: unknown): OperatorError | undefined {
  const s3Error = s3ErrorOf(error);
  const errorName = errorNameOf(s3Error);
  const kind = classify(s3Error);
  const concernsOperator =
    kind === 'unavailable' ||
    kind === 'permission-denied' ||
    kind === 'storage-full' ||
    errorName === 'NoSuchBucket';
  if (!concernsOperator) return undefined;
  const httpStatus = statusOf(s3Error);
  return { errorName, ...(httpStatus !== undefined && { httpStatus }) };
}

/** The kind of failure that an error of S3, of the SDK or of a connection means; undefined for any other error. */
export function classify(error: unknown): FilesystemErrorKind | undefined {
  if (error instanceof FilesystemError) return error.kind;
  const byName = kindByName.get(errorNameOf(error));
  if (byName) return byName;
  const status = statusOf(error);
  if (status !== undefined) return kindByStatus.get(status);
  return isConnectionError(error) ? 'unavailable' : undefined;
}

function isConnectionError(error: unknown): boolean {
  const code = propertyOf(error, 'code');
  return typeof code === 'string' && connectionErrorCode.test(code);
}

/** The name of an S3 error as the API Reference lists it; `Unknown` for what has none. */
export function errorNameOf(error: unknown): string {
  const name = propertyOf(error, 'name');
  return typeof name === 'string' ? name : 'Unknown';
}

function statusOf(error: unknown): number | undefined {
  const status = propertyOf(propertyOf(error, '$metadata'), 'httpStatusCode');
  return typeof status === 'number' ? status : undefined;
}

/** S3's own error behind a `FilesystemError`. */
function s3ErrorOf(error: unknown): unknown {
  return error instanceof FilesystemError ? error.cause : error;
}

function propertyOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
