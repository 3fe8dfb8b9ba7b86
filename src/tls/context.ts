/** TLS contexts of sessions. session-contexts.ts decides which session gets which. */
import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureVersion } from 'node:tls';

/** A certificate chain, the server's own first, and its private key; both PEM. */
export type Certificate = { readonly chain: string | Buffer; readonly key: string | Buffer };

/** Holds the current certificate. It is read for every session, so that a renewed one applies to the next session. */
export type CertificateHolder = { readonly current: Certificate };

/**
 * Whether a client's data connections resume the TLS session of its control connection. `off`: they cannot, because the context
 * gives no tickets. `optional`: they may. `required`: one that does not is refused, because only resumption proves that both
 * connections belong to the same client.
 */
export type DataResumption = 'off' | 'optional' | 'required';

export type TlsOptions = {
  readonly tlsMinVersion: SecureVersion;
  /** Cipher suites of TLS 1.2, as OpenSSL names them. TLS 1.3 has only suites with forward secrecy and AEAD, and keeps all. */
  readonly tlsCiphers: string;
  readonly tlsDataResumption: DataResumption;
};

/** ECDHE and AEAD only: what RFC 9325 4.2 recommends for TLS 1.2. No RSA key transport, no CBC, no SHA-1. */
export const defaultCiphers = 'ECDHE+AESGCM:ECDHE+CHACHA20';

/** Node turns TLS 1.3 off where a list names none of its suites. */
const tls13Ciphers = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256';

/**
 * Tickets must be valid for as long as a session can be, or its later data connections could not resume it. The context ends with
 * the session, and the tickets with it. RFC 8446 4.6.1 allows no more than seven days.
 */
const ticketLifetimeSeconds = 604_800;

/** The list of both versions, for Node. */
export function cipherList(tlsCiphers: string): string {
  return `${tls13Ciphers}:${tlsCiphers}`;
}

/** Creates a context for the connections of a session. Throws where certificate and key do not match. */
export function createSessionContext(certificate: Certificate, options: TlsOptions): SecureContext {
  return createSecureContext({
    cert: certificate.chain,
    key: certificate.key,
    minVersion: options.tlsMinVersion,
    ciphers: cipherList(options.tlsCiphers),
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    sessionTimeout: ticketLifetimeSeconds,
  });
}

/**
 * Frees the memory of a context that no connection uses any more. The garbage collector does not see its size: 10,000 failed
 * handshakes would leave some 400 MiB. Node documents no function for this; where the internal one is missing, the collector
 * frees the memory eventually.
 */
export function freeContext(context: SecureContext): void {
  const native = context.context as { readonly close?: () => void };
  if (typeof native.close === 'function') native.close();
}
