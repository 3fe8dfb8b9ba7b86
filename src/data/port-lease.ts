/** One session's claim on one passive port, and the connection that fulfilled it until a transfer opens it. */
import type { Socket } from 'node:net';
import { DataConnectionError, type DataConnectionSource } from './data-connection-source.ts';

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

export class PortLease implements DataConnectionSource {
  readonly port: number;
  readonly #timeoutMs: number;
  readonly #sessionSignal: AbortSignal;
  readonly #events: LeaseEvents;
  readonly #timer: NodeJS.Timeout;
  #state: 'waiting' | 'connected' | 'over' = 'waiting';
  #socket: Socket | undefined;
  #failure = 'The data connection has been used; send PASV or EPSV first.';
  #opening: Opening | undefined;

  constructor(port: number, timeoutMs: number, sessionSignal: AbortSignal, events: LeaseEvents) {
    this.port = port;
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
    });
  }

  /** @param failure what the client is told where it goes on to use the lease. */
  close(failure = 'The data connection has been closed; send PASV or EPSV first.'): void {
    this.#end(failure);
  }

  readonly #expire = (): void => {
    this.#end(
      `No data connection came within ${Math.ceil(this.#timeoutMs / 1000)} seconds; send PASV or EPSV first.`,
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
