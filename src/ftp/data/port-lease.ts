/** One session's claim on one passive port, and the connection that fulfilled it until a transfer opens it. */
import type { Socket } from 'node:net';
import { DataConnectionError, type DataConnectionSource } from './data-connection-source.ts';

/** Who asks for a port. */
export type LeaseHolder = {
  /** The session's. */
  readonly id: string;
  /** The address its data connection will come from. */
  readonly clientAddress: string;
  /** Whether a command is under way: then it is the gateway that keeps the client waiting, and not the other way round. */
  readonly isExecuting: boolean;
};

type LeaseEvents = {
  /** The port is free again: the connection came, or the lease ended. Called once. */
  released(): void;
  /** Nothing is left of the lease: its connection was opened or closed, or none came. Called once. */
  ended(): void;
};

type Opening = {
  readonly resolve: (socket: Socket) => void;
  readonly reject: (error: DataConnectionError) => void;
};

/**
 * How long a lease goes on waiting when a connection to its port was reset before it could be accepted. The client's own
 * was it most likely, but a reset connection has no address any more, and a stranger's must not end the lease at once.
 */
const waitAfterResetMs = 1_000;

export class PortLease implements DataConnectionSource {
  readonly port: number;
  readonly #holder: LeaseHolder;
  readonly #timeoutMs: number;
  readonly #sessionSignal: AbortSignal;
  readonly #events: LeaseEvents;
  #timer: NodeJS.Timeout;
  #state: 'waiting' | 'connected' | 'over' = 'waiting';
  #wasReset = false;
  #socket: Socket | undefined;
  #failure = 'The data connection has been used; send PASV or EPSV first.';
  #opening: Opening | undefined;

  constructor(
    port: number,
    holder: LeaseHolder,
    timeoutMs: number,
    sessionSignal: AbortSignal,
    events: LeaseEvents,
  ) {
    this.port = port;
    this.#holder = holder;
    this.#timeoutMs = timeoutMs;
    this.#sessionSignal = sessionSignal;
    this.#events = events;
    this.#timer = setTimeout(this.#expire, timeoutMs);
    sessionSignal.addEventListener('abort', this.#endWithSession);
  }

  /** Takes the connection that the lease waits for; from now on the port is free for others. */
  accept(socket: Socket): void {
    this.#state = 'connected';
    clearTimeout(this.#timer);
    this.#socket = socket;
    if (this.#opening !== undefined) this.#hand(this.#opening.resolve);
    this.#events.released();
  }

  /** A connection, presumably the client's, was reset before it could be accepted. */
  reportReset(): void {
    this.#wasReset = true;
    if (this.#opening !== undefined) this.#startClock();
  }

  open(signal: AbortSignal): Promise<Socket> {
    return new Promise((resolve, reject) => {
      if (this.#state === 'connected') {
        this.#hand(resolve);
        return;
      }
      if (this.#state === 'over' || signal.aborted) {
        reject(new DataConnectionError(this.#failure));
        return;
      }
      const stop = (): void => this.#end('The transfer was aborted before its data connection came.');
      signal.addEventListener('abort', stop);
      this.#opening = {
        resolve: (socket) => {
          signal.removeEventListener('abort', stop);
          resolve(socket);
        },
        reject: (error) => {
          signal.removeEventListener('abort', stop);
          reject(error);
        },
      };
      // Many clients connect only when they have read the 150, which comes right before this call.
      this.#startClock();
    });
  }

  /** @param failure what the client is told where it goes on to use the lease. */
  close(failure = 'The data connection has been closed; send PASV or EPSV first.'): void {
    this.#end(failure);
  }

  #startClock(): void {
    clearTimeout(this.#timer);
    const timeoutMs = this.#wasReset ? Math.min(waitAfterResetMs, this.#timeoutMs) : this.#timeoutMs;
    this.#timer = setTimeout(this.#expire, timeoutMs);
  }

  readonly #expire = (): void => {
    if (this.#opening === undefined && this.#holder.isExecuting) {
      // A transfer waits for the storage, and its client perhaps for the 150.
      this.#timer.refresh();
      return;
    }
    const seconds = Math.ceil(this.#timeoutMs / 1000);
    this.#end(
      this.#wasReset
        ? 'The data connection was reset before it was accepted; send PASV or EPSV first.'
        : `No data connection came within ${seconds} seconds; send PASV or EPSV first.`,
    );
  };

  readonly #endWithSession = (): void => {
    this.#end('The session has ended.');
  };

  #hand(resolve: (socket: Socket) => void): void {
    const socket = this.#socket as Socket;
    this.#socket = undefined;
    this.#finish();
    resolve(socket);
  }

  #end(failure: string): void {
    if (this.#state === 'over') return;
    const wasWaiting = this.#state === 'waiting';
    this.#failure = failure;
    this.#socket?.destroy();
    this.#socket = undefined;
    const opening = this.#opening;
    this.#finish();
    opening?.reject(new DataConnectionError(failure));
    if (wasWaiting) this.#events.released();
  }

  #finish(): void {
    this.#state = 'over';
    this.#opening = undefined;
    clearTimeout(this.#timer);
    this.#sessionSignal.removeEventListener('abort', this.#endWithSession);
    this.#events.ended();
  }
}
