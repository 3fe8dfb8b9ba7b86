/**
 * The HTTP server of the operations port: `/healthz` (the process is alive; `/healthz/50000` for a load balancer's check of a
 * passive port), `/readyz` (it accepts sessions; with `?verbose`, and the status), `/metrics`, `/status`, and POST to `/drain` and `/serve`. A load balancer that
 * sends a PROXY header before control connections sends it before its health checks too.
 */
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { OperationsConnections } from './operations-connections.ts';
import { type BusyPort, listen } from '../net/listen.ts';
import { ProxyHeaderReader } from '../net/proxy-protocol.ts';

export type OperationsServerOptions = {
  readonly listenAddress: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** With `v2`, a PROXY header may come first. */
  readonly proxyProtocol: 'off' | 'v2';
  /** Whether load balancers should send sessions. */
  isReady(): boolean;
  /** Records a probe of a passive port; returns false if the port is not one of this gateway's. */
  probed(port: number): boolean;
  /** The state of the gateway, serialized as JSON. */
  status(): object | Promise<object>;
  /** Starts a drain. */
  drain(): void;
  /** Cancels the drain; returns false if that is no longer possible. */
  serve(): boolean | Promise<boolean>;
  /** Called where the port has to be waited for. */
  readonly onBusy?: (busy: BusyPort) => void;
  /** Metrics as text, and their media type. */
  readonly metrics: { readonly contentType: string; metrics(): Promise<string> };
};

export type OperationsServer = {
  readonly port: number;
  close(): Promise<void>;
};

/** How long a caller may take for its header and its request. */
const requestTimeoutMs = 10_000;
const limits = { maxConnections: 512, maxConnectionsPerAddress: 128 };

/** Rejects if the port cannot be opened. */
export async function startOperationsServer(options: OperationsServerOptions): Promise<OperationsServer> {
  const connections = new OperationsConnections(limits);
  const http = createHttpServer((request, response) => {
    const { socket } = request;
    const address = socket.remoteAddress ?? '';
    connections.requested(address, socket);
    response.once('close', () => connections.answered(address, socket));
    void answer(options, request, response);
  });
  http.requestTimeout = requestTimeoutMs;
  http.headersTimeout = requestTimeoutMs;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    const address = socket.remoteAddress ?? '';
    if (!connections.add(address, socket)) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once('close', () => {
      sockets.delete(socket);
      connections.remove(address, socket);
    });
    socket.setTimeout(2 * requestTimeoutMs, () => socket.destroy());
    const serve = (): void => void http.emit('connection', socket);
    if (options.proxyProtocol === 'off') serve();
    else skipProxyHeader(socket, serve);
  });
  const { listenAddress: host, port: wanted } = options;
  const port = await listen(server, { host, port: wanted, onBusy: options.onBusy }, 'Operations port');
  return {
    port,
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      http.close();
      await closed;
    },
  };
}

/** Calls `serve` after the header, or as soon as the first bytes show that there is none. */
function skipProxyHeader(socket: Socket, serve: () => void): void {
  const reader = new ProxyHeaderReader();
  const read = (): void => {
    const chunk = socket.read() as Buffer | null;
    const result = chunk === null ? undefined : reader.push(chunk);
    if (result === undefined) return;
    socket.off('readable', read);
    // Without a header the bytes are left to HTTP, which answers 400 where they are no request either.
    if (result.rest.length > 0) socket.unshift(result.rest);
    serve();
  };
  socket.on('readable', read);
}

async function answer(
  options: OperationsServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.setHeader('cache-control', 'no-store');
  const [, path = '', query = ''] = /^([^?]*)(.*)$/s.exec(request.url ?? '') ?? [];
  const changes = path === '/drain' || path === '/serve';
  const allowed = changes ? ['POST'] : ['GET', 'HEAD'];
  if (!allowed.includes(request.method ?? '')) {
    response.setHeader('allow', allowed.join(', '));
    send(response, 405, `Only ${allowed.join(' and ')} is answered here.`);
    return;
  }
  const probedPort = /^\/healthz\/(\d{1,5})$/.exec(path)?.[1];
  if (probedPort !== undefined) {
    if (options.probed(Number(probedPort))) send(response, 200, 'alive');
    else send(response, 404, 'This is no passive port of this gateway.');
    return;
  }
  switch (path) {
    case '/healthz':
      send(response, 200, 'alive');
      return;
    case '/readyz':
      // The state of the storage does not count: it is the same for all tasks, and if none were ready, clients would not even get a 451.
      response.statusCode = options.isReady() ? 200 : 503;
      if (query === '?verbose') await sendStatus(options, response);
      else send(response, response.statusCode, readyText(response.statusCode));
      return;
    case '/status':
      await sendStatus(options, response);
      return;
    case '/drain':
      options.drain();
      send(response, 202, 'draining');
      return;
    case '/serve':
      if (await options.serve()) send(response, 200, 'serving');
      else send(response, 409, 'sessions have been ended: the drain goes on');
      return;
    case '/metrics':
      await sendMetrics(options, response);
      return;
    default:
      send(response, 404, 'Here are /healthz, /readyz, /metrics and /status.');
  }
}

function readyText(statusCode: number): string {
  return statusCode === 200 ? 'ready' : 'not ready: send no new sessions';
}

async function sendStatus(options: OperationsServerOptions, response: ServerResponse): Promise<void> {
  const status = JSON.stringify(await options.status());
  response.setHeader('content-type', 'application/json');
  response.end(`${status}\n`);
}

async function sendMetrics({ metrics }: OperationsServerOptions, response: ServerResponse): Promise<void> {
  try {
    const text = await metrics.metrics();
    response.setHeader('content-type', metrics.contentType);
    response.end(text);
  } catch {
    send(response, 500, 'The metrics cannot be read.');
  }
}

function send(response: ServerResponse, statusCode: number, text: string): void {
  response.statusCode = statusCode;
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.end(`${text}\n`);
}
