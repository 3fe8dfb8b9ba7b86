/**
 * Why a TLS handshake failed, from what OpenSSL and the socket report. Pure.
 * Node's error codes are OpenSSL's reasons in capitals (Node.js, "OpenSSL error codes"); a reason with `ALERT` is one that the
 * client sent (RFC 8446 6.2), every other one is the gateway's own finding.
 */
import type { CauseCode } from '../observability/cause.ts';

export type HandshakeFailure = {
  readonly cause: Extract<CauseCode, `TLS-${string}`>;
  /** The client's alert as RFC 8446 6 names it: `unknown_ca`. */
  readonly alert?: string;
  /** The error of OpenSSL or of the socket. */
  readonly errorCode?: string;
};

/** Size of a TLS record header (RFC 8446 5.1). A client that sent less has not begun a handshake. */
const recordHeaderBytes = 5;

const causesByCode: Readonly<Record<string, HandshakeFailure['cause']>> = {
  // The first bytes are no TLS record: another protocol, or the beginning of a file.
  ERR_SSL_WRONG_VERSION_NUMBER: 'TLS-NOT-STARTED',
  ERR_SSL_HTTP_REQUEST: 'TLS-NOT-STARTED',
  ERR_SSL_HTTPS_PROXY_REQUEST: 'TLS-NOT-STARTED',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'TLS-NOT-STARTED',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'TLS-VERSION',
  ERR_SSL_VERSION_TOO_LOW: 'TLS-VERSION',
  ERR_SSL_NO_PROTOCOLS_AVAILABLE: 'TLS-VERSION',
  ERR_SSL_INAPPROPRIATE_FALLBACK: 'TLS-VERSION',
  ERR_SSL_NO_SHARED_CIPHER: 'TLS-CIPHER',
  ERR_SSL_NO_SHARED_GROUPS: 'TLS-CIPHER',
  ERR_SSL_NO_SUITABLE_KEY_SHARE: 'TLS-CIPHER',
  ERR_SSL_NO_SUITABLE_GROUPS: 'TLS-CIPHER',
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: 'TLS-CIPHER',
  ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS: 'TLS-CIPHER',
};

const causesByAlert: Readonly<Record<string, HandshakeFailure['cause']>> = {
  protocol_version: 'TLS-VERSION',
  handshake_failure: 'TLS-CIPHER',
  insufficient_security: 'TLS-CIPHER',
  bad_certificate: 'TLS-CERTIFICATE',
  unsupported_certificate: 'TLS-CERTIFICATE',
  certificate_revoked: 'TLS-CERTIFICATE',
  certificate_expired: 'TLS-EXPIRED',
  certificate_unknown: 'TLS-CERTIFICATE',
  unknown_ca: 'TLS-CERTIFICATE',
  access_denied: 'TLS-CERTIFICATE',
  bad_certificate_status_response: 'TLS-CERTIFICATE',
};

/**
 * The failure of a handshake that ended before it was done.
 * @param errorCode of the first error; undefined where the connection only ended.
 * @param receivedBytes how much the client had sent since the handshake was to begin.
 */
export function handshakeFailure(errorCode: string | undefined, receivedBytes: number): HandshakeFailure {
  const withCode = errorCode === undefined ? {} : { errorCode };
  const alert = /_ALERT_([A-Z_]+)$/.exec(errorCode ?? '')?.[1]?.toLowerCase();
  if (alert !== undefined) return { cause: causesByAlert[alert] ?? 'TLS-ALERT', alert, ...withCode };
  const known = causesByCode[errorCode ?? ''];
  if (known !== undefined) return { cause: known, ...withCode };
  if (errorCode?.startsWith('ERR_SSL_') === true) return { cause: 'TLS-PROTOCOL', ...withCode };
  return { cause: receivedBytes < recordHeaderBytes ? 'TLS-NOT-STARTED' : 'TLS-CUT', ...withCode };
}

/** The failure of a handshake that took too long. */
export function handshakeTimeout(receivedBytes: number): HandshakeFailure {
  return { cause: receivedBytes === 0 ? 'TLS-NOT-STARTED' : 'TLS-TIMEOUT' };
}
