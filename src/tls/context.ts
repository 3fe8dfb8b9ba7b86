/** The TLS contexts of sessions. Every session has one of its own, so that only its own data connections can resume it. */
import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureVersion } from 'node:tls';
import { limitTickets } from './session-tickets.ts';

/** A certificate chain, the server's own first, and its private key; both PEM. */
export type Certificate = { readonly chain: string | Buffer; readonly key: string | Buffer };

/** Hands out the certificate that is in force; asked for every session, so that a renewed one serves the next. */
export type CertificateHolder = { readonly current: Certificate };

/**
 * Whether a client's data connections resume the TLS session of its control connection. `off`: they cannot, because the context
 * gives no tickets. `optional`: they may. `required`: one that does not is refused, because only resumption proves that both
 * connections belong to the same client.
 */
export type DataResumption = 'off' | 'optional' | 'required';

export type TlsOptions = {
  readonly tlsMinVersion: SecureVersion;
  readonly tlsDataResumption: DataResumption;
};

/**
 * Makes a context for one session. Its ticket keys are random: a ticket of another session cannot be resumed
 * with it. Throws where certificate and key do not fit together.
 */
export function createSessionContext(certificate: Certificate, options: TlsOptions): SecureContext {
  const context = createSecureContext({
    cert: certificate.chain,
    key: certificate.key,
    minVersion: options.tlsMinVersion,
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  });
  limitTickets(context, options.tlsDataResumption === 'off' ? 'none' : 'control-connection');
  return context;
}

/**
 * Gives the memory of a context back at once, when no connection can be made with it any more. Left to the garbage
 * collector, which does not see it, what 10,000 failed handshakes leave behind is some 400 MiB. Node documents no way to
 * do this; where its own is missing, the collector does it after all.
 */
export function releaseContext(context: SecureContext): void {
  const native = context.context as { readonly close?: () => void };
  if (typeof native.close === 'function') native.close();
}
