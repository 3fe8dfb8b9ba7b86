/**
 * TLS on a data connection (RFC 4217 section 9): the server's side of the handshake, with the control connection's own
 * context, so that a client can resume the control connection's session and nobody else's.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { ControlTls } from '../control/session.ts';
import { DataConnectionError } from './data-connection-source.ts';

export const dataResumptions = ['off', 'optional', 'required'] as const;

/**
 * What is asked of a client's data connections under TLS: `off`, the control connection's session is not resumable
 * (its context gives no tickets); `optional`, it may be resumed; `required`, a data connection that does not resume it is
 * refused, because only resumption proves that both connections belong to the same client.
 */
export type DataResumption = (typeof dataResumptions)[number];

/** The client's data connection is not protected as it must be; the client is told 522 and `message`. */
export class DataProtectionError extends Error {
  override readonly name = 'DataProtectionError';
}

/**
 * Takes the socket over and resolves when the handshake is done. Called after the 150 reply, because most clients begin
 * their handshake only then. The socket is destroyed when it rejects, with `DataConnectionError` for a failed handshake
 * and `DataProtectionError` for a session that was not resumed though it had to be.
 */
export function protectDataConnection(
  socket: Socket,
  tls: ControlTls,
  resumption: DataResumption,
): Promise<TLSSocket> {
  const secured = new TLSSocket(socket, { isServer: true, secureContext: tls.secureContext });
  // Errors are followed by 'close', which is what everybody waits for.
  secured.on('error', ignore);
  return new Promise((resolve, reject) => {
    const fail = (): void =>
      reject(new DataConnectionError('The TLS handshake of the data connection failed.'));
    secured.once('close', fail);
    const succeed = (): void => {
      if (secured.destroyed) return;
      secured.off('close', fail);
      if (resumption === 'required' && !secured.isSessionReused()) {
        secured.destroy();
        reject(
          new DataProtectionError("The data connection must resume the control connection's TLS session."),
        );
        return;
      }
      resolve(secured);
    };
    // 'secure' is told in the middle of OpenSSL's last step. Bytes written there overtake the session tickets of
    // TLS 1.3, and an end() right after them sends no close_notify.
    secured.once('secure', () => setImmediate(succeed));
  });
}

function ignore(): void {
  // Nothing to do: see above.
}
