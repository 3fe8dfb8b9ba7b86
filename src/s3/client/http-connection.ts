/**
 * A connection to S3 that carries one request after the other, and receives into buffers that are reused (`receive-buffers.ts`) through
 * the documented option `onread` of `net.connect` and `tls.connect`.
 */
import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { descriptorShortage, takesOperationsReserve } from '../../util/descriptors.ts';
import { BodyQueue } from './body-queue.ts';
import type { BufferSize, ReceiveBuffer, ReceiveBuffers } from './receive-buffers.ts';
import { type Exchange, S3Response } from './response.ts';
import { type ResponseHead, ResponseParser } from './response-parser.ts';

/** The connection broke, or did not do its part in time. `code` is that of the system's own error of this kind. */
export class ConnectionFailure extends Error {
  override readonly name: string;
  readonly code: string;

  constructor(name: string, code: 'ECONNRESET' | 'ECONNABORTED' | 'ETIMEDOUT', message: string) {
    super(message);
    this.name = name;
    this.code = code;
  }
}

export type ConnectionOptions = {
  /** `https://host:port` */
  readonly origin: string;
  readonly buffers: ReceiveBuffers;
  readonly connectionTimeoutMs: number;
  /** The limit for a request during which no byte arrives, unless its reader is the one who waits. */
  readonly idleTimeoutMs: number;
  /** A TLS session of the same server to resume. */
  readonly tlsSession: Buffer | undefined;
};

export type ConnectionEvents = {
  /** The response is complete, and the connection can carry another request for so many milliseconds. */
  onIdle(connection: HttpConnection, keepAliveMs: number): void;
  onClosed(connection: HttpConnection): void;
  onTlsSession(session: Buffer): void;
};

/** One request, from its first byte to the last byte of its response. */
export class HttpExchange implements Exchange {
  readonly body: BodyQueue;
  /** Rejects where no response comes. */
  readonly response: Promise<S3Response>;
  /** Whether a byte of the response arrived. */
  hasBegun = false;
  readonly #connection: HttpConnection;
  readonly #signal: AbortSignal | undefined;
  readonly #resolve: (response: S3Response) => void;
  readonly #reject: (error: unknown) => void;

  constructor(connection: HttpConnection, signal: AbortSignal | undefined) {
    this.#connection = connection;
    this.#signal = signal;
    this.body = new BodyQueue({
      pause: () => connection.pause(),
      resume: () => connection.resume(),
    });
    const { promise, resolve, reject } = Promise.withResolvers<S3Response>();
    this.response = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  abort(reason: unknown): void {
    if (this.body.isOver) return;
    this.body.drop();
    this.end({ error: reason });
    this.#connection.destroy();
  }

  begin({ status, headers }: ResponseHead): void {
    this.#resolve(new S3Response(this, status, headers));
  }

  end(failure?: { readonly error: unknown }): void {
    if (this.body.isOver) return;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    // After a response this has no effect.
    if (failure) this.#reject(failure.error);
    this.body.end(failure);
  }

  readonly #onAbort = (): void => this.abort(this.#signal?.reason);
}

/** A body of more bytes is received into a large buffer. */
const minLargeBodyBytes = 64 * 1024;

/** With less room than this, the next response is received into another buffer. */
const minHeadRoomBytes = 4 * 1024;

/** S3 closes connections after some 20 idle seconds; a request on a connection that is just being closed costs a retry. */
const maxKeepAliveMs = 10_000;

const tcpKeepAliveMs = 15_000;

export class HttpConnection {
  readonly origin: string;
  readonly #options: ConnectionOptions;
  readonly #events: ConnectionEvents;
  readonly #socket: Socket;
  readonly #parser: ResponseParser;
  #buffer: ReceiveBuffer;
  /** Where the socket's next bytes go, in `#buffer`. */
  #usedBytes = 0;
  /** The bytes of the body in `#buffer` that were not handed out yet. */
  #bodyFrom = 0;
  #bodyTo = 0;
  #exchange: HttpExchange | undefined;
  #isConnected = false;
  #isPaused = false;
  #hasProgress = false;
  #lastProgressAtMs = performance.now();
  #keepAliveMs = maxKeepAliveMs;
  #batch: NodeJS.Immediate | undefined;

  constructor(options: ConnectionOptions, events: ConnectionEvents) {
    this.origin = options.origin;
    this.#options = options;
    this.#events = events;
    this.#buffer = options.buffers.take('small');
    this.#parser = new ResponseParser({
      onHead: (head) => this.#onHead(head),
      onBody: (from, to) => this.#onBody(from, to),
    });
    this.#socket = this.#connect();
  }

  /** Whether a request on it is not over. */
  get isBusy(): boolean {
    return this.#exchange?.body.isOver === false;
  }

  /** Sends a request, head and body. Only on a connection without one. */
  send(message: Uint8Array, signal: AbortSignal | undefined): HttpExchange {
    const exchange = new HttpExchange(this, signal);
    this.#exchange = exchange;
    this.#parser.reset();
    this.#lastProgressAtMs = performance.now();
    this.#socket.ref();
    this.#socket.write(message);
    return exchange;
  }

  pause(): void {
    this.#isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#hasProgress = true;
    this.#socket.resume();
  }

  /** To be called regularly: ends a request that takes too long. */
  checkTimeouts(nowMs: number): void {
    // The reader is the one who waits: a slow client, whose own timeout ends the transfer.
    if (this.#hasProgress || this.#isPaused) {
      this.#hasProgress = false;
      this.#lastProgressAtMs = nowMs;
      return;
    }
    const quietMs = nowMs - this.#lastProgressAtMs;
    if (!this.#isConnected) {
      const limitMs = this.#options.connectionTimeoutMs;
      if (quietMs < limitMs) return;
      this.#fail(new ConnectionFailure('ConnectTimeout', 'ETIMEDOUT', `no connection within ${limitMs} ms`));
    } else if (this.#exchange && quietMs >= this.#options.idleTimeoutMs) {
      const limitMs = this.#options.idleTimeoutMs;
      this.#fail(new ConnectionFailure('ResponseTimeout', 'ETIMEDOUT', `no byte within ${limitMs} ms`));
    }
  }

  /** Closes the connection; a request on it must be over. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** Closes the connection and ends the request on it. */
  close(): void {
    this.#fail(new ConnectionFailure('ClientClosed', 'ECONNABORTED', 'the client was closed'));
  }

  #connect(): Socket {
    const { protocol, hostname, port } = new URL(this.origin);
    // Of an IPv6 address the URL has the brackets.
    const host = hostname.replace(/^\[(.*)\]$/, '$1');
    const isEncrypted = protocol === 'https:';
    const options = {
      host,
      port: port === '' ? (isEncrypted ? 443 : 80) : Number(port),
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: tcpKeepAliveMs,
      onread: {
        buffer: () => this.#room(),
        callback: (count: number) => {
          this.#onBytes(count);
          return true;
        },
      },
    };
    const socket = isEncrypted
      ? connectTls({
          ...options,
          ALPNProtocols: ['http/1.1'],
          // RFC 6066 3: an address is no server name.
          ...(isIP(host) === 0 && { servername: host }),
          ...(this.#options.tlsSession && { session: this.#options.tlsSession }),
        })
      : connectPlain(options);
    socket.once(isEncrypted ? 'secureConnect' : 'connect', () => this.#onConnected());
    socket.on('session', (session: Buffer) => this.#events.onTlsSession(session));
    socket.on('error', (error) => this.#fail(error));
    socket.on('end', () => this.#onServerEnd());
    socket.on('close', () => {
      this.#fail(new ConnectionFailure('ConnectionClosed', 'ECONNRESET', 'the connection was closed'));
      clearImmediate(this.#batch);
      this.#options.buffers.close(this.#buffer);
      this.#events.onClosed(this);
    });
    return socket;
  }

  #onConnected(): void {
    this.#isConnected = true;
    this.#hasProgress = true;
    // The last descriptors of the process are reserved; the request is then retried as after any failure.
    if (takesOperationsReserve(this.#socket)) this.#fail(descriptorShortage());
  }

  #onBytes(count: number): void {
    const from = this.#usedBytes;
    this.#usedBytes += count;
    this.#hasProgress = true;
    const exchange = this.#exchange;
    // S3 sends nothing unasked but a response of 408 before it closes.
    if (!exchange) {
      this.destroy();
      return;
    }
    exchange.hasBegun = true;
    try {
      const parsedTo = this.#parser.execute(this.#buffer.bytes, from, this.#usedBytes);
      if (this.#parser.isOver) this.#complete(exchange, parsedTo === this.#usedBytes);
      else if (this.#bodyTo > this.#bodyFrom) this.#handOutLater();
    } catch (error) {
      this.#fail(error);
    }
  }

  #onHead(head: ResponseHead): void {
    const seconds = /(?:^|[\s,])timeout=(\d+)/i.exec(head.headers['keep-alive'] ?? '')?.[1];
    // A second less than the server announces, for what is under way when its time ends.
    this.#keepAliveMs =
      seconds === undefined ? maxKeepAliveMs : Math.min(maxKeepAliveMs, Number(seconds) * 1_000 - 1_000);
    this.#exchange?.begin(head);
  }

  #onBody(from: number, to: number): void {
    // Between two chunks of a chunked body are bytes that do not belong to it.
    if (from !== this.#bodyTo) this.#handOut();
    if (this.#bodyFrom === this.#bodyTo) this.#bodyFrom = from;
    this.#bodyTo = to;
  }

  // One view for all that arrives in a turn of the event loop: servers may send TLS records of 4 KiB.
  #handOutLater(): void {
    this.#batch ??= setImmediate(() => {
      this.#batch = undefined;
      this.#handOut();
      this.#exchange?.body.wakeReader();
    });
  }

  #handOut(exchange = this.#exchange): void {
    const [from, to] = [this.#bodyFrom, this.#bodyTo];
    this.#bodyFrom = to;
    if (to === from || !exchange || exchange.body.isOver) return;
    exchange.body.push(this.#options.buffers.view(this.#buffer, from, to));
  }

  #complete(exchange: HttpExchange, isInStep: boolean): void {
    this.#handOut();
    this.#exchange = undefined;
    this.#isPaused = false;
    exchange.end();
    // A response that came before the whole request was sent is a refusal, and the server may not read the rest.
    const isSent = this.#socket.writableLength === 0;
    const isKept = isInStep && isSent && this.#parser.keepsAlive && this.#keepAliveMs > 0;
    if (!isKept || this.#socket.destroyed) {
      this.destroy();
      return;
    }
    this.#socket.resume();
    // An idle connection does not keep the process running.
    this.#socket.unref();
    this.#events.onIdle(this, this.#keepAliveMs);
  }

  #onServerEnd(): void {
    const exchange = this.#exchange;
    if (!exchange) return;
    try {
      this.#parser.finish();
      this.#complete(exchange, false);
    } catch (error) {
      // Before the first byte of a response it is the end of a connection that was idle.
      if (exchange.hasBegun) this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#socket.destroy();
    if (!exchange || exchange.body.isOver) return;
    // What arrived before is the beginning of the body, and need not be requested again.
    this.#handOut(exchange);
    exchange.end({ error });
  }

  /**
   * Where the socket's next bytes go. Only here buffers are changed: until it asks for the next one, after each read, the socket
   * writes into the last one it got.
   */
  #room(): Uint8Array {
    const { bytes, size, views } = this.#buffer;
    // Everything was written to the client already: the same memory again, which is in the processor's cache.
    if (views === 0 && this.#bodyFrom === this.#bodyTo) this.#usedBytes = this.#bodyFrom = this.#bodyTo = 0;
    const isLarge = size === 'large';
    const leftBytes = this.#exchange ? this.#parser.leftBytes : 0;
    const room = bytes.byteLength - this.#usedBytes;
    if (leftBytes >= minLargeBodyBytes) {
      if (!isLarge || room === 0) this.#changeBuffer('large');
    } else if (isLarge ? !this.#exchange || room === 0 : room < minHeadRoomBytes) {
      this.#changeBuffer('small');
    }
    return this.#usedBytes === 0 ? this.#buffer.bytes : this.#buffer.bytes.subarray(this.#usedBytes);
  }

  #changeBuffer(size: BufferSize): void {
    this.#handOut();
    // A full buffer is worth a write; the reader need not wait for the end of the turn.
    this.#exchange?.body.wakeReader();
    this.#options.buffers.close(this.#buffer);
    this.#buffer = this.#options.buffers.take(size);
    this.#usedBytes = this.#bodyFrom = this.#bodyTo = 0;
  }
}
