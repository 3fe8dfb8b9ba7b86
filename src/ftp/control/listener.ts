/**
 * A control port: takes connections in, within the limits, and makes sessions of them. On an implicit-TLS port the
 * handshake comes before the session, and a PROXY header before the handshake.
 */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { TLSSocket, type SecureContext } from 'node:tls';
import { getSystemErrorMap } from 'node:util';
import { canonicalAddress } from '../../net/ip-address.ts';
import { takesOperationsReserve, takesSessionReserve } from '../../util/descriptors.ts';
import { ClientSession, type IncomingConnection, type SessionServices } from './client-session.ts';
import { proxiedAddresses, type ClientAddresses } from './control-session.ts';
import { parseProxyHeader } from '../../net/proxy-protocol.ts';
import { formatReply, reply } from '../commands/reply.ts';
import { releaseContext } from '../../tls/context.ts';

export type ControlListenerOptions = {
  readonly listenAddress: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly proxyProtocol: 'off' | 'v2';
  /** Makes the context of a session on an implicit-TLS port; undefined on a port that begins in clear. */
  readonly implicitTls: (() => SecureContext) | undefined;
};

// More than the kernel's own bound (4,096 on Linux) has no effect; fewer would drop SYNs when many clients start at once.
const listenBacklog = 4096;
/** Connections beyond a limit that are still told so; more of them are dropped without a word. */
const maxRefusals = 256;
/** How long a client that is refused may take to read why. */
const refusalMs = 5_000;
const stopping = formatReply(reply(421, 'The gateway is stopping; try again.'));
const full = formatReply(reply(421, 'Too many sessions; try again later.'));

/** Why a connection is answered 421; a label of the metric of refused sessions. */
type Refusal = 'too-many-sessions' | 'too-few-descriptors' | 'draining';

export class ControlListener {
  readonly port: number;
  readonly #server: Server;
  readonly #options: ControlListenerOptions;
  readonly #services: SessionServices;
  readonly #sessions: Set<ClientSession>;
  /** Connections that are no sessions yet: in their handshake, or being refused. */
  readonly #arriving = new Set<Socket>();
  #refusals = 0;
  #refusesAll = false;

  private constructor(
    server: Server,
    options: ControlListenerOptions,
    services: SessionServices,
    sessions: Set<ClientSession>,
  ) {
    this.#server = server;
    this.#options = options;
    this.#services = services;
    this.#sessions = sessions;
    this.port = (server.address() as AddressInfo).port;
    server.on('error', (error) => services.observe({ event: 'unexpected-error', error }));
    server.on('connection', (socket) => this.#accept(socket));
  }

  /** Listens; sessions that come of it are kept in `sessions`. Rejects with an error that names address and port. */
  static async open(
    options: ControlListenerOptions,
    services: SessionServices,
    sessions: Set<ClientSession>,
  ): Promise<ControlListener> {
    const server = createServer({ pauseOnConnect: true, noDelay: true });
    const { listenAddress: host, port } = options;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        const reason = getSystemErrorMap().get(error.errno ?? 0)?.[1] ?? error.message;
        reject(
          new Error(
            `Control port ${port} on ${host} cannot be opened: ${reason} (${error.code ?? error.name}).`,
            {
              cause: error,
            },
          ),
        );
      });
      server.listen({ host, port, backlog: listenBacklog }, resolve);
    });
    server.removeAllListeners('error');
    return new ControlListener(server, options, services, sessions);
  }

  /** Answers further connections with 421: a load balancer may still send them, and one that is not answered hangs for minutes. */
  refuseAll(): void {
    this.#refusesAll = true;
  }

  /** Takes no more connections, and drops those that are no sessions yet. */
  close(): void {
    this.#server.close();
    for (const socket of this.#arriving) socket.destroy();
  }

  #accept(socket: Socket): void {
    // Whatever a peer does to this socket later, no error event may go unheard.
    socket.on('error', ignore);
    const { remoteAddress, localAddress } = socket;
    // A peer that has reset the connection already has no address any more.
    if (remoteAddress === undefined || localAddress === undefined) {
      socket.destroy();
      return;
    }
    const { admission } = this.#services;
    const refusal = this.#refusesAll ? 'draining' : refusalOf(socket, admission);
    if (refusal !== undefined && (this.#refusals >= maxRefusals || takesOperationsReserve(socket))) {
      socket.resetAndDestroy();
      return;
    }
    const addresses: ClientAddresses = {
      clientAddress: canonicalAddress(remoteAddress),
      reachedAddress: canonicalAddress(localAddress),
      reachedThroughProxy: false,
    };
    // A session may outlive its connection: what it still does holds its place.
    let sessionGone: Promise<unknown> = Promise.resolve();
    if (refusal !== undefined) this.#countRefusal(socket, addresses, refusal);
    else {
      admission.enter();
      socket.once('close', () => void sessionGone.then(() => admission.leave()));
    }
    const welcome = (ready: Socket, arrival: IncomingConnection): void => {
      if (refusal !== undefined) this.#refuse(ready, arrival);
      else sessionGone = this.#startSession(ready, arrival);
    };
    const { proxyProtocol, implicitTls } = this.#options;
    if (implicitTls === undefined) {
      const proxyHeader = proxyProtocol === 'off' ? 'none' : 'expected';
      welcome(socket, { addresses, proxyHeader, tls: undefined });
      return;
    }
    this.#arriveUnderTls(socket, addresses, implicitTls, welcome);
  }

  /** Resolves when the session is gone. */
  #startSession(socket: Socket, arrival: IncomingConnection): Promise<unknown> {
    const session = new ClientSession(this.#services, socket, arrival);
    this.#sessions.add(session);
    return session.closed.then(() => this.#sessions.delete(session));
  }

  #countRefusal(socket: Socket, { clientAddress }: ClientAddresses, reason: Refusal): void {
    this.#refusals += 1;
    this.#arriving.add(socket);
    socket.once('close', () => {
      this.#refusals -= 1;
      this.#arriving.delete(socket);
    });
    this.#services.observe({ event: 'session-refused', clientAddress, reason });
  }

  #refuse(socket: Socket, { tls }: IncomingConnection): void {
    if (tls !== undefined) socket.once('close', () => releaseContext(tls.secureContext));
    socket.end(this.#refusesAll ? stopping : full);
    // Bytes left unread would turn our FIN into a reset, which can overtake the reply.
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), refusalMs);
    socket.once('close', () => clearTimeout(timer));
  }

  #arriveUnderTls(
    socket: Socket,
    addresses: ClientAddresses,
    implicitTls: () => SecureContext,
    welcome: (ready: Socket, arrival: IncomingConnection) => void,
  ): void {
    this.#arriving.add(socket);
    const clock = setTimeout(() => socket.destroy(), this.#services.loginTimeoutMs);
    socket.once('close', () => {
      clearTimeout(clock);
      this.#arriving.delete(socket);
    });
    const handshake = (known: ClientAddresses): void => {
      const secureContext = implicitTls();
      const release = (): void => releaseContext(secureContext);
      socket.once('close', release);
      const secured = new TLSSocket(socket, { isServer: true, secureContext });
      // An error is followed by the close of the socket below.
      secured.on('error', ignore);
      secured.once('secure', () => {
        clearTimeout(clock);
        this.#arriving.delete(socket);
        // From now on it is the session's: its data connections may outlive the control connection by a moment.
        socket.off('close', release);
        secured.pause();
        const tls = { socket: secured, secureContext };
        welcome(secured, { addresses: known, proxyHeader: 'none', tls });
      });
    };
    if (this.#options.proxyProtocol === 'off') handshake(addresses);
    else this.#readProxyHeader(socket, addresses, handshake);
  }

  #readProxyHeader(
    socket: Socket,
    addresses: ClientAddresses,
    proceed: (known: ClientAddresses) => void,
  ): void {
    let collected: Buffer = Buffer.alloc(0);
    const onData = (bytes: Buffer): void => {
      collected = Buffer.concat([collected, bytes]);
      const header = parseProxyHeader(collected);
      if (header.kind === 'incomplete') return;
      socket.off('data', onData);
      if (header.kind === 'malformed') {
        const reason = `bad PROXY header: ${header.reason}`;
        const { clientAddress } = addresses;
        this.#services.observe({ event: 'session-refused', clientAddress, reason });
        socket.destroy();
        return;
      }
      socket.pause();
      socket.unshift(collected.subarray(header.lengthBytes));
      proceed(header.kind === 'local' ? addresses : proxiedAddresses(header));
    };
    socket.on('data', onData);
    socket.resume();
  }
}

function refusalOf(socket: Socket, admission: SessionServices['admission']): Refusal | undefined {
  if (admission.isFull) return 'too-many-sessions';
  return takesSessionReserve(socket) ? 'too-few-descriptors' : undefined;
}

function ignore(): void {
  // What an error means for a connection, its 'close' tells.
}
