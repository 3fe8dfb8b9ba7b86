/**
 * A control port: accepts connections within the limits, and starts a session on each. On an implicit-TLS port the
 * handshake precedes the session, and a PROXY header precedes the handshake.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { TLSSocket, type SecureContext } from 'node:tls';
import { canonicalAddress, sourceOf } from '../../net/ip-address.ts';
import { type BusyPort, listen } from '../../net/listen.ts';
import type { Networks } from '../../net/networks.ts';
import { ProxyHeaderReader } from '../../net/proxy-protocol.ts';
import { handshakeFailure, handshakeTimeout, type HandshakeFailure } from '../../tls/handshake-failure.ts';
import { releaseContext } from '../../tls/context.ts';
import { takesOperationsReserve, takesSessionReserve } from '../../util/descriptors.ts';
import type { Command } from '../commands/command.ts';
import { formatReply, reply } from '../commands/reply.ts';
import type { TextEncoding } from '../commands/text-encoding.ts';
import type { FtpSrvServer } from '../ftp-srv/server.ts';
import { CommandLoop } from './command-loop.ts';
import { ControlConnection } from './control-connection.ts';
import { ControlSession, type SessionOptions } from './control-session.ts';
import {
  addressesBehindProxy,
  type ClientAddresses,
  type IncomingConnection,
} from './incoming-connection.ts';
import type { Place, UnauthenticatedConnections } from './unauthenticated.ts';

/** What all sessions of a gateway share. */
export type SessionServices = SessionOptions & {
  readonly ftpServer: FtpSrvServer;
  readonly unauthenticated: UnauthenticatedConnections;
  readonly commands: ReadonlyMap<string, Command>;
  /** What a session reads and writes until OPTS UTF8 changes it. */
  readonly filenameEncoding: TextEncoding;
};

export type ControlListenerOptions = {
  readonly listenAddress: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly proxyProtocol: 'off' | 'v2';
  /** Where connections with a PROXY header may come from. */
  readonly proxyProtocolFrom: Networks;
  /** Creates the context of a session on an implicit-TLS port; undefined on a port that begins in clear text. */
  readonly implicitTls: (() => SecureContext) | undefined;
};

/** How many connections beyond a limit are answered 421 at the same time; further ones are reset without a reply. */
const maxRefusals = 256;
/** How long a client may take to read the 421. */
const refusalTimeoutMs = 5_000;
/** Why a connection is refused, and what it is told. */
const refusals = {
  DRAIN: 'The gateway is stopping; try again.',
  'LIMIT-SESSIONS': 'Too many sessions; try again later.',
  'LIMIT-DESCRIPTORS': 'Too many sessions; try again later.',
  'LIMIT-ADDRESS': 'Too many sessions from your address; try again later.',
  'LIMIT-BEFORE-LOGIN': 'Too many connections without a login; try again later.',
} as const;
type Refusal = keyof typeof refusals;
/** A connection that the limits admit. */
type Admitted = {
  readonly place: Place;
  readonly isAddressCounted: boolean;
  /** From now on the connection is ended through its session. */
  started(session: ControlSession): void;
  release(): void;
};

type KnownConnection = Omit<IncomingConnection, 'place' | 'isAddressCounted'>;
type OnReady = (ready: Socket, known: KnownConnection) => void;

/** One listening control port. */
export class ControlListener {
  readonly port: number;
  readonly #server: Server;
  readonly #options: ControlListenerOptions;
  readonly #services: SessionServices;
  readonly #sessions: Set<ControlSession>;
  /** Connections without a session: in their TLS handshake, or being refused. */
  readonly #pending = new Set<Socket>();
  #refusals = 0;
  #refusesAll = false;

  private constructor(
    server: Server,
    port: number,
    options: ControlListenerOptions,
    services: SessionServices,
    sessions: Set<ControlSession>,
  ) {
    this.#server = server;
    this.#options = options;
    this.#services = services;
    this.#sessions = sessions;
    this.port = port;
    server.on('error', (error) => services.observe({ event: 'unexpected-error', error }));
    server.on('connection', (socket) => this.#accept(socket));
  }

  /** Listens, and adds its sessions to `sessions`. Rejects with an error that names address and port. */
  static async open(
    options: ControlListenerOptions,
    services: SessionServices,
    sessions: Set<ControlSession>,
  ): Promise<ControlListener> {
    const server = createServer({ pauseOnConnect: true, noDelay: true });
    const { listenAddress: host, port } = options;
    const onBusy = (busy: BusyPort): void => services.observe({ event: 'port-busy', ...busy });
    const openedPort = await listen(server, { host, port, onBusy }, 'Control port');
    return new ControlListener(server, openedPort, options, services, sessions);
  }

  /**
   * Answers further connections with 421. A load balancer may still send them, and a client whose connection is neither
   * accepted nor answered waits for minutes.
   */
  refuseAll(): void {
    this.#refusesAll = true;
  }

  /** Stops listening, and drops the connections that have no session yet. */
  close(): void {
    this.#server.close();
    for (const socket of this.#pending) socket.destroy();
  }

  #accept(socket: Socket): void {
    // An error event without a listener would end the process.
    socket.on('error', ignore);
    const { remoteAddress, localAddress } = socket;
    // A connection that the peer has already reset has no addresses.
    if (remoteAddress === undefined || localAddress === undefined) {
      socket.destroy();
      return;
    }
    const { proxyProtocol, proxyProtocolFrom } = this.#options;
    if (proxyProtocol === 'v2' && !proxyProtocolFrom.contains(canonicalAddress(remoteAddress))) {
      const clientAddress = canonicalAddress(remoteAddress);
      this.#services.observe({ event: 'session-refused', clientAddress, cause: 'PROXY-SOURCE' });
      socket.destroy();
      return;
    }
    const addresses: ClientAddresses = {
      clientAddress: canonicalAddress(remoteAddress),
      reachedAddress: canonicalAddress(localAddress),
      reachedThroughProxy: false,
    };
    const admitted = this.#refusesAll ? 'DRAIN' : this.#admit(socket, addresses);
    if (typeof admitted === 'string') {
      if (this.#refusals >= maxRefusals || takesOperationsReserve(socket)) {
        socket.resetAndDestroy();
        return;
      }
      this.#countRefusal(socket, addresses, admitted);
      this.#prepare(socket, addresses, (ready, known) => this.#refuse(ready, known, admitted));
      return;
    }
    // A session that outlives its connection still counts.
    let sessionClosed: Promise<unknown> = Promise.resolve();
    socket.once('close', () => void sessionClosed.then(() => admitted.release()));
    this.#prepare(socket, addresses, (ready, known) => {
      const { place, isAddressCounted } = admitted;
      const session = this.#startSession(ready, { ...known, place, isAddressCounted });
      sessionClosed = session.closed;
      admitted.started(session);
    });
  }

  /** Counts a connection within all limits, or says which one it exceeds. */
  #admit(socket: Socket, addresses: ClientAddresses): Refusal | Admitted {
    const { limiter, unauthenticated } = this.#services;
    if (limiter.isFull) return 'LIMIT-SESSIONS';
    if (takesSessionReserve(socket)) return 'LIMIT-DESCRIPTORS';
    const isAddressCounted = this.#options.proxyProtocol === 'off';
    const source = sourceOf(addresses.clientAddress);
    let session: ControlSession | undefined;
    // Other processes may have reached a limit together with this one, which is known a little later.
    const exceeds = (cause: 'LIMIT-SESSIONS' | 'LIMIT-ADDRESS') => (): void => {
      this.#observeRefusal(addresses, cause);
      if (session === undefined) socket.destroy();
      else session.revoke(cause);
    };
    const releaseAddress = isAddressCounted
      ? limiter.addresses.acquire(source, exceeds('LIMIT-ADDRESS'))
      : noAddress;
    if (releaseAddress === undefined) return 'LIMIT-ADDRESS';
    const drop = (): void => {
      if (session === undefined) socket.destroy();
      else session.giveWay();
    };
    const place = unauthenticated.enter(source, drop, isAddressCounted);
    if (place === undefined) {
      releaseAddress();
      return 'LIMIT-BEFORE-LOGIN';
    }
    const leave = limiter.enter(exceeds('LIMIT-SESSIONS'));
    return {
      place,
      isAddressCounted,
      started: (itsSession) => (session = itsSession),
      release: () => {
        place.leave();
        leave();
        releaseAddress();
      },
    };
  }

  /** Calls `onReady` when the session can start: at once, or under implicit TLS after the handshake. */
  #prepare(socket: Socket, addresses: ClientAddresses, onReady: OnReady): void {
    const { implicitTls, proxyProtocol } = this.#options;
    if (implicitTls !== undefined) {
      this.#startImplicitTls(socket, addresses, implicitTls, onReady);
      return;
    }
    const proxyHeader = proxyProtocol === 'off' ? 'none' : 'expected';
    onReady(socket, { addresses, proxyHeader, tls: undefined });
  }

  #startSession(socket: Socket, incoming: IncomingConnection): ControlSession {
    const { ftpServer, commands, filenameEncoding } = this.#services;
    // Before the connection adds its `data` listener, because `attach` removes all of them.
    const ftpSrv = ftpServer.attach(socket);
    const connection = new ControlConnection(socket, filenameEncoding, incoming.proxyHeader);
    const session = new ControlSession(this.#services, ftpSrv, connection, incoming);
    new CommandLoop(commands, session, connection);
    this.#sessions.add(session);
    void session.closed.then(() => this.#sessions.delete(session));
    return session;
  }

  #countRefusal(socket: Socket, addresses: ClientAddresses, cause: Refusal): void {
    this.#refusals += 1;
    this.#pending.add(socket);
    socket.once('close', () => {
      this.#refusals -= 1;
      this.#pending.delete(socket);
    });
    this.#observeRefusal(addresses, cause);
  }

  #observeRefusal({ clientAddress }: ClientAddresses, cause: Refusal): void {
    this.#services.observe({ event: 'session-refused', clientAddress, cause });
  }

  #refuse(socket: Socket, { tls }: KnownConnection, cause: Refusal): void {
    if (tls !== undefined) socket.once('close', () => releaseContext(tls.secureContext));
    socket.end(formatReply(reply(421, refusals[cause], cause)));
    // Bytes left unread would turn our FIN into a reset, which can overtake the reply.
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), refusalTimeoutMs);
    socket.once('close', () => clearTimeout(timer));
  }

  #startImplicitTls(
    socket: Socket,
    addresses: ClientAddresses,
    implicitTls: () => SecureContext,
    onReady: OnReady,
  ): void {
    this.#pending.add(socket);
    const { handshakeTimeoutMs, loginTimeoutMs } = this.#services;
    let onTimeout = (): void => undefined;
    const timer = setTimeout(
      () => {
        onTimeout();
        socket.destroy();
      },
      Math.min(handshakeTimeoutMs, loginTimeoutMs),
    );
    socket.once('close', () => {
      clearTimeout(timer);
      this.#pending.delete(socket);
    });
    const handshake = (known: ClientAddresses): void => {
      const secureContext = implicitTls();
      const startBytes = socket.bytesRead;
      const received = (): number => socket.bytesRead - startBytes;
      let errorCode: string | undefined;
      const fail = (failure: HandshakeFailure): void => {
        socket.off('close', onClose);
        const { clientAddress } = known;
        this.#services.observe({ event: 'tls-failed', clientAddress, connection: 'control', ...failure });
        releaseContext(secureContext);
      };
      const onClose = (): void => {
        // Load balancers check a port by a connection that sends nothing.
        if (received() === 0) releaseContext(secureContext);
        else fail(handshakeFailure(errorCode, received()));
      };
      onTimeout = () => fail(handshakeTimeout(received()));
      socket.once('close', onClose);
      const secured = new TLSSocket(socket, { isServer: true, secureContext });
      // The socket below closes after an error.
      secured.on('error', ({ code }: NodeJS.ErrnoException) => (errorCode ??= code));
      secured.once('secure', () => {
        clearTimeout(timer);
        this.#pending.delete(socket);
        // The session releases it from now on: its data connections may end a little later than the control connection.
        socket.off('close', onClose);
        secured.pause();
        const tls = { socket: secured, secureContext, canAlwaysResume: false };
        onReady(secured, { addresses: known, proxyHeader: 'none', tls });
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
    const reader = new ProxyHeaderReader();
    const onData = (chunk: Buffer): void => {
      const result = reader.push(chunk);
      if (result === undefined) return;
      const { header, rest } = result;
      socket.off('data', onData);
      if (header.kind === 'malformed') {
        const { clientAddress } = addresses;
        this.#services.observe({
          event: 'session-refused',
          clientAddress,
          cause: 'PROXY-HEADER',
          detail: header.reason,
        });
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
}

function noAddress(): void {
  // Behind a proxy the session counts the address.
}

function ignore(): void {
  // 'close' follows, and is handled.
}
