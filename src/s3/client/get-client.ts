/**
 * GET requests for objects, over connections that receive into reused buffers. All other requests use undici: see
 * docs/decisions/0021-downloads-into-reused-buffers.md.
 */
import {
  type ConnectionEvents,
  ConnectionFailure,
  GetConnection,
  type GetExchange,
} from './get-connection.ts';
import { ReceiveBuffers } from './receive-buffers.ts';
import type { S3Response } from './response.ts';

export type GetRequest = {
  /** `https://host:port` */
  readonly origin: string;
  /** With its query, percent-encoded. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
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

type Idle = { readonly connection: GetConnection; readonly expiresAtMs: number };

export class GetClient {
  /** What responses are received into. Consumers give views back here when they have no further use for them. */
  readonly buffers = new ReceiveBuffers();
  readonly #limits: ConnectionLimits;
  readonly #tickMs: number;
  readonly #connections = new Set<GetConnection>();
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
  async send(request: GetRequest): Promise<S3Response> {
    const head = headOf(request);
    const kept = this.#takeIdle(request.origin);
    if (kept) {
      const exchange = kept.send(head, request.signal);
      try {
        return await exchange.response;
      } catch (error) {
        if (!wasClosedBefore(exchange, error)) throw error;
        request.signal?.throwIfAborted();
      }
    }
    return await this.#connect(request.origin).send(head, request.signal).response;
  }

  /** Closes every connection, and fails requests under way and further ones. */
  close(): void {
    this.#isClosed = true;
    for (const connection of this.#connections) connection.close();
  }

  #connect(origin: string): GetConnection {
    if (this.#isClosed) throw new ConnectionFailure('ClientClosed', 'ECONNABORTED', 'the client is closed');
    const tlsSession = this.#tlsSessions.get(origin);
    const connection = new GetConnection(
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

  #takeIdle(origin: string): GetConnection | undefined {
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
function wasClosedBefore({ hasBegun }: GetExchange, error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return !hasBegun && (code === 'ECONNRESET' || code === 'EPIPE');
}

// RFC 9110 5.5. Anything else, a line end above all, would begin another header; the SDK's credentials come from outside.
const sendable = /^[\t\x20-\x7e\x80-\xff]*$/;

function headOf({ path, headers }: GetRequest): string {
  let head = `GET ${path} HTTP/1.1\r\n`;
  for (const [name, value] of Object.entries(headers)) {
    if (!sendable.test(value)) throw new TypeError(`the header ${name} has characters that cannot be sent`);
    head += `${name}: ${value}\r\n`;
  }
  return `${head}\r\n`;
}
