/**
 * A control port: accepts connections within the limits, and starts a session on each, on an implicit-TLS port after the
 * handshake. Further connections get 421.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { canonicalAddress, sourceOf } from '../../net/ip-address.ts';
import { type BusyPort, listen } from '../../net/listen.ts';
import type { Networks } from '../../net/networks.ts';
import type { SessionContexts } from '../../tls/session-contexts.ts';
import { takesOperationsReserve, takesSessionReserve } from '../../util/descriptors.ts';
import type { Command } from '../commands/command.ts';
import { formatReply, reply } from '../commands/reply.ts';
import type { ControlTls } from '../commands/session.ts';
import type { TextEncoding } from '../commands/text-encoding.ts';
import type { FtpSrvServer } from '../ftp-srv/server.ts';
import { Admission, type AdmissionLimits, type AdmittedConnection } from './admission.ts';
import { CommandLoop } from './command-loop.ts';
import { ControlConnection } from './control-connection.ts';
import { ControlSession, type SessionOptions } from './control-session.ts';
import { startImplicitTls } from './implicit-tls.ts';
import type { ClientAddresses, IncomingConnection } from './incoming-connection.ts';

/** What all sessions of a gateway share. */
export type SessionServices = SessionOptions &
  AdmissionLimits & {
    readonly ftpServer: FtpSrvServer;
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
  readonly implicitTls: SessionContexts | undefined;
};

/** How many connections beyond a limit are answered 421 at the same time; further ones are reset without a reply. */
const maxRefusals = 256;
/** How long a client may take to read the 421. */
const refusalTimeoutMs = 5_000;
/** The causes of a refusal, with the text of the reply. */
const refusals = {
  DRAIN: 'The gateway is stopping; try again.',
  'LIMIT-SESSIONS': 'Too many sessions; try again later.',
  'LIMIT-DESCRIPTORS': 'Too many sessions; try again later.',
  'LIMIT-ADDRESS': 'Too many sessions from your address; try again later.',
  'LIMIT-BEFORE-LOGIN': 'Too many connections without a login; try again later.',
} as const;
type Refusal = keyof typeof refusals;

type KnownConnection = Omit<IncomingConnection, 'admission'>;
type OnReady = (ready: Socket, known: KnownConnection) => void;

/** One listening control port. */
export class ControlListener {
  readonly #server: Server;
  readonly #options: ControlListenerOptions;
  readonly #services: SessionServices;
  readonly #sessions: Set<ControlSession>;
  /** Connections without a session: in their TLS handshake, or being refused. */
  readonly #pending = new Set<Socket>();
  #refusals = 0;
  #refusesAll = false;
  #port = 0;

  private constructor(
    server: Server,
    options: ControlListenerOptions,
    services: SessionServices,
    sessions: Set<ControlSession>,
  ) {
    this.#server = server;
    this.#options = options;
    this.#services = services;
    this.#sessions = sessions;
    // Before the server listens: in a worker of `node:cluster` a connection can arrive earlier than the code after `await` runs.
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
    const listener = new ControlListener(server, options, services, sessions);
    listener.#port = await listen(server, { host, port, onBusy }, 'Control port');
    server.on('error', (error) => services.observe({ event: 'unexpected-error', error }));
    return listener;
  }

  get port(): number {
    return this.#port;
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
    const admission = this.#admit(socket, addresses);
    if (typeof admission === 'string') this.#refuse(socket, addresses, admission);
    else this.#begin(socket, addresses, admission);
  }

  #begin(socket: Socket, addresses: ClientAddresses, admission: Admission): void {
    // A session that outlives its connection still counts.
    let sessionClosed: Promise<unknown> = Promise.resolve();
    socket.once('close', () => void sessionClosed.then(() => admission.release()));
    this.#prepare(socket, addresses, (ready, known) => {
      const session = this.#startSession(ready, { ...known, admission });
      sessionClosed = session.closed;
      admission.connection = session;
    });
  }

  /** Counts a connection within all limits, or says which one it exceeds. */
  #admit(socket: Socket, addresses: ClientAddresses): Refusal | Admission {
    if (this.#refusesAll) return 'DRAIN';
    if (this.#services.limiter.isFull) return 'LIMIT-SESSIONS';
    if (takesSessionReserve(socket)) return 'LIMIT-DESCRIPTORS';
    const withoutSession: AdmittedConnection = {
      revoke: (cause) => {
        if (cause !== 'LIMIT-USER') this.#observeRefusal(addresses, cause);
        socket.destroy();
      },
      giveWay: () => socket.destroy(),
    };
    const address = sourceOf(addresses.clientAddress);
    const isProxy = this.#options.proxyProtocol === 'v2';
    return Admission.admit(this.#services, { address, isProxy }, withoutSession);
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

  #refuse(socket: Socket, addresses: ClientAddresses, cause: Refusal): void {
    if (this.#refusals >= maxRefusals || takesOperationsReserve(socket)) {
      const { clientAddress } = addresses;
      this.#services.observe({ event: 'session-refused', clientAddress, cause, reset: true });
      socket.resetAndDestroy();
      return;
    }
    this.#refusals += 1;
    this.#pending.add(socket);
    socket.once('close', () => {
      this.#refusals -= 1;
      this.#pending.delete(socket);
    });
    this.#observeRefusal(addresses, cause);
    this.#prepare(socket, addresses, (ready, { tls }) => sendRefusal(ready, tls, cause));
  }

  #observeRefusal({ clientAddress }: ClientAddresses, cause: Refusal): void {
    this.#services.observe({ event: 'session-refused', clientAddress, cause });
  }

  #startImplicitTls(
    socket: Socket,
    addresses: ClientAddresses,
    contexts: SessionContexts,
    onReady: OnReady,
  ): void {
    const { handshakeTimeoutMs, loginTimeoutMs, observe } = this.#services;
    const { proxyProtocol } = this.#options;
    const timeoutMs = Math.min(handshakeTimeoutMs, loginTimeoutMs);
    this.#pending.add(socket);
    socket.once('close', () => this.#pending.delete(socket));
    const options = { contexts, proxyProtocol, timeoutMs, observe };
    startImplicitTls(socket, addresses, options, (secured, client, tls) => {
      this.#pending.delete(socket);
      onReady(secured, { addresses: client, proxyHeader: 'none', tls });
    });
  }
}

function sendRefusal(socket: Socket, tls: ControlTls | undefined, cause: Refusal): void {
  if (tls !== undefined) socket.once('close', () => tls.context.release());
  socket.end(formatReply(reply(421, refusals[cause], cause)));
  // Bytes left unread would turn our FIN into a reset, which can overtake the reply.
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), refusalTimeoutMs);
  socket.once('close', () => clearTimeout(timer));
}

function ignore(): void {
  // 'close' follows, and is handled.
}
