/**
 * The control connection's socket: bytes in, lines out; replies in, bytes out; clear, and TLS after AUTH.
 * What the lines mean is the dispatcher's business.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { LineFraming, type Line } from './line-framing.ts';
import { formatReply, type Reply } from '../commands/reply.ts';
import type { ControlTls } from '../commands/session.ts';
import { encodeText, type TextEncoding } from '../commands/text-encoding.ts';

export type ControlConnectionEvents = {
  /** Bytes have arrived: there may be lines to take. */
  arrived(): void;
  /** Replies that waited have gone out: there is room for more. */
  drained(): void;
  /** The handshake that AUTH asked for is done. */
  secured(tls: ControlTls): void;
  /**
   * The client has closed its side in order. Returns whether what it sent before is still executed and answered; `end` is
   * called then. Otherwise the connection is closed, and `closed` follows.
   */
  ended(): boolean;
  /** It is gone, by whichever side. Called once. */
  closed(reason: 'client-closed' | 'connection-broken'): void;
};

/** Sees the first bytes, where a PROXY header stands in front of them. Returns what follows it, or undefined for "not yet". */
export type Preamble = (bytes: Buffer) => Buffer | undefined;

/** Unread lines beyond this stop the reading of the socket, so that the client's own TCP waits. */
const maxUnreadBytes = 16 * 1024;
/** Replies the client has not taken beyond this stop the execution of its commands. */
const maxUnsentBytes = 16 * 1024;
/** An NLB forgets a connection that is silent for 350 s (6,000 s at most, as configured); keepalive must come before. */
const keepAliveMs = 120_000;
/** How long a client may take to read the last reply and close its side. */
const closingMs = 5_000;

export class ControlConnection {
  #socket: Socket;
  readonly #events: ControlConnectionEvents;
  readonly #framing = new LineFraming();
  #state: 'open' | 'closing' | 'closed' = 'open';
  #isReadingStopped = false;
  #preamble: Preamble | undefined;
  #closingTimer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, events: ControlConnectionEvents, preamble?: Preamble) {
    this.#socket = socket;
    this.#events = events;
    this.#preamble = preamble;
    // Without it each reply after the first of a transfer waits for the client's delayed ACK: 40 ms a file.
    socket.setNoDelay(true);
    socket.setKeepAlive(true, keepAliveMs);
    this.#listen(socket);
  }

  get socket(): Socket {
    return this.#socket;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Whether the client reads its replies; if not, it gets no more of them for now. */
  get takesReplies(): boolean {
    return this.#socket.writableLength <= maxUnsentBytes;
  }

  /** Whether bytes that came in clear wait to be read. */
  get hasUnreadBytes(): boolean {
    return this.#framing.bufferedBytes > 0 || this.#socket.readableLength > 0;
  }

  nextLine(encoding: TextEncoding): Line | undefined {
    return this.#framing.next(encoding);
  }

  /** Reads on, or stops, as much as is still unread. To be called when lines have been taken. */
  adjustReading(): void {
    if (this.#framing.bufferedBytes > maxUnreadBytes) this.#stopReading();
    else if (this.#isReadingStopped && this.#state === 'open') {
      this.#isReadingStopped = false;
      this.#socket.resume();
    }
  }

  /** Sends a reply in one piece. */
  send(reply: Reply, encoding: TextEncoding): void {
    if (this.#state !== 'open') return;
    this.#socket.write(encodeText(formatReply(reply), encoding));
  }

  /**
   * Begins the handshake on the socket. Whatever the socket delivers from now on is TLS; bytes read in clear must have
   * been ruled out by the caller (RFC 4217 does not, and commands were smuggled past the handshake that way).
   */
  startTls(secureContext: ControlTls['secureContext']): void {
    const raw = this.#socket;
    raw.removeListener('data', this.#onData);
    raw.removeListener('end', this.#onEnd);
    raw.removeListener('drain', this.#onDrain);
    const socket = new TLSSocket(raw, { isServer: true, secureContext });
    this.#socket = socket;
    this.#isReadingStopped = false;
    this.#listen(socket);
    socket.once('secure', () => this.#events.secured({ socket, secureContext }));
  }

  /** Sends what is left, closes our side in order, and drops the connection if the client does not follow. */
  end(): void {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.#socket.end();
    // Bytes left unread would turn our FIN into a reset, which can overtake the last reply.
    this.#socket.resume();
    this.#dropSoon();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #listen(socket: Socket): void {
    // A client that closes its side behind QUIT still reads the replies to what it sent before.
    socket.allowHalfOpen = true;
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('drain', this.#onDrain);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
  }

  #stopReading(): void {
    this.#isReadingStopped = true;
    this.#socket.pause();
  }

  // Not the socket's own timeout: that one begins anew with every byte a client sends.
  #dropSoon(): void {
    this.#closingTimer ??= setTimeout(() => this.#socket.destroy(), closingMs);
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#state !== 'open') return;
    let bytes: Buffer | undefined = chunk;
    if (this.#preamble !== undefined) {
      bytes = this.#preamble(chunk);
      if (bytes === undefined) return;
      this.#preamble = undefined;
    }
    this.#framing.push(bytes);
    this.#events.arrived();
    this.adjustReading();
  };

  readonly #onDrain = (): void => {
    if (this.#state !== 'open') return;
    this.#events.drained();
    this.adjustReading();
  };

  readonly #onEnd = (): void => {
    if (this.#state === 'open' && this.#events.ended()) return;
    this.#socket.destroySoon();
    this.#dropSoon();
    this.#close('client-closed');
  };

  // Its 'close' follows, but a phase of the event loop later: too late to be seen together with what was read before it.
  readonly #onError = (): void => this.#close('connection-broken');

  readonly #onClose = (): void => {
    clearTimeout(this.#closingTimer);
    // Of a TLS connection either socket may be the one that reports it.
    this.#socket.destroy();
    this.#close('connection-broken');
  };

  #close(reason: 'client-closed' | 'connection-broken'): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#events.closed(reason);
  }
}
