/**
 * The TLS contexts of sessions. A context costs a fifth of a login's CPU time, so it serves one session after another, never two at a
 * time: docs/decisions/0029-recycled-tls-contexts.md.
 */
import type { Socket } from 'node:net';
import { TLSSocket, type SecureContext, type TLSSocketOptions } from 'node:tls';
import {
  createSessionContext,
  freeContext,
  type Certificate,
  type CertificateHolder,
  type TlsOptions,
} from './context.ts';
import { endTickets, isTicketUsedAgain, limitTickets } from './session-tickets.ts';

/** Unused contexts that are kept, some 40 KiB each: for more logins in quick succession, further ones are created. */
export const maxIdleContexts = 64;

/** The context of one session, and the TLS connections that are made with it. */
export class SessionContext {
  readonly #secureContext: SecureContext;
  readonly #onUnused: () => void;
  #openSockets = 0;
  #isReleased = false;

  /** @param onUnused called once, when the context is released and every connection made with it has closed. */
  constructor(secureContext: SecureContext, onUnused: () => void) {
    this.#secureContext = secureContext;
    this.#onUnused = onUnused;
  }

  /**
   * Begins the server's side of a handshake on the socket.
   * @param highWaterMark where the socket stops while reading is paused, in decrypted bytes; by default where Node does
   */
  secure(socket: Socket, highWaterMark?: number): TLSSocket {
    if (this.#isReleased) throw new Error('The TLS context of the session has been released.');
    // Node passes `highWaterMark` on to the stream; it is not in the types.
    const options: TLSSocketOptions & { readonly highWaterMark?: number | undefined } = {
      isServer: true,
      secureContext: this.#secureContext,
      highWaterMark,
    };
    const secured = new TLSSocket(socket, options);
    this.#openSockets += 1;
    // Emitted for every socket, however its handshake ends, and only after Node has destroyed its SSL object.
    secured.once('close', this.#onSocketClose);
    return secured;
  }

  /** Issues no more session tickets; see `endTickets`. */
  endTickets(): void {
    endTickets(this.#secureContext);
  }

  /** See the function of that name. */
  isTicketUsedAgain(): boolean {
    return isTicketUsedAgain(this.#secureContext);
  }

  /** The session makes no more connections. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    if (this.#openSockets === 0) this.#onUnused();
  }

  readonly #onSocketClose = (): void => {
    this.#openSockets -= 1;
    if (this.#isReleased && this.#openSockets === 0) this.#onUnused();
  };
}

/** Gives each session a context with ticket keys of its own, and the certificate that is current when the session begins. */
export class SessionContexts {
  readonly #certificates: CertificateHolder;
  readonly #options: TlsOptions;
  /** All with `#certificate`. */
  readonly #idle: SecureContext[] = [];
  #certificate: Certificate;

  /** Throws where the current certificate and its key do not match: that must stop the start, not the first client. */
  constructor(certificates: CertificateHolder, options: TlsOptions) {
    this.#certificates = certificates;
    this.#options = options;
    this.#certificate = certificates.current;
    freeContext(createSessionContext(this.#certificate, options));
  }

  /** How many unused contexts are kept. */
  get idleCount(): number {
    return this.#idle.length;
  }

  /** A context for one session, which must release it. */
  take(): SessionContext {
    this.#dropOutdated();
    const certificate = this.#certificate;
    const secureContext = this.#idle.pop() ?? createSessionContext(certificate, this.#options);
    // With its new keys a recycled context knows no ticket of its former session. Without the hook the keys would stay, so no
    // context is used twice.
    const hasNewKeys = limitTickets(secureContext, this.#options.tlsDataResumption);
    const onUnused = (): void => {
      if (hasNewKeys) this.#keep(secureContext, certificate);
      else freeContext(secureContext);
    };
    return new SessionContext(secureContext, onUnused);
  }

  #keep(context: SecureContext, certificate: Certificate): void {
    this.#dropOutdated();
    if (certificate === this.#certificate && this.#idle.length < maxIdleContexts) this.#idle.push(context);
    else freeContext(context);
  }

  #dropOutdated(): void {
    if (this.#certificates.current === this.#certificate) return;
    this.#certificate = this.#certificates.current;
    for (const context of this.#idle.splice(0)) freeContext(context);
  }
}
