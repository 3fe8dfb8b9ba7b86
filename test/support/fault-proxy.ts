/**
 * An HTTP proxy in front of the test's S3 server that can fail in every way S3 and the network do. It passes requests on as
 * they are, `Host` included, so that their signatures stay valid.
 */
import { once } from 'node:events';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';

export type Fault =
  /** The connection is reset after so many bytes of the request's body went through. */
  | { readonly kind: 'reset-request'; readonly afterBytes: number }
  /** S3 does what it was asked, and the answer is cut off after so many bytes of its body. */
  | { readonly kind: 'reset-answer'; readonly afterBytes: number }
  /** S3 carries the request out, and its response is lost. */
  | { readonly kind: 'lose-answer' }
  /** The request is taken and never answered. */
  | { readonly kind: 'stall' }
  /** S3 refuses without doing anything. */
  | { readonly kind: 'answer'; readonly status: number; readonly name: string }
  /** 200, and an error in the body (Amazon S3 API Reference, CompleteMultipartUpload). */
  | { readonly kind: 'error-in-200'; readonly name: string }
  | { readonly kind: 'slow-first-byte'; readonly delayMs: number }
  /** One bit of the request's body is another when it arrives. */
  | { readonly kind: 'corrupt-request' };

export const operations = [
  'PutObject',
  'GetObject',
  'HeadObject',
  'CreateMultipartUpload',
  'UploadPart',
  'UploadPartCopy',
  'CompleteMultipartUpload',
  'AbortMultipartUpload',
  'other',
] as const;
export type Operation = (typeof operations)[number];

export type FaultProxy = {
  readonly endpoint: string;
  /** Asked for every request; undefined lets it through. */
  onRequest: (operation: Operation) => Fault | undefined;
  /** Requests so far, by operation. */
  readonly counts: ReadonlyMap<Operation, number>;
  /** From now on connections are refused, and those that exist are reset. */
  goDown(): Promise<void>;
  comeUp(): Promise<void>;
  close(): Promise<void>;
};

export async function startFaultProxy(upstream: string): Promise<FaultProxy> {
  const counts = new Map<Operation, number>();
  const sockets = new Set<Socket>();
  const server = createServer({ keepAliveTimeout: 0 }, (incoming, outgoing) => {
    const operation = operationOf(incoming);
    counts.set(operation, (counts.get(operation) ?? 0) + 1);
    // A connection that breaks is what this is for.
    incoming.on('error', () => undefined);
    outgoing.on('error', () => undefined);
    handle(upstream, incoming, outgoing, proxy.onRequest(operation));
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await listen(server, 0);
  const { port } = server.address() as AddressInfo;
  const goDown = async (): Promise<void> => {
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.resetAndDestroy();
    await closed;
  };
  const proxy: FaultProxy = {
    endpoint: `http://127.0.0.1:${port}`,
    onRequest: () => undefined,
    counts,
    goDown,
    comeUp: () => listen(server, port),
    close: async () => {
      if (server.listening) await goDown();
    },
  };
  return proxy;
}

async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
}

function operationOf({ method, url = '', headers }: IncomingMessage): Operation {
  const query = new URL(url, 'http://proxy').searchParams;
  const isPart = query.has('uploadId');
  switch (method ?? 'GET') {
    case 'PUT':
      if (isPart) return headers['x-amz-copy-source'] === undefined ? 'UploadPart' : 'UploadPartCopy';
      return headers['x-amz-copy-source'] === undefined ? 'PutObject' : 'other';
    case 'POST':
      if (isPart) return 'CompleteMultipartUpload';
      return query.has('uploads') ? 'CreateMultipartUpload' : 'other';
    case 'DELETE':
      return isPart ? 'AbortMultipartUpload' : 'other';
    case 'HEAD':
      return 'HeadObject';
    default:
      return query.has('list-type') || query.has('uploads') || isPart ? 'other' : 'GetObject';
  }
}

function handle(
  upstream: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  fault: Fault | undefined,
): void {
  switch (fault?.kind) {
    case 'stall':
      incoming.resume();
      return;
    case 'answer':
      answerWithError(incoming, outgoing, fault.status, fault.name);
      return;
    case 'error-in-200':
      answerWithError(incoming, outgoing, 200, fault.name);
      return;
    case 'corrupt-request':
      void corrupted(incoming).then((body) => pass(upstream, incoming, outgoing, { body }));
      return;
    case 'reset-request':
    case 'reset-answer':
    case 'lose-answer':
    case 'slow-first-byte':
    case undefined:
      pass(upstream, incoming, outgoing, fault ? { fault } : {});
  }
}

type PassOptions = { readonly fault?: Fault; readonly body?: Buffer };

function pass(
  upstream: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { fault, body }: PassOptions,
): void {
  const { protocol, hostname, port } = new URL(upstream);
  const send = protocol === 'https:' ? httpsRequest : httpRequest;
  const forwarded = send(
    { hostname, port, path: incoming.url, method: incoming.method, headers: incoming.headers, agent: false },
    (answer) => {
      answer.on('error', () => outgoing.destroy());
      passAnswer(answer, outgoing, fault);
    },
  );
  forwarded.on('error', () => outgoing.socket?.destroy());
  // A client that closes its connection to the proxy closes that to S3, too.
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) forwarded.destroy();
  });
  if (body) {
    forwarded.end(body);
    return;
  }
  if (fault?.kind === 'reset-request') {
    let passedBytes = 0;
    incoming.on('data', (bytes: Buffer) => {
      passedBytes += bytes.length;
      if (passedBytes < fault.afterBytes) return;
      forwarded.destroy();
      incoming.socket.resetAndDestroy();
    });
    // A body that is too short for it is cut off at its end.
    incoming.once('end', () => incoming.socket.resetAndDestroy());
  }
  incoming.pipe(forwarded);
}

function passAnswer(answer: IncomingMessage, outgoing: ServerResponse, fault: Fault | undefined): void {
  const start = (): void => {
    outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
    if (fault?.kind === 'reset-answer') {
      let passedBytes = 0;
      answer.on('data', (bytes: Buffer) => {
        passedBytes += bytes.length;
        if (passedBytes >= fault.afterBytes) outgoing.socket?.resetAndDestroy();
      });
      answer.once('end', () => outgoing.socket?.resetAndDestroy());
      outgoing.flushHeaders();
    }
    answer.pipe(outgoing);
  };
  if (fault?.kind === 'lose-answer') {
    answer.resume();
    answer.once('end', () => outgoing.socket?.resetAndDestroy());
  } else if (fault?.kind === 'slow-first-byte') {
    const timer = setTimeout(start, fault.delayMs);
    outgoing.once('close', () => clearTimeout(timer));
  } else start();
}

function answerWithError(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  status: number,
  name: string,
): void {
  incoming.resume();
  incoming.once('end', () => {
    outgoing.writeHead(status, { 'content-type': 'application/xml' });
    const error = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${name}</Code><Message>injected</Message></Error>`;
    outgoing.end(incoming.method === 'HEAD' ? undefined : error);
  });
}

async function corrupted(incoming: IncomingMessage): Promise<Buffer> {
  const body = await buffer(incoming).catch(() => Buffer.alloc(0));
  if (body.length > 0) {
    const place = Math.floor(body.length / 2);
    body[place] = (body[place] ?? 0) ^ 1;
  }
  return body;
}
