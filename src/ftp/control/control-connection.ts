/**
 * The socket of a control connection: lines in, replies out, in clear text or under TLS. Knows nothing of what lines mean.
 */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { type CompleteProxyHeader, ProxyHeaderReader } from '../../net/proxy-protocol.ts';
import { handshakeFailure, handshakeTimeout, type HandshakeFailure } from '../../tls/handshake-failure.ts';
import type { SessionContext } from '../../tls/session-contexts.ts';
import { formatReply, type Reply } from '../commands/reply.ts';
import type { ControlTls } from '../commands/session.ts';
import { encodeText, type TextEncoding } from '../commands/text-encoding.ts';
import { LineFraming, type Line } from './line-framing.ts';

/** Reading pauses while more than this is buffered, so that TCP slows the client down. */
const maxUnreadBytes = 16 * 1024;
/** Commands are not executed while more than this of the replies is unsent. */
const maxUnsentBytes = 16 * 1024;
/** Chunks that are read before the event loop gets to others: under TLS each record is one, and it can hold a single byte. */
const maxChunksInARow = 256;
/**
 * Decrypted bytes at which a paused TLS socket stops reading. With Node's 64 KiB, records of one byte could take 150 ms of one turn of
 * the event loop.
 */
export const pausedAtBytes = 4_096;
/** An NLB drops a connection that is idle for 350 s (at most 6,000 s, as configured); keepalive has to come earlier. */
const keepAliveMs = 120_000;
/** How long a client may take to read the last reply and close its side. */
const closingTimeoutMs = 5_000;

type Events = {
  /** The PROXY header has arrived. The bytes behind a malformed one are discarded. */
  proxyHeader: [header: CompleteProxyHeader];
  /** Bytes have arrived: there may be lines. */
  readable: [];
  /** The client has sent more than is read ahead. While reading is paused, the end of the connection goes unnoticed. */
  readingPaused: [];
  /** The client has read its replies: commands may be executed again. */
  writable: [];
  /** The handshake that `startTls` began has succeeded. */
  secured: [tls: ControlTls];
  /**
   * The client has closed its side, and the connection is still open for replies. The session calls `endAtOnce`
   * unless commands that arrived before are still to be answered.
   */
  clientEnded: [];
  /** The connection is closed, by either side. Emitted once. */
  closed: [cause: 'CLIENT-CLOSED' | 'CONTROL-LOST'];
  /** The handshake that `startTls` began has failed; `closed` follows. */
  handshakeFailed: [failure: HandshakeFailure];
};

/** One control connection. Emits `Events`. */
export class ControlConnection extends EventEmitter<Events> {
  /** How lines are read and replies written; OPTS UTF8 changes it. */
  encoding: TextEncoding;
  #socket: Socket;
  /** The TCP socket, under TLS too. */
  readonly #raw: Socket;
  readonly #framing = new LineFraming();
  #state: 'open' | 'closing' | 'closed' = 'open';
  #isReadingPaused = false;
  #chunks = 0;
  #receivedAtMs = performance.now();
  /** `bytesRead` of the socket below when the handshake began; undefined when none is running. */
  #handshakeStartBytes: number | undefined;
  #proxyHeader: ProxyHeaderReader | undefined;
  #closingTimer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, encoding: TextEncoding, proxyHeader: 'expected' | 'none') {
    super();
    this.#socket = socket;
    this.#raw = socket;
    this.encoding = encoding;
    if (proxyHeader === 'expected') this.#proxyHeader = new ProxyHeaderReader();
    // Otherwise each reply after the first of a transfer waits for the client's delayed ACK: 40 ms a file.
    socket.setNoDelay(true);
    socket.setKeepAlive(true, keepAliveMs);
    this.#listen(socket);
  }

  /** Whether replies can be sent now: the connection is open, and the client reads its replies. */
  get isWritable(): boolean {
    return this.#state === 'open' && !this.isBackedUp;
  }

  /** Whether the client does not read its replies. */
  get isBackedUp(): boolean {
    return this.#socket.writableLength > maxUnsentBytes;
  }

  /** Milliseconds since the last byte from the client, or since the connection. */
  get idleMs(): number {
    return performance.now() - this.#receivedAtMs;
  }

  /** Whether bytes that arrived in clear text are still unread. */
  get hasUnreadBytes(): boolean {
    return this.#framing.bufferedBytes > 0 || this.#socket.readableLength > 0;
  }

  /** The next whole line, or undefined until more bytes arrive. */
  nextLine(): Line | undefined {
    return this.#framing.next(this.encoding);
  }

  /** Pauses or resumes reading, depending on how much is buffered. Call it after lines have been taken. */
  adjustReading(): void {
    if (this.#framing.bufferedBytes > maxUnreadBytes) {
      this.#isReadingPaused = true;
      this.#socket.pause();
      this.emit('readingPaused');
    } else if (this.#isReadingPaused && this.#state === 'open') {
      this.#isReadingPaused = false;
      this.#socket.resume();
    }
  }

  /** Sends a reply in a single write. Does nothing once the connection is closing. */
  send(reply: Reply): void {
    if (this.#state !== 'open') return;
    this.#socket.write(encodeText(formatReply(reply), this.encoding));
  }

  /**
   * Begins the handshake: everything that the socket delivers from now on is TLS. The caller must have ruled out that bytes
   * read in clear text are left. RFC 4217 does not ask for that, but commands were injected ahead of the handshake that way.
   */
  startTls(context: SessionContext): void {
    const raw = this.#socket;
    raw.removeListener('data', this.#onData);
    raw.removeListener('end', this.#onEnd);
    raw.removeListener('drain', this.#onDrain);
    this.#handshakeStartBytes = raw.bytesRead;
    const socket = context.secure(raw, pausedAtBytes);
    this.#socket = socket;
    this.#isReadingPaused = false;
    this.#listen(socket);
    socket.once('secure', () => {
      this.#handshakeStartBytes = undefined;
      this.emit('secured', { socket, context, canAlwaysResume: false });
    });
  }

  /** The failure of a handshake that is still running, if one is and has taken too long; it is then not reported again. */
  giveUpHandshake(): HandshakeFailure | undefined {
    const startBytes = this.#handshakeStartBytes;
    this.#handshakeStartBytes = undefined;
    return startBytes === undefined ? undefined : handshakeTimeout(this.#raw.bytesRead - startBytes);
  }

  /** Sends what is queued, closes our side, and destroys the socket if the client does not close its side. */
  end(): void {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.#socket.end();
    // Unread bytes would turn our FIN into a reset, which can overtake the last reply.
    this.#socket.resume();
    this.#startClosingTimer();
  }

  /** Sends what is queued and closes, without waiting for the client; `closed` is emitted synchronously. */
  endAtOnce(): void {
    this.#socket.destroySoon();
    this.#startClosingTimer();
    this.#close('CLIENT-CLOSED');
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #listen(socket: Socket): void {
    // A client that closes its side right behind QUIT still reads the replies to what it sent before.
    socket.allowHalfOpen = true;
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('drain', this.#onDrain);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
    // After the handshake Node reports a record that is no TLS, or forged, with this event alone where no tls.Server holds the
    // socket, and reads no more.
    socket.on('_tlsError', (error: Error) => socket.destroy(error));
  }

  // Not socket.setTimeout(), which every byte from the client restarts.
  #startClosingTimer(): void {
    this.#closingTimer ??= setTimeout(() => this.#socket.destroy(), closingTimeoutMs);
  }

  readonly #onData = (chunk: Buffer): void => {
    if (++this.#chunks % maxChunksInARow === 0) this.#rest();
    if (this.#state !== 'open') return;
    this.#receivedAtMs = performance.now();
    const bytes = this.#proxyHeader === undefined ? chunk : this.#readProxyHeader(this.#proxyHeader, chunk);
    if (bytes === undefined) return;
    this.#framing.push(bytes);
    this.emit('readable');
    this.adjustReading();
  };

  /** Reads on in the next turn of the event loop. */
  #rest(): void {
    const socket = this.#socket;
    socket.pause();
    setImmediate(() => {
      if (socket === this.#socket && !this.#isReadingPaused) socket.resume();
    });
  }

  /** Returns the bytes behind the header; undefined where it is incomplete or malformed. */
  #readProxyHeader(reader: ProxyHeaderReader, chunk: Buffer): Buffer | undefined {
    const result = reader.push(chunk);
    if (result === undefined) return undefined;
    this.#proxyHeader = undefined;
    this.emit('proxyHeader', result.header);
    return result.header.kind === 'malformed' ? undefined : result.rest;
  }

  readonly #onDrain = (): void => {
    if (this.#state !== 'open') return;
    this.emit('writable');
    this.adjustReading();
  };

  readonly #onEnd = (): void => {
    this.#reportHandshake(undefined);
    if (this.#state === 'open') this.emit('clientEnded');
    else this.endAtOnce();
  };

  // 'close' follows one phase of the event loop later: too late to be seen together with what was read before the error.
  readonly #onError = ({ code }: NodeJS.ErrnoException): void => {
    this.#reportHandshake(code);
    this.#close('CONTROL-LOST');
  };

  readonly #onClose = (): void => {
    clearTimeout(this.#closingTimer);
    // Under TLS either of the two sockets may report it.
    this.#socket.destroy();
    this.#reportHandshake(undefined);
    this.#close('CONTROL-LOST');
  };

  /** A handshake that was running when the connection ended has failed. */
  #reportHandshake(errorCode: string | undefined): void {
    const startBytes = this.#handshakeStartBytes;
    this.#handshakeStartBytes = undefined;
    if (this.#state === 'closed') return;
    // With TLS 1.3 the alert of a client that rejects the certificate can follow its Finished (RFC 8446 4.4.2.4).
    const isLateAlert = /_ALERT_(?!CLOSE_NOTIFY)/.test(errorCode ?? '');
    if (startBytes === undefined) {
      if (isLateAlert) this.emit('handshakeFailed', handshakeFailure(errorCode, this.#raw.bytesRead));
      return;
    }
    this.emit('handshakeFailed', handshakeFailure(errorCode, this.#raw.bytesRead - startBytes));
  }

  #close(cause: 'CLIENT-CLOSED' | 'CONTROL-LOST'): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.emit('closed', cause);
  }
}
