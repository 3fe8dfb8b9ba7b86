/**
 * One client's session from greeting to end: joins the control connection, the dispatcher, the engine's connection, the
 * limits and the clocks.
 */
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { Command } from '../commands/command.ts';
import type { FtpSrvServer, FtpSrvSession } from '../ftp-srv/server.ts';
import type { Observe } from '../../observability/event.ts';
import type { SessionLimiter } from './session-limits.ts';
import { ControlConnection, type Preamble } from './control-connection.ts';
import {
  ControlSession,
  proxiedAddresses,
  type ClientAddresses,
  type SessionHost,
} from './control-session.ts';
import { CommandLoop, type CommandLines } from './command-loop.ts';
import type { Line } from './line-framing.ts';
import { parseProxyHeader } from '../../net/proxy-protocol.ts';
import { reply, type Reply } from '../commands/reply.ts';
import type { ControlTls, Login, SessionEnd } from '../commands/session.ts';
import type { TextEncoding } from '../commands/text-encoding.ts';
import { lastActiveMs } from './session-activity.ts';
import { releaseContext } from '../../tls/context.ts';

export type SessionServices = {
  readonly engine: FtpSrvServer;
  readonly commands: ReadonlyMap<string, Command>;
  readonly admission: SessionLimiter;
  readonly observe: Observe;
  /** A context for one session alone; undefined where TLS is off. */
  readonly secureContext: (() => SecureContext) | undefined;
  /** What a session reads and writes until OPTS UTF8 changes it. */
  readonly filenameEncoding: TextEncoding;
  /** From the connection to the login. */
  readonly loginTimeoutMs: number;
  /** Between two commands; a command under way stops this clock. */
  readonly idleTimeoutMs: number;
};

/** How a control connection came: what is known of it before its first command. */
export type IncomingConnection = {
  readonly addresses: ClientAddresses;
  /** Whether a PROXY header stands in front of the first command, which tells the client's address. */
  readonly proxyHeader: 'expected' | 'none';
  /** Where TLS came first (implicit TLS). */
  readonly tls: ControlTls | undefined;
};

/** A client that keeps sending lines no command can have is not one of ours. */
const maxOverlongLines = 8;

/** How long a client whose data connection is agreed on may take, while the gateway drains, to say what it is for. */
const pendingTransferMs = 2_000;

const tooManySessions = reply(421, 'Too many sessions from your address; try again later.');
const endReplies: Partial<Record<SessionEnd, Reply>> = {
  'idle-timeout': reply(421, 'Idle for too long; closing the control connection.'),
  'login-timeout': reply(421, 'The login took too long; closing the control connection.'),
  'too-many-sessions': tooManySessions,
  'too-many-overlong-lines': reply(421, 'Too many overlong command lines; closing the control connection.'),
  drain: reply(421, 'The gateway is stopping; closing the control connection.'),
  'gateway-closed': reply(421, 'The gateway is stopping; closing the control connection.'),
};

/** The name and password are right, but the user has as many sessions as they may. */
export class TooManySessionsOfUser extends Error {
  override readonly name = 'TooManySessionsOfUser';
}

export class ClientSession implements SessionHost, CommandLines {
  readonly #services: SessionServices;
  /** Resolves when nothing is left of the session: connection, commands and transfers. */
  readonly closed: Promise<unknown>;
  readonly #markGone: () => void;
  readonly #startedAtMs = Date.now();
  readonly #connection: ControlConnection;
  readonly #engineConnection: FtpSrvSession;
  readonly #session: ControlSession;
  readonly #dispatcher: CommandLoop;
  readonly #idleClock: NodeJS.Timeout;
  #loginClock: NodeJS.Timeout | undefined;
  #drainClock: NodeJS.Timeout | undefined;
  #isOpened = false;
  #isClosed = false;
  #hasInputEnded = false;
  #isWrappedUp = false;
  #isGivenUp = false;
  #startsTls = false;
  #end: SessionEnd | undefined;
  #overlongLines = 0;
  #userPlace: string | undefined;
  #secureContext: SecureContext | undefined;

  /** Greets the client at once. */
  constructor(services: SessionServices, socket: Socket, arrival: IncomingConnection) {
    this.#services = services;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.closed = promise;
    this.#markGone = () => {
      if (this.#secureContext !== undefined) releaseContext(this.#secureContext);
      this.#secureContext = undefined;
      resolve(undefined);
    };
    this.#engineConnection = services.engine.adopt(socket);
    this.#session = new ControlSession(
      this.#engineConnection.id,
      arrival.addresses,
      services.filenameEncoding,
      services.observe,
      this,
    );
    this.#dispatcher = new CommandLoop(services.commands, this.#session, this);
    this.#connection = new ControlConnection(
      socket,
      {
        arrived: () => this.#dispatcher.linesArrived(),
        drained: () => this.#dispatcher.pump(),
        secured: (tls) => this.#secured(tls),
        ended: () => this.#inputEnded(),
        closed: (reason) => this.#closed(reason),
      },
      arrival.proxyHeader === 'expected' ? this.#proxyPreamble() : undefined,
    );
    this.#idleClock = setTimeout(this.#onIdle, services.idleTimeoutMs);
    this.#startLoginClock();
    if (arrival.tls !== undefined) {
      this.#secureContext = arrival.tls.secureContext;
      this.#secured(arrival.tls);
      // Where TLS comes first, clients expect it everywhere, and not all of them say so with PROT P.
      this.#session.protectionLevel = 'P';
    }
    if (arrival.proxyHeader === 'none') this.#open(arrival.addresses);
  }

  // The connection's end, for the dispatcher.

  nextLine(): Line | undefined {
    return this.#connection.nextLine(this.#session.filenameEncoding);
  }

  get takesReplies(): boolean {
    return this.#connection.isOpen && this.#connection.takesReplies;
  }

  get takesCommands(): boolean {
    return this.#end === undefined || (this.#end === 'drain' && this.#dispatcher.hasWaitingFarewell);
  }

  send(answer: Reply): void {
    this.#connection.send(answer, this.#session.filenameEncoding);
  }

  answered(): void {
    if (this.#isClosed) {
      if (!this.#dispatcher.isRunning) this.#wrapUp();
      return;
    }
    this.#idleClock.refresh();
    if (this.#startsTls) this.#startTls();
    if (this.#drainClock !== undefined && !this.#expectsTransfer) this.#end ??= 'drain';
    if (!this.takesCommands && !this.#dispatcher.isRunning) this.#finish();
    this.#connection.adjustReading();
  }

  overlongLine(): void {
    this.#overlongLines += 1;
    if (this.#overlongLines === maxOverlongLines) this.end('too-many-overlong-lines');
  }

  exhausted(): void {
    if (this.#hasInputEnded) this.end('client-closed');
  }

  // The session's requests, made by commands.

  get isExecuting(): boolean {
    return this.#dispatcher.isRunning;
  }

  sendPreliminary(preliminary: Reply): void {
    this.#dispatcher.sendPreliminary(preliminary);
  }

  startTlsAfterReply(): void {
    this.#startsTls = true;
  }

  endAfterReply(reason: SessionEnd): void {
    // A client that leaves by itself needs no 421.
    if (this.#end === 'drain') this.#end = reason;
    this.#end ??= reason;
  }

  async logIn(
    username: string,
    password: string,
    authenticate: () => Promise<Login | undefined>,
  ): Promise<Login | undefined> {
    const login = await this.#engineConnection.login(username, password, authenticate);
    if (login === undefined || this.#session.signal.aborted) return undefined;
    const { name } = login.user;
    if (!this.#services.admission.users.acquire(name)) throw new TooManySessionsOfUser();
    this.#userPlace = name;
    clearTimeout(this.#loginClock);
    this.#loginClock = undefined;
    return login;
  }

  logOut(): void {
    this.#leaveUserPlace();
    this.#engineConnection.logout();
    this.#startLoginClock();
  }

  // The gateway's requests.

  /** Ends the session: at once, or, where a command is under way, when that is answered. */
  end(reason: SessionEnd): void {
    this.#end ??= reason;
    if (!this.#dispatcher.isRunning) this.#finish();
  }

  /** Ends the session as soon as it moves no data, and is not about to: a transfer just agreed on is still carried out. */
  drain(): void {
    if (this.#dispatcher.isRunning || !this.#expectsTransfer) this.end('drain');
    else this.#drainClock ??= setTimeout(() => this.end('drain'), pendingTransferMs);
  }

  /** Ends the transfer that runs, and waits for none; its reply follows. */
  abortTransfer(): void {
    this.#session.transfer?.abort('drain');
    this.end('drain');
  }

  /**
   * Ends the session though a command is under way, and does not wait for what becomes of that: 421 is its reply. RFC 959 5.4
   * allows it for every command when the service must shut down.
   */
  giveUp(): void {
    this.#isGivenUp = true;
    this.#end ??= 'drain';
    if (this.#isClosed) this.#wrapUp();
    else this.#finish();
  }

  /** Drops everything without a word, a confirmed upload included. */
  destroy(reason: SessionEnd): void {
    this.#end ??= reason;
    this.#session.close();
    this.#connection.destroy();
  }

  /** Whether a command is under way, or a data connection is agreed on that the next command will use. */
  get isBusy(): boolean {
    return this.#dispatcher.isRunning || this.#expectsTransfer;
  }

  /** `Date.now()` at the start of the transfer that runs. */
  get transferStartedAtMs(): number | undefined {
    return this.#session.transfer?.startedAtMs;
  }

  /** Milliseconds since the last command that was no NOOP, or since the session began. */
  get idleForMs(): number {
    const lastMs = lastActiveMs(this.#session);
    return lastMs === undefined ? Date.now() - this.#startedAtMs : performance.now() - lastMs;
  }

  /** PASV, EPSV, PORT or EPRT was answered, and the command that uses it has not come yet. */
  get #expectsTransfer(): boolean {
    return this.#session.dataConnectionSource !== undefined;
  }

  #open(addresses: ClientAddresses): void {
    this.#session.addresses = addresses;
    const { clientAddress } = addresses;
    if (!this.#services.admission.addresses.acquire(clientAddress)) {
      this.#refuse('too-many-sessions');
      return;
    }
    this.#isOpened = true;
    const tls = this.#session.tls !== undefined;
    this.#services.observe({ event: 'session-opened', sessionId: this.#session.id, clientAddress, tls });
  }

  #refuse(reason: SessionEnd): void {
    const { clientAddress } = this.#session;
    this.#services.observe({ event: 'session-refused', clientAddress, reason });
    this.end(reason);
  }

  /** Collects the PROXY header; what follows it is the client's first line. */
  #proxyPreamble(): Preamble {
    let collected: Buffer | undefined;
    return (bytes) => {
      collected = collected === undefined ? bytes : Buffer.concat([collected, bytes]);
      const header = parseProxyHeader(collected);
      if (header.kind === 'incomplete') return undefined;
      if (header.kind === 'malformed') {
        this.#services.observe({
          event: 'session-refused',
          clientAddress: this.#session.clientAddress,
          reason: `bad PROXY header: ${header.reason}`,
        });
        this.destroy('bad-proxy-header');
        return undefined;
      }
      this.#open(header.kind === 'local' ? this.#session.addresses : proxiedAddresses(header));
      return collected.subarray(header.lengthBytes);
    };
  }

  #startTls(): void {
    this.#startsTls = false;
    const { secureContext } = this.#services;
    if (secureContext === undefined) throw new Error('TLS is off.');
    // Commands sent in clear behind AUTH would otherwise be executed as if they had come under TLS.
    if (this.#dispatcher.hasWaitingLines || this.#connection.hasUnreadBytes) {
      this.destroy('clear-text-after-auth');
      return;
    }
    this.#secureContext = secureContext();
    this.#connection.startTls(this.#secureContext);
  }

  #secured(tls: ControlTls): void {
    this.#session.tls = tls;
    this.#engineConnection.secured(tls.socket);
  }

  #startLoginClock(): void {
    clearTimeout(this.#loginClock);
    this.#loginClock = setTimeout(() => this.end('login-timeout'), this.#services.loginTimeoutMs);
  }

  readonly #onIdle = (): void => {
    if (this.#dispatcher.isRunning) this.#idleClock.refresh();
    else if (this.#connection.takesReplies) this.end('idle-timeout');
    else this.destroy('replies-not-read');
  };

  #leaveUserPlace(): void {
    if (this.#userPlace !== undefined) this.#services.admission.users.release(this.#userPlace);
    this.#userPlace = undefined;
  }

  #finish(): void {
    const farewell = this.#end === undefined ? undefined : endReplies[this.#end];
    if (farewell !== undefined) this.send(farewell);
    this.#session.close();
    this.#connection.end();
  }

  /** The client has closed its side; only a confirmed upload, and what was sent behind it, is still carried out then. */
  #inputEnded(): boolean {
    this.#hasInputEnded = this.#session.transfer?.outlivesControlConnection() === true;
    return this.#hasInputEnded;
  }

  #closed(reason: SessionEnd): void {
    this.#end ??= reason;
    this.#isClosed = true;
    clearTimeout(this.#idleClock);
    clearTimeout(this.#loginClock);
    clearTimeout(this.#drainClock);
    // Its places stay taken meanwhile, so that clients that leave early hold no more than others.
    if (!this.#isGivenUp && this.#session.transfer?.outlivesControlConnection() === true) return;
    this.#wrapUp();
  }

  /** Gives back what the session held, and is gone as soon as no command runs. */
  #wrapUp(): void {
    if (!this.#isWrappedUp) {
      this.#isWrappedUp = true;
      this.#session.close();
      this.#leaveUserPlace();
      if (this.#isOpened) {
        this.#services.admission.addresses.release(this.#session.clientAddress);
        this.#services.observe({
          event: 'session-closed',
          sessionId: this.#session.id,
          reason: this.#end ?? 'connection-broken',
          durationMs: Date.now() - this.#startedAtMs,
        });
      }
    }
    if (!this.#dispatcher.isRunning || this.#isGivenUp) this.#markGone();
  }
}
