/**
 * The beginning of a connection to an implicit-TLS port: the TLS handshake precedes the session, and a PROXY header, where one is
 * expected, precedes the handshake.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { ProxyHeaderReader } from '../../net/proxy-protocol.ts';
import type { Observe } from '../../observability/event.ts';
import { handshakeFailure, handshakeTimeout, type HandshakeFailure } from '../../tls/handshake-failure.ts';
import type { SessionContexts } from '../../tls/session-contexts.ts';
import type { ControlTls } from '../commands/session.ts';
import { pausedAtBytes } from './control-connection.ts';
import { addressesBehindProxy, type ClientAddresses } from './incoming-connection.ts';

export type ImplicitTlsOptions = {
  readonly contexts: SessionContexts;
  readonly proxyProtocol: 'off' | 'v2';
  /** For header and handshake together. */
  readonly timeoutMs: number;
  readonly observe: Observe;
};

/** The callee releases the context of `tls`. */
export type OnSecured = (secured: TLSSocket, client: ClientAddresses, tls: ControlTls) => void;

/** Calls `onSecured` after the handshake, or reports why there is none and destroys the socket. */
export function startImplicitTls(
  socket: Socket,
  addresses: ClientAddresses,
  options: ImplicitTlsOptions,
  onSecured: OnSecured,
): void {
  const { proxyProtocol, timeoutMs, observe } = options;
  let reportTimeout: (() => void) | undefined;
  const timer = setTimeout(() => {
    reportTimeout?.();
    socket.destroy();
  }, timeoutMs);
  socket.once('close', () => clearTimeout(timer));
  const begin = (client: ClientAddresses): void => {
    reportTimeout = startHandshake(socket, client, options, (...connection) => {
      clearTimeout(timer);
      onSecured(...connection);
    });
  };
  if (proxyProtocol === 'off') begin(addresses);
  else readProxyHeader(socket, addresses, observe, begin);
}

/** Returns a function that reports the handshake as one that has taken too long. */
function startHandshake(
  socket: Socket,
  client: ClientAddresses,
  { contexts, observe }: ImplicitTlsOptions,
  onSecured: OnSecured,
): () => void {
  const context = contexts.take();
  const startBytes = socket.bytesRead;
  const received = (): number => socket.bytesRead - startBytes;
  let errorCode: string | undefined;
  const fail = (failure: HandshakeFailure): void => {
    socket.off('close', onClose);
    const { clientAddress } = client;
    observe({ event: 'tls-failed', clientAddress, connection: 'control', ...failure });
    context.release();
  };
  const onClose = (): void => {
    // Load balancers check a port by a connection that sends nothing.
    if (received() === 0) context.release();
    else fail(handshakeFailure(errorCode, received()));
  };
  socket.once('close', onClose);
  const secured = context.secure(socket, pausedAtBytes);
  // The socket below closes after an error.
  secured.on('error', ({ code }: NodeJS.ErrnoException) => (errorCode ??= code));
  secured.once('secure', () => {
    // The session releases the context from now on: its data connections may end a little later than the control connection.
    socket.off('close', onClose);
    secured.pause();
    onSecured(secured, client, { socket: secured, context, canAlwaysResume: false });
  });
  return () => fail(handshakeTimeout(received()));
}

function readProxyHeader(
  socket: Socket,
  addresses: ClientAddresses,
  observe: Observe,
  proceed: (client: ClientAddresses) => void,
): void {
  const reader = new ProxyHeaderReader();
  const onData = (chunk: Buffer): void => {
    const result = reader.push(chunk);
    if (result === undefined) return;
    const { header, rest } = result;
    socket.off('data', onData);
    if (header.kind === 'malformed') {
      const { clientAddress } = addresses;
      observe({ event: 'session-refused', clientAddress, cause: 'PROXY-HEADER', detail: header.reason });
      socket.destroy();
      return;
    }
    socket.pause();
    socket.unshift(rest);
    proceed(addressesBehindProxy(header, addresses));
  };
  socket.on('data', onData);
  socket.resume();
}
