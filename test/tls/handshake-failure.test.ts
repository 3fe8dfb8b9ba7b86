import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { handshakeFailure, handshakeTimeout } from '../../src/tls/handshake-failure.ts';

describe('the failure of a TLS handshake', () => {
  for (const [errorCode, receivedBytes, cause, alert] of [
    [undefined, 0, 'TLS-NOT-STARTED', undefined],
    [undefined, 4, 'TLS-NOT-STARTED', undefined],
    [undefined, 300, 'TLS-CUT', undefined],
    ['ECONNRESET', 300, 'TLS-CUT', undefined],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 20, 'TLS-NOT-STARTED', undefined],
    ['ERR_SSL_HTTP_REQUEST', 20, 'TLS-NOT-STARTED', undefined],
    ['ERR_SSL_UNSUPPORTED_PROTOCOL', 300, 'TLS-VERSION', undefined],
    ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 300, 'TLS-VERSION', 'protocol_version'],
    ['ERR_SSL_NO_SHARED_CIPHER', 300, 'TLS-CIPHER', undefined],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 300, 'TLS-CERTIFICATE', 'unknown_ca'],
    ['ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE', 300, 'TLS-CERTIFICATE', 'bad_certificate'],
    ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', 300, 'TLS-EXPIRED', 'certificate_expired'],
    ['ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR', 300, 'TLS-ALERT', 'internal_error'],
    ['ERR_SSL_LENGTH_MISMATCH', 300, 'TLS-PROTOCOL', undefined],
  ] as const) {
    it(`A handshake that ends with ${errorCode ?? 'no error'} after ${receivedBytes} bytes is ${cause}`, () => {
      assert.deepEqual(handshakeFailure(errorCode, receivedBytes), {
        cause,
        ...(alert !== undefined && { alert }),
        ...(errorCode !== undefined && { errorCode }),
      });
    });
  }

  it('A handshake that takes too long has not begun if nothing was received', () => {
    assert.deepEqual(handshakeTimeout(0), { cause: 'TLS-NOT-STARTED' });
    assert.deepEqual(handshakeTimeout(1), { cause: 'TLS-TIMEOUT' });
  });
});
