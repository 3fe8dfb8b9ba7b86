/**
 * TLS on a data connection (RFC 4217 section 9): the server's side of the handshake, with the control connection's own
 * context, so that a client can resume the control connection's session and nobody else's.
 */
import type { Socket } from 'node:net';
import { TLSSocket, type SecureContext } from 'node:tls';
import type { DataResumption } from '../../tls/context.ts';
import { DataConnectionError } from './data-connection-source.ts';

/** The client's data connection is not protected as it must be; the client is told 522 and `message`. */
export class DataProtectionError extends Error {
  override readonly name = 'DataProtectionError';
}

export type ProtectionOptions = {
  readonly resumption: DataResumption;
  /** How long the client may take for its handshake, in milliseconds. */
  readonly handshakeTimeoutMs: number;
};

/** Bytes of a TLS record's header (RFC 8446 5.1); a peer that sent fewer has not begun a handshake. */
const recordHeaderBytes = 5;

/** What OpenSSL makes of a first record that is none: other protocols, or the first bytes of a file. */
const clearTextErrors: ReadonlySet<string | undefined> = new Set([
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_HTTP_REQUEST',
  'ERR_SSL_HTTPS_PROXY_REQUEST',
]);

/**
 * Takes the socket over and resolves when the handshake is done. Called after the 150 reply, because most clients begin
 * their handshake only then. The socket is destroyed when it rejects, with `DataConnectionError` for a handshake that
 * failed or never began, and `DataProtectionError` for a session that was not resumed though it had to be.
 *
 * A client with nothing to send ends its side in one piece with its last handshake record. So the socket this resolves to
 * may have ended (`readableEnded`), or be closed, already: whoever takes it over asks for that before waiting for events.
 */
export function protectDataConnection(
  socket: Socket,
  secureContext: SecureContext,
  { resumption, handshakeTimeoutMs }: ProtectionOptions,
): Promise<TLSSocket> {
  const secured = new TLSSocket(socket, { isServer: true, secureContext });
  return new Promise((resolve, reject) => {
    let errorCode: string | undefined;
    const stopWaiting = (): void => {
      clearTimeout(timer);
      secured.off('end', onEnd);
      secured.off('close', onClose);
    };
    const fail = (error: Error): void => {
      stopWaiting();
      secured.destroy();
      reject(error);
    };
    const onClose = (): void => {
      const isClearText = socket.bytesRead < recordHeaderBytes || clearTextErrors.has(errorCode);
      fail(new DataConnectionError(isClearText ? inClear : handshakeFailed));
    };
    // The connection is half-open by design, so the end of the client's side closes nothing by itself.
    const onEnd = onClose;
    const timer = setTimeout(() => {
      const seconds = Math.ceil(handshakeTimeoutMs / 1000);
      const tooLong = `The TLS handshake of the data connection took over ${seconds} seconds.`;
      fail(new DataConnectionError(socket.bytesRead === 0 ? inClear : tooLong));
    }, handshakeTimeoutMs);
    // An error is followed by 'close', here and in a transfer.
    secured.on('error', (error: NodeJS.ErrnoException) => (errorCode ??= error.code));
    secured.once('end', onEnd);
    secured.once('close', onClose);
    secured.once('secure', () => {
      stopWaiting();
      if (resumption === 'required' && !secured.isSessionReused()) {
        secured.destroy();
        reject(
          new DataProtectionError("The data connection must resume the control connection's TLS session."),
        );
        return;
      }
      // 'secure' is emitted in the middle of OpenSSL's last step. Bytes written there overtake the session tickets of
      // TLS 1.3, and an end() right after them sends no close_notify.
      setImmediate(() => {
        if (hidesReset(secured)) fail(new DataConnectionError(handshakeFailed));
        else resolve(secured);
      });
    });
  });
}

/**
 * Whether the connection was reset under the server's last handshake record: the write that failed has taken the error from
 * the kernel, and what is read next is the end of the stream, which would be that of a whole, empty upload. A reset
 * connection has no peer any more (getpeername(2): ENOTCONN); one that the client has merely ended still has. Only a full
 * handshake of TLS 1.2 ends with a write of the server (RFC 5246 7.3).
 */
function hidesReset(secured: TLSSocket): boolean {
  const isServerLast = secured.getProtocol() !== 'TLSv1.3' && !secured.isSessionReused();
  return isServerLast && secured.remoteAddress === undefined;
}

const handshakeFailed = 'The TLS handshake of the data connection failed.';

/** Clients that speak implicit TLS and never say PROT are the usual case. */
const inClear = 'A data connection came, but in clear; this session protects them with TLS (PROT P).';
