import type { Socket } from 'node:net';
import { CausedError, type CauseCode } from '../../observability/cause.ts';
import type { HandshakeFailure } from '../../tls/handshake-failure.ts';

/**
 * The origin of a session's next data connection: the port lease of its last PASV or EPSV, or the target of its last PORT or
 * EPRT. It serves one transfer.
 */
export type DataConnectionSource = {
  /** Who connects: the client to a passive port, or the gateway to the client. */
  readonly mode: 'passive' | 'active';
  /** The passive port, or the client's. */
  readonly port: number;
  /** Why there is no connection if the client gives up now. */
  readonly missingCause: CauseCode;
  /**
   * Resolves to the raw TCP socket, paused and unread. For a lease the client may have connected before this call.
   * Rejects with `DataConnectionError` on a timeout, and when the signal aborts.
   */
  open(signal: AbortSignal): Promise<Socket>;
  /** Releases the lease, or closes a connection that was accepted and not opened. Idempotent. */
  close(): void;
};

/** No data connection could be established. The client gets 425 with `message`, which contains nothing private. */
export class DataConnectionError extends CausedError {
  override readonly name = 'DataConnectionError';
  /** Of a connection that was made, and whose TLS handshake failed. */
  readonly handshake: HandshakeFailure | undefined;

  constructor(causeCode: CauseCode, message: string, handshake?: HandshakeFailure) {
    super(causeCode, message);
    this.handshake = handshake;
  }
}

/**
 * Listener for errors of data sockets before and after their transfer, which has listeners of its own. Without any listener an
 * 'error' event would end the process.
 */
export function ignoreSocketError(): void {
  // The socket is closed, or about to be; there is nothing to do.
}
