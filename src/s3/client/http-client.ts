/**
 * The requests of most transfers: GET of an object, over connections that receive into reused buffers, and PUT of a body that is one
 * write. All other requests use undici: see docs/decisions/0021-downloads-into-reused-buffers.md.
 */
import {
  type ConnectionEvents,
  ConnectionFailure,
  HttpConnection,
  type HttpExchange,
} from './http-connection.ts';
import { ReceiveBuffers } from './receive-buffers.ts';
import type { S3Response } from './response.ts';

export type HttpRequest = {
  readonly method: 'GET' | 'PUT';
  /** `https://host:port` */
  readonly origin: string;
  /** With its query, percent-encoded. */
  readonly path: string;
  /** Without `content-length`. */
  readonly headers: Readonly<Record<string, string>>;
  /** Of a PUT. It is copied before `send` returns. */
  readonly body?: { readonly chunks: readonly Uint8Array[]; readonly sizeBytes: number } | undefined;
  readonly signal?: AbortSignal | undefined;
};

export type ConnectionLimits = {
  readonly connectionTimeoutMs: number;
  /** The limit for a request during which no byte moves. */
  readonly idleTimeoutMs: number;
};

/** Connections without a request, over all servers. The one that was used last is used first, so that the others expire. */
export const maxIdleConnections = 256;

/** TLS sessions that are remembered, one for each server. */
const maxTlsSessions = 100;

const maxTickMs = 1_000;

type Idle = { readonly connection: HttpConnection; readonly expiresAtMs: number };

export class HttpClient {
  /** What responses are received into. Consumers give views back here when they have no further use for them. */
  readonly buffers = new ReceiveBuffers();
  readonly #limits: ConnectionLimits;
  readonly #tickMs: number;
  readonly #connections = new Set<HttpConnection>();
  readonly #tlsSessions = new Map<string, Buffer>();
  #idle: Idle[] = [];
  #ticker: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
    this.#tickMs = Math.min(maxTickMs, limits.connectionTimeoutMs / 4, limits.idleTimeoutMs / 4);
  }

  /** Requests that are not over. */
  get inFlight(): number {
    let requests = 0;
    for (const connection of this.#connections) if (connection.isBusy) requests++;
    return requests;
  }

  get idleConnections(): number {
    return this.#idle.length;
  }

  /**
   * Sends a request. The caller must read the body of the response or destroy it.
   * @throws the signal's reason, the error of the connection, `MalformedResponse`, or TypeError for a header that cannot be sent.
   */
  async send(request: HttpRequest): Promise<S3Response> {
    const message = messageOf(request);
    const kept = this.#takeIdle(request.origin);
    if (kept) {
      const exchange = kept.send(message, request.signal);
      try {
        return await exchange.response;
      } catch (error) {
        // A PUT may have a condition that its first attempt has made false; its caller finds out what became of it.
        if (request.method !== 'GET' || !wasClosedBefore(exchange, error)) throw error;
        request.signal?.throwIfAborted();
      }
    }
    return await this.#connect(request.origin).send(message, request.signal).response;
  }

  /** Closes every connection, and fails requests under way and further ones. */
  close(): void {
    this.#isClosed = true;
    for (const connection of this.#connections) connection.close();
  }

  #connect(origin: string): HttpConnection {
    if (this.#isClosed) throw new ConnectionFailure('ClientClosed', 'ECONNABORTED', 'the client is closed');
    const tlsSession = this.#tlsSessions.get(origin);
    const connection = new HttpConnection(
      { origin, buffers: this.buffers, tlsSession, ...this.#limits },
      this.#eventsOf(origin),
    );
    this.#connections.add(connection);
    this.#ticker ??= setInterval(() => this.#tick(performance.now()), this.#tickMs).unref();
    return connection;
  }

  #eventsOf(origin: string): ConnectionEvents {
    return {
      onIdle: (connection, keepAliveMs) => {
        this.#idle.push({ connection, expiresAtMs: performance.now() + keepAliveMs });
        if (this.#idle.length > maxIdleConnections) this.#idle.shift()?.connection.destroy();
      },
      onClosed: (connection) => {
        this.#connections.delete(connection);
        this.#idle = this.#idle.filter((idle) => idle.connection !== connection);
        if (this.#connections.size > 0) return;
        clearInterval(this.#ticker);
        this.#ticker = undefined;
      },
      onTlsSession: (session) => {
        this.#tlsSessions.delete(origin);
        this.#tlsSessions.set(origin, session);
        const [oldest] = this.#tlsSessions.keys();
        if (this.#tlsSessions.size > maxTlsSessions && oldest !== undefined) this.#tlsSessions.delete(oldest);
      },
    };
  }

  #takeIdle(origin: string): HttpConnection | undefined {
    const nowMs = performance.now();
    const at = this.#idle.findLastIndex(
      ({ connection, expiresAtMs }) => connection.origin === origin && expiresAtMs > nowMs,
    );
    return at === -1 ? undefined : this.#idle.splice(at, 1)[0]?.connection;
  }

  #tick(nowMs: number): void {
    const expired = this.#idle.filter(({ expiresAtMs }) => expiresAtMs <= nowMs);
    this.#idle = this.#idle.filter(({ expiresAtMs }) => expiresAtMs > nowMs);
    for (const { connection } of expired) connection.destroy();
    for (const connection of this.#connections) connection.checkTimeouts(nowMs);
  }
}

/**
 * Whether the server closed a kept connection before it can have seen the request: RFC 9112 9.3.1 lets a client send a request
 * that changes nothing again by itself.
 */
function wasClosedBefore({ hasBegun }: HttpExchange, error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return !hasBegun && (code === 'ECONNRESET' || code === 'EPIPE');
}

// RFC 9110 5.5. Anything else, a line end above all, would begin another header; the SDK's credentials come from outside.
const sendable = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Head and body in one buffer, so that they are one write and one TLS record. */
function messageOf(request: HttpRequest): Uint8Array {
  const head = headOf(request);
  const { chunks, sizeBytes } = request.body ?? { chunks: [], sizeBytes: 0 };
  const message = Buffer.allocUnsafe(head.length + sizeBytes);
  let at = message.write(head, 'latin1');
  for (const chunk of chunks) {
    message.set(chunk, at);
    at += chunk.byteLength;
  }
  return message;
}

function headOf({ method, path, headers, body }: HttpRequest): string {
  let head = `${method} ${path} HTTP/1.1\r\n`;
  for (const name in headers) {
    const value = headers[name] ?? '';
    if (!sendable.test(value)) throw new TypeError(`the header ${name} has characters that cannot be sent`);
    head += `${name}: ${value}\r\n`;
  }
  // RFC 9110 8.6: a method that can have a body says so even where it is empty.
  if (method === 'PUT') head += `content-length: ${body?.sizeBytes ?? 0}\r\n`;
  return `${head}\r\n`;
}
