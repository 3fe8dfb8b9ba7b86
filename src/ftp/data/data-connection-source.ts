import type { Socket } from 'node:net';

/**
 * Where a session's next data connection comes from: the port lease of its last PASV or EPSV, or the target of its last
 * PORT or EPRT. It serves one transfer.
 */
export type DataConnectionSource = {
  /**
   * The raw TCP socket, paused, with nothing read from it. For a lease the connection may have come before this call.
   * Rejects with `DataConnectionError` when none comes in time, and stops when the signal aborts.
   */
  open(signal: AbortSignal): Promise<Socket>;
  /** Gives the lease back, or closes a connection that came and was not opened. Idempotent. */
  close(): void;
};

/** No data connection could be had; the client is told 425 and `message`, which holds nothing private. */
export class DataConnectionError extends Error {
  override readonly name = 'DataConnectionError';
}
