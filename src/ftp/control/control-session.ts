/** One client's session from greeting to end: what commands, the command loop and the gateway ask of it. */
import { sourceOf } from '../../net/ip-address.ts';
import type { CompleteProxyHeader } from '../../net/proxy-protocol.ts';
import type { CauseCode, SessionEndCause } from '../../observability/cause.ts';
import type { Observe } from '../../observability/event.ts';
import type { HandshakeFailure } from '../../tls/handshake-failure.ts';
import type { SessionContext, SessionContexts } from '../../tls/session-contexts.ts';
import type { Command } from '../commands/command.ts';
import type { Reply } from '../commands/reply.ts';
import type { ControlTls, Login, Session } from '../commands/session.ts';
import type { TextEncoding } from '../commands/text-encoding.ts';
import type { FtpSrvSession } from '../ftp-srv/server.ts';
import type { Admission, SharedLimit } from './admission.ts';
import type { ControlConnection } from './control-connection.ts';
import {
  addressesBehindProxy,
  type ClientAddresses,
  type IncomingConnection,
} from './incoming-connection.ts';
import type { Line } from './line-framing.ts';
import { abortReason, endReply } from './session-end.ts';
import { SessionState } from './session-state.ts';
import { SessionTimers, type Timeout, type TimeoutOptions } from './session-timers.ts';

export type SessionOptions = TimeoutOptions & {
  readonly observe: Observe;
  /** Undefined where TLS is off. */
  readonly tlsContexts: SessionContexts | undefined;
};

/** A line that was read, with the command that it names. */
export type ReceivedLine = { readonly line: Line; readonly command: Command | undefined };

/** A client that keeps sending overlong lines does not speak FTP. */
const maxOverlongLines = 8;

export class ControlSession extends SessionState implements Session {
  readonly id: string;
  readonly observe: Observe;
  /** Resolves when connection, command and transfer have ended. Never rejects. */
  readonly closed: Promise<unknown>;

  /** Whether the client has received the 150 of the running transfer, so that what it sends from now on is a response to it. */
  isTransferAnnounced = false;

  // State of the command loop, which alone changes it.
  /** The command whose reply is pending. */
  runningCommand: Command | undefined;
  /** Ends the running command, if it can be aborted. */
  commandAbort: AbortController | undefined;
  /** Lines that were read while a transfer, or a command that can be aborted, ran. */
  readonly waitingLines: ReceivedLine[] = [];

  readonly #options: SessionOptions;
  readonly #ftpSrv: FtpSrvSession;
  readonly #connection: ControlConnection;
  readonly #controller = new AbortController();
  readonly #startedAtMs = Date.now();
  readonly #markClosed: () => void;
  readonly #timers: SessionTimers;
  readonly #admission: Admission;
  #addresses: ClientAddresses;
  /** `performance.now()` at the last reply to a command other than NOOP. */
  #lastActiveAtMs = performance.now();
  #end: SessionEndCause | undefined;
  #isOpened = false;
  #isConnectionClosed = false;
  #hasInputEnded = false;
  #isReleased = false;
  #isGivenUp = false;
  #isRevoked = false;
  #startsTls = false;
  #overlongLines = 0;
  /** The user of the last login. */
  #lastUser: string | undefined;
  #tlsContext: SessionContext | undefined;
  /** Whether a TLS handshake was done and no USER has followed. */
  #isTlsUnused = false;

  constructor(
    options: SessionOptions,
    ftpSrv: FtpSrvSession,
    connection: ControlConnection,
    { addresses, proxyHeader, tls, admission }: IncomingConnection,
  ) {
    super();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.id = ftpSrv.id;
    this.observe = options.observe;
    this.closed = promise;
    this.#markClosed = () => resolve(undefined);
    this.#options = options;
    this.#ftpSrv = ftpSrv;
    this.#connection = connection;
    this.#addresses = addresses;
    this.#admission = admission;
    connection.on('proxyHeader', (header) => this.#proxyHeaderArrived(header));
    connection.on('readingPaused', () => this.#readingPaused());
    connection.on('secured', (secured) => this.#secured(secured));
    connection.on('handshakeFailed', (failure) => this.#handshakeFailed(failure));
    connection.on('clientEnded', () => this.#clientEnded());
    connection.on('closed', (cause) => this.#connectionClosed(cause));
    this.#timers = new SessionTimers(options, (timeout) => this.#timedOut(timeout));
    if (tls !== undefined) {
      this.#tlsContext = tls.context;
      this.#secured(tls);
      // Clients of implicit TLS expect protected data connections, and not all of them send PROT P.
      this.protectionLevel = 'P';
    }
    if (proxyHeader === 'none') this.#open();
    else this.#timers.startHandshake();
  }

  // For commands.

  get clientAddress(): string {
    return this.#addresses.clientAddress;
  }

  get reachedAddress(): string {
    return this.#addresses.reachedAddress;
  }

  get reachedThroughProxy(): boolean {
    return this.#addresses.reachedThroughProxy;
  }

  get filenameEncoding(): TextEncoding {
    return this.#connection.encoding;
  }

  set filenameEncoding(encoding: TextEncoding) {
    this.#connection.encoding = encoding;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get commandSignal(): AbortSignal {
    const { signal } = this.#controller;
    return this.commandAbort === undefined ? signal : AbortSignal.any([signal, this.commandAbort.signal]);
  }

  get controlIdleMs(): number {
    return this.#connection.idleMs;
  }

  get isExecuting(): boolean {
    return this.runningCommand !== undefined;
  }

  sendPreliminary(preliminary: Reply): void {
    this.isTransferAnnounced = true;
    this.#connection.send(preliminary);
  }

  logIn(login: Login): 'ok' | 'too-many-sessions' {
    const { name } = login.user;
    if (!this.#admission.logIn(name)) return 'too-many-sessions';
    this.#lastUser = name;
    this.#timers.stopLogin();
    this.loginState = { step: 'logged-in', login };
    this.#ftpSrv.loggedIn(name, login.filesystem);
    return 'ok';
  }

  logOut(): void {
    // Only the end of a login restarts the timeout: REIN and AUTH would otherwise extend it without end.
    if (this.loginState.step === 'logged-in') this.#timers.startLogin();
    this.loginState = { step: 'greeting' };
    this.#admission.logOut();
    this.#ftpSrv.loggedOut();
  }

  startTlsAfterReply(): void {
    this.#startsTls = true;
  }

  endAfterReply(cause: SessionEndCause): void {
    // A client that has sent QUIT needs no 421.
    if (this.#end === 'DRAIN') this.#end = cause;
    this.#end ??= cause;
  }

  // For the command loop.

  /** False when the session ends before another command. ABOR and QUIT get their replies even when a drain ends it. */
  get acceptsCommands(): boolean {
    return this.#end === undefined || (this.#end === 'DRAIN' && this.waitingLines.some(isAborOrQuit));
  }

  /**
   * A final reply has been sent. TLS, or the end of the session, may be due now. `command` is undefined where the line named
   * no command, or did not end the one that is running.
   */
  replySent(command: Command | undefined): void {
    if (command !== undefined) this.#commandEnded(command);
    if (command?.verb === 'USER') this.#isTlsUnused = false;
    if (this.#isConnectionClosed) {
      if (!this.isExecuting) this.#release();
      return;
    }
    this.#timers.restartIdle();
    if (this.#startsTls) this.#startTls();
    if (this.#timers.isDraining && !this.expectsTransfer) this.#end ??= 'DRAIN';
    if (!this.acceptsCommands && !this.isExecuting) this.#finish();
    this.#connection.adjustReading();
  }

  overlongLineReceived(): void {
    this.#overlongLines += 1;
    if (this.#overlongLines === maxOverlongLines) this.end('LIMIT-COMMANDS');
  }

  /** No command is running, and no line is left. */
  inputConsumed(): void {
    if (this.#hasInputEnded) this.end('CLIENT-CLOSED');
  }

  // For the gateway.

  /** Whether a command is running, or a data connection is agreed on that the next command will use. */
  get isBusy(): boolean {
    return this.isExecuting || this.expectsTransfer;
  }

  /** `Date.now()` at the start of the running transfer. */
  get transferStartedAtMs(): number | undefined {
    return this.transfer?.startedAtMs;
  }

  /** Milliseconds since the last command other than NOOP, or since the session began. */
  get idleForMs(): number {
    return performance.now() - this.#lastActiveAtMs;
  }

  /** Ends the session now, or, while a command is running, after its reply. */
  end(cause: SessionEndCause): void {
    this.#end ??= cause;
    if (!this.isExecuting) this.#finish();
  }

  /** Ends the session with 421, because the worker processes have reached a limit together. */
  revoke(cause: SharedLimit): void {
    if (cause !== 'LIMIT-USER') this.#observeRefusal(cause);
    this.#isRevoked = true;
    this.end(cause);
  }

  /** Ends the session as soon as it moves no data. A transfer that is agreed on is still carried out. */
  drain(): void {
    if (this.isExecuting || !this.expectsTransfer) this.end('DRAIN');
    else this.#timers.startDrain();
  }

  /** Aborts the running transfer, whose reply still follows, and ends the session. */
  abortTransfer(): void {
    this.transfer?.abort('DRAIN');
    this.end('DRAIN');
  }

  /**
   * Ends the session without waiting for the running command, whose reply is 421. RFC 959 5.4 allows 421 for every command
   * when the service shuts down.
   */
  giveUp(): void {
    this.#isGivenUp = true;
    this.#end ??= 'DRAIN';
    if (this.#isConnectionClosed) this.#release();
    else this.#finish();
  }

  /** Ends a session without a login at once, because another connection needs its place. */
  giveWay(): void {
    this.#end ??= 'LIMIT-BEFORE-LOGIN';
    const farewell = endReply(this.#end, false);
    if (farewell !== undefined) this.#connection.send(farewell);
    this.#abort();
    this.#connection.endAtOnce();
  }

  /** Drops the connection without a reply, and aborts whatever runs, confirmed uploads included. */
  destroy(cause: SessionEndCause): void {
    this.#end ??= cause;
    this.#abort();
    this.#connection.destroy();
  }

  #commandEnded(command: Command): void {
    this.isTransferAnnounced = false;
    if (command.isKeepAlive !== true) this.#lastActiveAtMs = performance.now();
    if (command.keepsPending !== true) this.forgetPending();
  }

  #proxyHeaderArrived(header: CompleteProxyHeader): void {
    if (header.kind === 'malformed') {
      this.#observeRefusal('PROXY-HEADER', header.reason);
      this.destroy('PROXY-HEADER');
      return;
    }
    this.#timers.stopHandshake();
    this.#addresses = addressesBehindProxy(header, this.#addresses);
    this.#open();
  }

  #open(): void {
    const reached = this.#admission.identify(sourceOf(this.clientAddress));
    if (reached !== undefined) {
      this.#observeRefusal(reached);
      this.end(reached);
      return;
    }
    this.#isOpened = true;
    const { id: sessionId, clientAddress } = this;
    this.observe({ event: 'session-opened', sessionId, clientAddress, tls: this.tls !== undefined });
  }

  #observeRefusal(cause: CauseCode, detail?: string): void {
    const { clientAddress } = this;
    this.observe({
      event: 'session-refused',
      clientAddress,
      cause,
      ...(detail !== undefined && { detail }),
    });
  }

  #startTls(): void {
    this.#startsTls = false;
    const { tlsContexts } = this.#options;
    if (tlsContexts === undefined) throw new Error('TLS is off.');
    // Commands that were sent in clear text behind AUTH would otherwise be executed as if they had come under TLS.
    if (this.waitingLines.length > 0 || this.#connection.hasUnreadBytes) {
      this.#handshakeFailed({ cause: 'TLS-INJECTION' });
      this.destroy('TLS-INJECTION');
      return;
    }
    this.#tlsContext = tlsContexts.take();
    this.#timers.startHandshake();
    this.#connection.startTls(this.#tlsContext);
  }

  #handshakeFailed(failure: HandshakeFailure): void {
    const { id: sessionId, clientAddress } = this;
    this.#end ??= failure.cause as SessionEndCause;
    this.observe({ event: 'tls-failed', sessionId, clientAddress, connection: 'control', ...failure });
  }

  #secured(tls: ControlTls): void {
    this.#timers.stopHandshake();
    this.#isTlsUnused = true;
    this.tls = tls;
    this.#ftpSrv.secured(tls.socket);
  }

  /** A login that waits must end with its connection, so a client without a login may not send so much that its end is not seen. */
  #readingPaused(): void {
    if (this.isExecuting && this.loginState.step !== 'logged-in') this.destroy('LIMIT-COMMANDS');
  }

  #timedOut(timeout: Timeout): void {
    if (timeout === 'login') {
      const failure = this.#connection.giveUpHandshake();
      if (failure !== undefined) this.#handshakeFailed(failure);
      // Also while a password waits for its check, or a wrong one for its reply.
      this.#end ??= 'LOGIN-TIMEOUT';
      this.#finish();
    } else if (timeout === 'handshake') this.#handshakeTimedOut();
    else if (timeout === 'drain') this.end('DRAIN');
    else if (timeout === 'lifetime') this.end('SESSION-LIFETIME');
    else if (this.isExecuting) this.#timers.restartIdle();
    else if (this.#connection.isBackedUp) this.destroy('REPLIES-UNREAD');
    else this.end('IDLE-TIMEOUT');
  }

  #handshakeTimedOut(): void {
    // No reply can be sent during a handshake.
    if (this.#isOpened) this.destroy('TLS-TIMEOUT');
    else {
      this.#observeRefusal('PROXY-HEADER', 'none came in time');
      this.destroy('PROXY-HEADER');
    }
  }

  #finish(): void {
    const farewell = endReply(this.#end, this.#isRevoked);
    if (farewell !== undefined) this.#connection.send(farewell);
    this.#abort();
    this.#connection.end();
  }

  /** Commands of a client that has closed its side are executed only behind a confirmed upload. */
  #clientEnded(): void {
    this.#hasInputEnded = this.#outlivesConnection();
    if (!this.#hasInputEnded) this.#connection.endAtOnce();
  }

  #connectionClosed(cause: SessionEndCause): void {
    // Clients that do not trust the certificate may close without an alert; lftp has sent CLNT before.
    if (this.#end === undefined && this.#isTlsUnused) this.#handshakeFailed({ cause: 'TLS-UNUSED' });
    this.#end ??= cause;
    this.#isConnectionClosed = true;
    this.#timers.close();
    // A session that outlives its connection still counts, so that clients that leave early get no more than others.
    if (this.#isGivenUp || !this.#outlivesConnection()) this.#release();
  }

  #outlivesConnection(): boolean {
    return this.transfer?.outlivesControlConnection() === true;
  }

  /** Aborts what commands have started. */
  #abort(): void {
    this.#controller.abort(abortReason(this.#end ?? 'CONTROL-LOST'));
    this.closeDataConnectionSource();
  }

  /** Releases everything that the session holds; resolves `closed` as soon as no command is running. */
  #release(): void {
    if (!this.#isReleased) {
      this.#isReleased = true;
      this.#abort();
      this.#admission.sessionEnded();
      if (this.#isOpened) this.#observeClosed();
    }
    if (this.isExecuting && !this.#isGivenUp) return;
    this.#tlsContext?.release();
    this.#tlsContext = undefined;
    this.#markClosed();
  }

  #observeClosed(): void {
    this.observe({
      event: 'session-closed',
      sessionId: this.id,
      clientAddress: this.clientAddress,
      ...(this.#lastUser !== undefined && { username: this.#lastUser }),
      cause: this.#end ?? 'CONTROL-LOST',
      durationMs: Date.now() - this.#startedAtMs,
      idleMs: Math.round(this.controlIdleMs),
    });
  }
}

function isAborOrQuit({ command }: ReceivedLine): boolean {
  return command?.verb === 'ABOR' || command?.verb === 'QUIT';
}
