/**
 * Why the storage failed, for operators: the cause of an error of S3, of the SDK or of a connection, and the code that the error
 * itself carries. The names are those of the Amazon S3 API Reference ("Error responses") and of other S3 servers; the codes of
 * connections are those of Node.js ("Errors", system errors and OpenSSL) and undici ("Errors").
 */
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { CauseCode } from '../../observability/cause.ts';

/** Those of the closed list that a storage can have. */
export type StorageCause = Extract<CauseCode, `STORAGE-${string}` | 'LIMIT-DESCRIPTORS'>;

/** Names of throttling. */
export const throttlingNames: readonly string[] = [
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

/** Names by cause. Those in `misconfiguredCauses` are also the names of the kind `misconfigured` (`errors.ts`). */
export const namesOfCause: Readonly<Partial<Record<StorageCause, readonly string[]>>> = {
  'STORAGE-CREDENTIALS': [
    'CredentialsProviderError',
    'ExpiredToken',
    'ExpiredTokenException',
    'InvalidAccessKeyId',
    'InvalidToken',
    'TokenProviderError',
    'TokenRefreshRequired',
  ],
  'STORAGE-SIGNATURE': [clockErrorName, 'SignatureDoesNotMatch'],
  'STORAGE-DENIED': ['AccessDenied', 'AccountProblem', 'AllAccessDisabled', 'Forbidden'],
  'STORAGE-BUCKET': ['InvalidBucketName', 'NoSuchBucket'],
  'STORAGE-REGION': [
    'AuthorizationHeaderMalformed',
    'IllegalLocationConstraintException',
    'PermanentRedirect',
    'TemporaryRedirect',
  ],
  'STORAGE-FULL': [
    'EntityTooLarge',
    'InsufficientStorage',
    'QuotaExceeded',
    'XMinioAdminBucketQuotaExceeded',
    'XMinioStorageFull',
  ],
  'STORAGE-THROTTLED': throttlingNames,
  'STORAGE-UNREACHABLE': ['NetworkingError'],
  // The first is that of `http-connection.ts` and `response-timeouts.ts`.
  'STORAGE-NO-RESPONSE': ['ResponseTimeout', 'RequestTimeout', 'TimeoutError'],
  'STORAGE-INVALID-RESPONSE': [
    'BadDigest',
    // undici's, whose code is not set for every kind of it.
    'HTTPParserError',
    'IncompleteBody',
    // That of `response-parser.ts`.
    'MalformedResponse',
    'XAmzContentSHA256Mismatch',
  ],
};

/** What only the operator can correct. A retry of more than some seconds would not help. */
export const misconfiguredCauses: readonly StorageCause[] = [
  'STORAGE-CREDENTIALS',
  'STORAGE-SIGNATURE',
  'STORAGE-DENIED',
  'STORAGE-KMS',
  'STORAGE-BUCKET',
  'STORAGE-REGION',
];

const causeByName = new Map(
  Object.entries(namesOfCause).flatMap(([cause, names]) =>
    names.map((name) => [name, cause as StorageCause] as const),
  ),
);

const causeByStatus: ReadonlyMap<number, StorageCause> = new Map([
  [301, 'STORAGE-REGION'],
  [401, 'STORAGE-CREDENTIALS'],
  [403, 'STORAGE-DENIED'],
  [408, 'STORAGE-NO-RESPONSE'],
  [413, 'STORAGE-FULL'],
  [429, 'STORAGE-THROTTLED'],
  [504, 'STORAGE-NO-RESPONSE'],
  [507, 'STORAGE-FULL'],
]);

/** Codes of errors of sockets, names, certificates and HTTP; llhttp's begin with HPE. */
const connectionErrorCode =
  /^(E[A-Z]{3,}|CERT_|DEPTH_ZERO_|ERR_SSL_|ERR_TLS_|SELF_SIGNED_|UNABLE_TO_|HPE_|UND_ERR_(SOCKET|CONNECT_|HEADERS_|BODY_|RES|CLOSED|DESTROYED))/;

const noResponseCode = /^(UND_ERR_(HEADERS|BODY)_TIMEOUT)$/;
const invalidResponseCode = /^(HPE_|UND_ERR_RES)/;
const descriptorCode = /^E[MN]FILE$/;

/** The cause of a failure of the storage; `STORAGE-ERROR` for what no table names. */
export function storageCauseOf(error: unknown): StorageCause {
  const inner = storageErrorOf(error);
  const name = errorNameOf(inner);
  if (isKmsError(name, inner)) return 'STORAGE-KMS';
  const byName = causeByName.get(name);
  if (byName) return byName;
  const status = statusOf(inner);
  if (status !== undefined) return causeByStatus.get(status) ?? 'STORAGE-ERROR';
  const code = connectionCodeOf(inner);
  if (code === undefined) return 'STORAGE-ERROR';
  if (descriptorCode.test(code)) return 'LIMIT-DESCRIPTORS';
  if (noResponseCode.test(code)) return 'STORAGE-NO-RESPONSE';
  return invalidResponseCode.test(code) ? 'STORAGE-INVALID-RESPONSE' : 'STORAGE-UNREACHABLE';
}

/**
 * S3 names some refusals of the key management service (`KMS.DisabledException`), but responds to a role that may not use the key
 * with AccessDenied, and only the action in its text, `kms:GenerateDataKey`, shows which permission is missing (Amazon S3 User
 * Guide, "Troubleshoot access denied (403 Forbidden) errors").
 */
function isKmsError(name: string, error: unknown): boolean {
  if (/^KMS[.A-Z]/.test(name)) return true;
  return name === 'AccessDenied' && error instanceof Error && /\bkms:[A-Z]\w+/.test(error.message);
}

/** The code of a failed connection (`ECONNREFUSED`); undefined for other errors. */
export function connectionCodeOf(error: unknown): string | undefined {
  const code = propertyOf(error, 'code');
  return typeof code === 'string' && connectionErrorCode.test(code) ? code : undefined;
}

/** The error for log lines: S3's name (`SlowDown`), or the code of the connection (`ECONNREFUSED`); `Unknown` for what has none. */
export function errorCodeOf(error: unknown): string {
  const inner = storageErrorOf(error);
  return connectionCodeOf(inner) ?? errorNameOf(inner);
}

/** The name of an S3 error as the API Reference lists it; `Unknown` for what has none. */
export function errorNameOf(error: unknown): string {
  const name = propertyOf(error, 'name');
  return typeof name === 'string' ? name : 'Unknown';
}

/** The HTTP status of S3's response; undefined for an error without a response. */
export function statusOf(error: unknown): number | undefined {
  const status = propertyOf(propertyOf(error, '$metadata'), 'httpStatusCode');
  return typeof status === 'number' ? status : undefined;
}

/** What AWS support asks for; undefined for an error without a response. */
export function requestIdOf(error: unknown): string | undefined {
  const id = propertyOf(propertyOf(storageErrorOf(error), '$metadata'), 'requestId');
  return typeof id === 'string' ? id : undefined;
}

/** S3's own error behind a `FilesystemError`. */
export function storageErrorOf(error: unknown): unknown {
  return error instanceof FilesystemError ? error.cause : error;
}

function propertyOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
