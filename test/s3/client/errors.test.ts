import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FilesystemError } from '../../../src/filesystem/filesystem-error.ts';
import {
  toFilesystemError,
  isNotFound,
  isConflict,
  storageFailureOf,
} from '../../../src/s3/client/errors.ts';

function s3Error(name: string, httpStatusCode?: number): Error {
  return Object.assign(new Error(`the words of ${name}`), {
    name,
    $metadata: httpStatusCode === undefined ? {} : { httpStatusCode },
  });
}

function connectionError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

describe('An S3 error', () => {
  for (const [error, kind, isReported] of [
    [s3Error('NoSuchKey', 404), 'not-found', false],
    [s3Error('NotFound', 404), 'not-found', false],
    [s3Error('NoSuchBucket', 404), 'misconfigured', true],
    [s3Error('AccessDenied', 403), 'misconfigured', true],
    [s3Error('UnknownError', 403), 'misconfigured', true],
    [s3Error('HTTP 400', 400), 'unavailable', true],
    [s3Error('KMS.DisabledException', 400), 'misconfigured', true],
    [s3Error('PermanentRedirect', 301), 'misconfigured', true],
    [s3Error('InvalidObjectState', 403), 'permission-denied', true],
    [s3Error('KeyTooLongError', 400), 'name-not-allowed', false],
    [s3Error('InvalidRange', 416), 'invalid-offset', false],
    [s3Error('EntityTooLarge', 400), 'storage-full', true],
    [s3Error('QuotaExceeded', 403), 'storage-full', true],
    [s3Error('SomethingFull', 507), 'storage-full', true],
    [s3Error('PreconditionFailed', 412), 'changed', false],
    [s3Error('ConditionalRequestConflict', 409), 'changed', false],
    [s3Error('SlowDown', 503), 'unavailable', true],
    [s3Error('TooManyRequests', 429), 'unavailable', true],
    [s3Error('ExpiredToken', 400), 'misconfigured', true],
    [s3Error('InvalidAccessKeyId', 403), 'misconfigured', true],
    [s3Error('RequestTimeTooSkewed', 403), 'unavailable', true],
    [s3Error('CredentialsProviderError'), 'misconfigured', true],
    [s3Error('InternalError', 200), 'unavailable', true],
    [s3Error('UnknownError', 502), 'unavailable', true],
    [s3Error('TimeoutError'), 'unavailable', true],
    [connectionError('ECONNREFUSED'), 'unavailable', true],
    [connectionError('ENOTFOUND'), 'unavailable', true],
    [connectionError('DEPTH_ZERO_SELF_SIGNED_CERT'), 'unavailable', true],
    [connectionError('ERR_TLS_CERT_ALTNAME_INVALID'), 'unavailable', true],
  ] as const) {
    const status = '$metadata' in error ? JSON.stringify(error.$metadata) : '';
    it(`The S3 error ${error.name} ${error.message} ${status} becomes ${kind}${isReported ? ' and is reported' : ''}`, () => {
      const mapped = toFilesystemError(error, 'stat');
      assert.ok(mapped instanceof FilesystemError);
      assert.equal(mapped.kind, kind);
      assert.equal(mapped.cause, error);
      assert.equal(storageFailureOf(error) !== undefined, isReported);
      assert.deepEqual(storageFailureOf(mapped), storageFailureOf(error));
    });
  }

  it('An error that S3 did not cause is neither mapped nor reported', () => {
    const argumentError = Object.assign(new TypeError(), { code: 'ERR_INVALID_ARG_TYPE' });
    const unknown = [s3Error('NeverHeardOf', 400), new TypeError('a defect'), 'a string', undefined];
    for (const error of [...unknown, argumentError]) {
      assert.equal(toFilesystemError(error, 'stat'), error);
      assert.equal(storageFailureOf(error), undefined);
    }
  });

  it('A FilesystemError is not mapped again', () => {
    const error = new FilesystemError('not-empty', 'x');
    assert.equal(toFilesystemError(error, 'stat'), error);
  });

  it('An S3 error is reported with its bucket and without its message', () => {
    const reported = storageFailureOf(s3Error('NoSuchBucket', 404));
    assert.deepEqual(reported, { cause: 'STORAGE-BUCKET', errorName: 'NoSuchBucket', httpStatus: 404 });
  });

  it('isNotFound() distinguishes a missing object from a missing bucket', () => {
    assert.ok(isNotFound(s3Error('NotFound', 404)));
    assert.ok(!isNotFound(s3Error('NoSuchBucket', 404)));
    assert.ok(isConflict(s3Error('PreconditionFailed', 412)));
  });
});
