/**
 * TLS on a data connection (RFC 4217 section 9): the server's side of the handshake. It uses the control connection's own
 * context, so that a client can resume the TLS session of its control connection and no other.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { CausedError } from '../../observability/cause.ts';
import { handshakeFailure, handshakeTimeout, type HandshakeFailure } from '../../tls/handshake-failure.ts';
import type { DataResumption } from '../../tls/context.ts';
import type { SessionContext } from '../../tls/session-contexts.ts';
import { DataConnectionError } from './data-connection-source.ts';

/** The data connection is not protected as required. The client gets 522 with `message`. */
export class DataProtectionError extends CausedError {
  override readonly name = 'DataProtectionError';
}

/** TLS of a control connection, as its data connections need it. */
export type SessionTls = {
  /** Belongs to this control connection alone: a ticket of another session is not accepted on its data connections. */
  readonly context: SessionContext;
  /** Whether the client has shown that all of its data connections can resume the session of the control connection. */
  canAlwaysResume: boolean;
};

export type ProtectionOptions = {
  readonly resumption: DataResumption;
  /** How long the client may take for its handshake, in milliseconds. */
  readonly handshakeTimeoutMs: number;
};

/**
 * Takes over the socket and resolves when the handshake is done. Called after the 150 reply, because most clients begin their
 * handshake only then. Destroys the socket before it rejects: with `DataConnectionError` if the handshake failed or never
 * began, with `DataProtectionError` if the session had to be resumed and was not.
 *
 * A client with nothing to send may end its side in the same segment as its last handshake record. So the returned socket may
 * have ended (`readableEnded`) or closed already: callers check that before they wait for events.
 */
export function protectDataConnection(
  socket: Socket,
  tls: SessionTls,
  { resumption, handshakeTimeoutMs }: ProtectionOptions,
): Promise<TLSSocket> {
  // The messages of a handshake are small, and each waits for one of the other side.
  socket.setNoDelay(true);
  tls.context.endTickets();
  const secured = tls.context.secure(socket);
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
      fail(errorOf(handshakeFailure(errorCode, socket.bytesRead)));
    };
    // The socket allows half-open connections, so the end of the client's side does not close it.
    const onEnd = onClose;
    const timer = setTimeout(() => {
      const seconds = Math.ceil(handshakeTimeoutMs / 1000);
      const tooLong = `The TLS handshake of the data connection took over ${seconds} s.`;
      fail(errorOf(handshakeTimeout(socket.bytesRead), tooLong));
    }, handshakeTimeoutMs);
    // An error is followed by 'close', here and in a transfer.
    secured.on('error', (error: NodeJS.ErrnoException) => (errorCode ??= error.code));
    secured.once('end', onEnd);
    secured.once('close', onClose);
    secured.once('secure', () => {
      stopWaiting();
      // After the handshake Node reports a record that is no TLS, or forged, with this event alone where no tls.Server holds the
      // socket, and leaves the socket open.
      secured.once('_tlsError', () => secured.destroy());
      if (secured.isSessionReused()) {
        // In TLS 1.3 a ticket should be used once (RFC 8446 C.4). A client that does so has none left after its first data
        // connection or its second: Debian 12's curl keeps one of the two tickets, Java and newer curls keep both.
        if (secured.getProtocol() !== 'TLSv1.3' || tls.context.isTicketUsedAgain())
          tls.canAlwaysResume = true;
      } else if (resumption === 'required' || (resumption === 'optional' && tls.canAlwaysResume)) {
        secured.destroy();
        reject(
          new DataProtectionError(
            'TLS-NOT-RESUMED',
            "The data connection must resume the control connection's TLS session.",
          ),
        );
        return;
      }
      // 'secure' is emitted in the middle of OpenSSL's last step. Bytes written there would overtake the session tickets of
      // TLS 1.3, and an end() right after them would send no close_notify.
      setImmediate(() => {
        if (hidesReset(secured)) fail(errorOf({ cause: 'TLS-CUT' }));
        else resolve(secured);
      });
    });
  });
}

/**
 * Whether the connection was reset while the server wrote its last handshake record. The failed write consumed the kernel's
 * error, so the next read would return the end of the stream, as for a complete, empty upload. A reset connection has no peer
 * (getpeername(2): ENOTCONN); one that the client has only ended still has. Only a full handshake of TLS 1.2 ends with a
 * write of the server (RFC 5246 7.3).
 */
function hidesReset(secured: TLSSocket): boolean {
  const isServerLast = secured.getProtocol() !== 'TLSv1.3' && !secured.isSessionReused();
  return isServerLast && secured.remoteAddress === undefined;
}

/** Usually a client that sends in clear uses implicit TLS and never sends PROT. */
const inClear = 'A data connection came, but in clear; this session protects them with TLS (PROT P).';

function errorOf(
  failure: HandshakeFailure,
  text = 'The TLS handshake of the data connection failed.',
): DataConnectionError {
  const message = failure.cause === 'TLS-NOT-STARTED' ? inClear : text;
  return new DataConnectionError(failure.cause, message, failure);
}
