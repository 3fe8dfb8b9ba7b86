/** A TCP server that answers GET and PUT requests with exactly the bytes that a test gives it, and counts connections and requests. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { testCertificate } from '../../support/certificate.ts';

/** Called for each request, with its head and its connection. */
export type Answer = (socket: Socket, head: string) => void;

export type ScriptedServer = {
  readonly origin: string;
  /** One for each request that arrives, the last one for all that follow. */
  answers: Answer[];
  /** Heads and bodies of all requests so far, with the number of their connection. */
  readonly requests: { readonly connection: number; readonly head: string; readonly body: string }[];
  /** Whether it answers a request without having read its body. */
  answersHeads: boolean;
  readonly connections: Socket[];
  close(): Promise<void>;
};

export async function startScriptedServer({ tls = false } = {}): Promise<ScriptedServer> {
  const requests: { connection: number; head: string; body: string }[] = [];
  const connections: Socket[] = [];
  const onConnection = (socket: Socket): void => {
    const connection = connections.push(socket) - 1;
    let received = '';
    socket.on('error', () => undefined);
    socket.setNoDelay(true);
    socket.setEncoding('latin1').on('data', (text: string) => {
      received += text;
      for (let end = received.indexOf('\r\n\r\n'); end !== -1; end = received.indexOf('\r\n\r\n')) {
        const head = received.slice(0, end + 4);
        const length = Number(/^content-length: (\d+)\r$/m.exec(head)?.[1] ?? 0);
        const bodyEnd = end + 4 + length;
        if (received.length < bodyEnd && !server.answersHeads) return;
        const body = received.slice(end + 4, bodyEnd);
        received = server.answersHeads ? '' : received.slice(bodyEnd);
        requests.push({ connection, head, body });
        (server.answers.length > 1 ? server.answers.shift() : server.answers[0])?.(socket, head);
      }
    });
  };
  const { chain: cert, key } = await testCertificate();
  const listener: Server = tls ? createTlsServer({ cert, key }, onConnection) : createServer(onConnection);
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  const { port } = listener.address() as AddressInfo;
  const server: ScriptedServer = {
    origin: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    answers: [],
    answersHeads: false,
    requests,
    connections,
    async close() {
      const listenerClosed = once(listener, 'close');
      listener.close();
      for (const socket of connections) socket.destroy();
      await listenerClosed;
    },
  };
  return server;
}

/** Resolves when the connection is closed, by whichever side and in whichever way. */
export async function closed(socket: Socket): Promise<void> {
  if (!socket.destroyed) await new Promise((resolve) => socket.once('close', resolve));
}

/** A response with a body of announced length, in one write. */
export function respondWith(body: Uint8Array | string, headers = ''): Answer {
  const bytes = Buffer.from(body);
  const head = `HTTP/1.1 200 OK\r\n${headers}content-length: ${bytes.length}\r\n\r\n`;
  return (socket) => socket.write(Buffer.concat([Buffer.from(head, 'latin1'), bytes]));
}
