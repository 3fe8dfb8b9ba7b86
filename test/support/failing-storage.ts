/** An S3 endpoint that fails in one way, always: as a wrong configuration or an outage makes it look. */
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

export type StorageFault =
  /** Nothing listens. */
  | { readonly kind: 'refused' }
  /** Connections are accepted, and no byte ever comes back. */
  | { readonly kind: 'silent' }
  /** Connections are reset as soon as a request arrives. */
  | { readonly kind: 'reset' }
  /** Bytes come back that are no HTTP. */
  | { readonly kind: 'not-http' }
  /** Every request gets this error. */
  | {
      readonly kind: 'error';
      readonly status: number;
      readonly code: string;
      readonly message?: string;
      /** Which requests; the others get an empty listing or 404. All by default. */
      readonly only?: 'PUT';
    };

export type FailingStorage = {
  readonly endpoint: string;
  close(): Promise<void>;
};

export async function startFailingStorage(fault: StorageFault): Promise<FailingStorage> {
  const server = serverOf(fault);
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  if (fault.kind === 'refused') await close();
  return { endpoint, close };
}

function serverOf(fault: StorageFault): Server {
  switch (fault.kind) {
    case 'refused':
    case 'silent':
      return createServer((socket) => void socket.resume());
    case 'reset':
      return createServer((socket) => socket.once('data', () => socket.resetAndDestroy()));
    case 'not-http':
      return createServer((socket) => socket.once('data', () => socket.end('220 mail.example\r\n')));
    case 'error':
      return errorServer(fault);
  }
}

const emptyListing =
  '<?xml version="1.0"?><ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>';

function errorServer({ status, code, message = code, only }: StorageFault & { kind: 'error' }): Server {
  const error = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;
  return createHttpServer((request, response) => {
    request.resume().once('end', () => {
      const isFailing = only === undefined || request.method === only;
      if (isFailing) response.writeHead(status, { 'x-amz-request-id': 'R1' }).end(error);
      else if (request.method === 'GET') response.end(emptyListing);
      else response.writeHead(404).end();
    });
  });
}
