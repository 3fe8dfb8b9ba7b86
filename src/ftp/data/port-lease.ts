/** One session's claim on one passive port, and the accepted connection until a transfer opens it. */
import { addAbortListener } from 'node:events';
import type { Socket } from 'node:net';
import { causeOf, type CauseCode } from '../../observability/cause.ts';
import { DataConnectionError, type DataConnectionSource } from './data-connection-source.ts';

/** Why a transfer does not get its connection: the cause, and the text of the reply. */
export type LeaseFailure = readonly [cause: CauseCode, text: string];

const usedUp: LeaseFailure = ['DATA-NO-MODE', 'The data connection has been used; send PASV or EPSV first.'];
const closed: LeaseFailure = [
  'DATA-NO-MODE',
  'The data connection has been closed; send PASV or EPSV first.',
];

/** The session that leases a port. */
export type LeaseHolder = {
  /** The session's id. */
  readonly id: string;
  /** The address its data connection will come from. */
  readonly clientAddress: string;
  /** Whether a command is running. Then the client waits for the gateway, not the gateway for the client. */
  readonly isExecuting: boolean;
};

type LeaseEvents = {
  /** The port is free again: its connection was accepted, or the lease ended. Called once. */
  released(): void;
  /** No connection came in time. Called before `ended`. */
  expired(): void;
  /** The lease is over: its connection was opened or closed, or none came. Called once. */
  ended(): void;
};

/** A transfer that waits for the connection. */
type Opening = {
  readonly resolve: (socket: Socket) => void;
  readonly reject: (error: DataConnectionError) => void;
  readonly abortListener: Disposable;
};

/**
 * How long a lease still waits after a connection to its port was reset before it could be accepted. Most likely it was the
 * client's own, but a reset connection has no address, and another host's must not end the lease immediately.
 */
const waitAfterResetMs = 1_000;

/** One lease. It ends when its connection is opened, with its session, or after its timeout. */
export class PortLease implements DataConnectionSource {
  readonly mode = 'passive';
  readonly port: number;
  readonly #holder: LeaseHolder;
  readonly #timeoutMs: number;
  readonly #sessionSignal: AbortSignal;
  readonly #events: LeaseEvents;
  #timer: NodeJS.Timeout;
  #state: 'waiting' | 'connected' | 'over' = 'waiting';
  #wasReset = false;
  #strangerCame = false;
  readonly #allPorts: string;
  #socket: Socket | undefined;
  #failure: LeaseFailure = usedUp;
  #opening: Opening | undefined;

  constructor(
    { port, allPorts }: { readonly port: number; readonly allPorts: string },
    holder: LeaseHolder,
    timeoutMs: number,
    sessionSignal: AbortSignal,
    events: LeaseEvents,
  ) {
    this.port = port;
    this.#allPorts = allPorts;
    this.#holder = holder;
    this.#timeoutMs = timeoutMs;
    this.#sessionSignal = sessionSignal;
    this.#events = events;
    this.#timer = setTimeout(this.#expire, timeoutMs);
    sessionSignal.addEventListener('abort', this.#endWithSession);
  }

  /** Accepts the connection that the lease waits for; the port is then free for other leases. */
  accept(socket: Socket): void {
    this.#state = 'connected';
    clearTimeout(this.#timer);
    this.#socket = socket;
    if (this.#opening !== undefined) this.#handOver(this.#opening.resolve);
    this.#events.released();
  }

  get clientAddress(): string {
    return this.#holder.clientAddress;
  }

  get missingCause(): CauseCode {
    if (this.#wasReset) return 'PASV-RESET';
    return this.#strangerCame ? 'PASV-ADDRESS' : 'PASV-NONE';
  }

  /** A connection from another address reached the port while no other lease waited there: presumably the client's. */
  reportStranger(): void {
    this.#strangerCame = true;
  }

  /** A connection, presumably the client's, was reset before it could be accepted. */
  reportReset(): void {
    this.#wasReset = true;
    if (this.#opening !== undefined) this.#startTimer();
  }

  open(signal: AbortSignal): Promise<Socket> {
    return new Promise((resolve, reject) => {
      if (this.#state === 'connected') {
        this.#handOver(resolve);
        return;
      }
      if (this.#state === 'over' || signal.aborted) {
        reject(new DataConnectionError(...this.#failure));
        return;
      }
      const abortListener = addAbortListener(signal, () => {
        this.#end([causeOf(signal.reason), 'The transfer was aborted before its data connection came.']);
      });
      this.#opening = { resolve, reject, abortListener };
      // Many clients connect only when they have read the 150, which was sent right before this call.
      this.#startTimer();
    });
  }

  /** @param failure of a transfer command that still tries to use the lease. */
  close(failure = closed): void {
    this.#end(failure);
  }

  #startTimer(): void {
    if (!this.#wasReset) {
      this.#timer.refresh();
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#expire, Math.min(waitAfterResetMs, this.#timeoutMs));
  }

  readonly #expire = (): void => {
    if (this.#opening === undefined && this.#holder.isExecuting) {
      // The command waits for the storage, and its client perhaps for the 150.
      this.#timer.refresh();
      return;
    }
    const seconds = Math.ceil(this.#timeoutMs / 1000);
    const from = this.#holder.clientAddress;
    this.#events.expired();
    this.#end([this.missingCause, this.#missingText(from, seconds)]);
  };

  readonly #endWithSession = (): void => {
    this.#end([causeOf(this.#sessionSignal.reason), 'The session has ended.']);
  };

  #missingText(from: string, seconds: number): string {
    if (this.#wasReset) {
      return `The data connection to port ${this.port} was reset before it was accepted; send PASV or EPSV again.`;
    }
    if (this.#strangerCame) {
      return `The data connection to port ${this.port} came from another address than ${from}; use one address for both connections.`;
    }
    return `No connection from ${from} reached port ${this.port} within ${seconds} s; a firewall may block it. Allow TCP ${this.#allPorts}.`;
  }

  #handOver(resolve: (socket: Socket) => void): void {
    const socket = this.#socket as Socket;
    this.#socket = undefined;
    this.#finish();
    resolve(socket);
  }

  #end(failure: LeaseFailure): void {
    if (this.#state === 'over') return;
    const wasWaiting = this.#state === 'waiting';
    this.#failure = failure;
    this.#socket?.destroy();
    this.#socket = undefined;
    const opening = this.#opening;
    this.#finish();
    opening?.reject(new DataConnectionError(...failure));
    if (wasWaiting) this.#events.released();
  }

  #finish(): void {
    this.#state = 'over';
    this.#opening?.abortListener[Symbol.dispose]();
    this.#opening = undefined;
    clearTimeout(this.#timer);
    this.#sessionSignal.removeEventListener('abort', this.#endWithSession);
    this.#events.ended();
  }
}
