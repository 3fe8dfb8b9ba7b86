/**
 * The life of one transfer: the 150, the data connection, the bytes, its end by whichever side, the last reply.
 * How bytes move is in send.ts and receive.ts; what is moved, and whether an upload is kept, the commands decide.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { reply, type Reply } from '../commands/reply.ts';
import type { Login, RunningTransfer, Session, TransferAbortReason } from '../commands/session.ts';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { Pathname } from '../../filesystem/pathname.ts';
import { DataConnectionError, type DataConnectionSource } from './data-connection-source.ts';
import { DataProtectionError, protectDataConnection, type DataResumption } from './data-tls.ts';
import { UploadEvidence } from './upload-evidence.ts';

export type TransferSettings = {
  /** How long a client may neither send nor take a byte, while the gateway waits for just that. */
  readonly stallTimeoutMs: number;
  /** How long a client may take for its data connection, and then for the TLS handshake on it. */
  readonly dataConnectionTimeoutMs: number;
  readonly tlsDataResumption: DataResumption;
};

/** The data connection broke, or ended where it must not; the client is told 426 and `message`. */
export class DataConnectionLost extends Error {
  override readonly name = 'DataConnectionLost';
}

// How long a client may take to close its side after ours; after that the connection is dropped.
const closeTimeoutMs = 5_000;

export type TransferRequest = {
  readonly verb: string;
  readonly pathname: Pathname;
  /** Whether the client sends: what proves the end of its file is collected then. */
  readonly isUpload?: true;
};

export class Transfer implements RunningTransfer {
  readonly verb: string;
  readonly pathname: Pathname;
  readonly startedAtMs = Date.now();
  /** How hard to compress what is sent; undefined in MODE S, where bytes travel as they are. */
  readonly deflateLevel: number | undefined;
  readonly ended: Promise<void>;
  /** Payload: before it is deflated, after it is inflated. */
  movedBytes = 0;
  /** Bytes that an upload keeps in front of those that come. */
  keptBytes = 0;
  /** When the client's last bytes came (`performance.now()`); before that, when receiving began. */
  lastReceivedAtMs = 0;
  /** Undefined for what is sent to the client. */
  readonly evidence: UploadEvidence | undefined;
  readonly #session: Session;
  readonly #source: DataConnectionSource;
  readonly #settings: TransferSettings;
  readonly #controller = new AbortController();
  #socket: Socket | undefined;
  #abortReason: TransferAbortReason | undefined;
  #markEnded!: () => void;
  #isOver = false;
  #stallTimer: NodeJS.Timeout | undefined;
  #waitsForClient = false;

  constructor(
    session: Session,
    source: DataConnectionSource,
    request: TransferRequest,
    settings: TransferSettings,
  ) {
    this.verb = request.verb;
    this.pathname = request.pathname;
    this.evidence =
      request.isUpload === true ? new UploadEvidence(() => this.abort('control-connection-lost')) : undefined;
    this.deflateLevel = session.transmissionMode === 'Z' ? session.deflateLevel : undefined;
    this.#session = session;
    this.#source = source;
    this.#settings = settings;
    this.ended = new Promise((resolve) => {
      this.#markEnded = resolve;
    });
    session.signal.addEventListener('abort', this.#sessionGone);
  }

  /** Aborted with the transfer; whatever is opened for it stops then. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get abortReason(): TransferAbortReason | undefined {
    return this.#abortReason;
  }

  abort(reason: TransferAbortReason): void {
    if (this.#isOver || this.#abortReason !== undefined) return;
    this.#abortReason = reason;
    this.#controller.abort(new DataConnectionLost(reason));
    this.#drop();
  }

  commandArrived(isQuit: boolean): void {
    this.evidence?.commandArrived(isQuit);
  }

  outlivesControlConnection(): boolean {
    if (this.#isOver || this.#abortReason !== undefined) return false;
    return this.evidence?.controlConnectionEnded() === true;
  }

  /**
   * Sends the 150 and waits for the data connection, under TLS where PROT P holds. The reply goes first: many clients
   * connect, and most begin their TLS handshake, only when they have read it.
   */
  async connect(preliminary: Reply): Promise<Socket> {
    this.#session.sendPreliminary(preliminary);
    this.evidence?.announced();
    this.#socket = await this.#source.open(this.signal);
    this.throwIfAborted();
    const { tls, protectionLevel } = this.#session;
    if (protectionLevel === 'P' && tls !== undefined) {
      const { tlsDataResumption: resumption, dataConnectionTimeoutMs: handshakeTimeoutMs } = this.#settings;
      this.#socket = await protectDataConnection(this.#socket, tls, { resumption, handshakeTimeoutMs });
      this.throwIfAborted();
    }
    return this.#socket;
  }

  throwIfAborted(): void {
    this.signal.throwIfAborted();
  }

  /** From now on it is the client who must move: starts the stall clock, or starts it anew. */
  waitForClient(): void {
    this.#waitsForClient = true;
    this.evidence?.received(this.movedBytes);
    if (this.#stallTimer !== undefined) this.#stallTimer.refresh();
    else this.#stallTimer = setTimeout(this.#checkStall, this.#settings.stallTimeoutMs);
  }

  /** It is the storage we wait for, or nobody; a client is not blamed for that. */
  stopWaiting(): void {
    this.#waitsForClient = false;
    this.evidence?.readingPaused();
  }

  /** Releases everything. A data connection that was not closed in order is reset, so that no client takes it for complete. */
  end(): void {
    this.#isOver = true;
    clearTimeout(this.#stallTimer);
    this.evidence?.close();
    this.#session.signal.removeEventListener('abort', this.#sessionGone);
    this.#drop();
    if (this.#session.transfer === this) this.#session.transfer = undefined;
    this.#markEnded();
  }

  /** Stops what the storage still does for a transfer that has failed. */
  stopStorage(failure: unknown): void {
    this.#controller.abort(failure);
  }

  /** Why the data connection is gone: what aborted the transfer, or else the client. */
  brokenConnection(): Error {
    if (this.signal.aborted) return this.signal.reason as Error;
    return new DataConnectionLost('The data connection was closed; transfer aborted.');
  }

  /** Tells the transfer that its data connection ended in order and is closed, or closing, by itself. */
  releaseConnection(): void {
    this.#socket = undefined;
    this.evidence?.dataEnded();
  }

  readonly #sessionGone = (): void => this.abort('control-connection-lost');

  // One timer serves the whole transfer: while nobody waits for the client it merely runs again.
  readonly #checkStall = (): void => {
    if (this.#waitsForClient) this.abort('stall-timeout');
    else this.#stallTimer?.refresh();
  };

  #drop(): void {
    this.#source.close();
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined) return;
    // Without TLS only a reset tells a cut-off file from a whole one; with TLS the missing close_notify does. A client
    // that sent ABOR knows, and some take a reset for a failure of the session.
    if (socket instanceof TLSSocket || this.#abortReason === 'client-abort') socket.destroy();
    else socket.resetAndDestroy();
  }
}

/**
 * Closes our side in order when all that is written has gone, and gives the client a while to close its own; nobody waits
 * for that.
 */
export function closeInOrder(socket: Socket): void {
  socket.end();
  // Bytes left unread would make the kernel send a reset, which can overtake what the client has yet to read.
  socket.resume();
  socket.once('finish', () => {
    const timer = setTimeout(() => socket.destroy(), closeTimeoutMs).unref();
    socket.once('close', () => clearTimeout(timer));
    socket.unref();
  });
}

/**
 * Runs one transfer command from its first step to its last reply. `move` opens the file, calls `connect`, moves the bytes
 * and returns the final reply; what it rejects with becomes the reply, or, where it is the filesystem's or unknown,
 * is passed on for the dispatcher. The data connection is spent, whatever comes of it.
 */
export async function runTransfer(
  session: Session,
  login: Login,
  request: TransferRequest,
  settings: TransferSettings,
  move: (transfer: Transfer) => Promise<Reply>,
): Promise<Reply> {
  const source = session.dataConnectionSource;
  if (source === undefined) return reply(425, 'Use PASV, EPSV, PORT or EPRT first.');
  session.dataConnectionSource = undefined;
  const transfer = new Transfer(session, source, request, settings);
  session.transfer = transfer;
  if (session.signal.aborted) transfer.abort('control-connection-lost');
  let failure: unknown;
  try {
    return await move(transfer);
  } catch (error) {
    failure = error;
    // A download that was opened and never read (no data connection came) still has a request under way.
    transfer.stopStorage(error);
    const final = failureReply(transfer, error, settings);
    if (final === undefined) throw error;
    return final;
  } finally {
    transfer.end();
    observeEnd(session, login, transfer, failure);
  }
}

function failureReply(transfer: Transfer, error: unknown, settings: TransferSettings): Reply | undefined {
  // Whatever ended the transfer, "aborted" would be more than is known.
  if (isUnconfirmed(error)) return undefined;
  switch (transfer.abortReason) {
    case 'client-abort':
      return reply(426, 'Connection closed; transfer aborted.');
    case 'stall-timeout': {
      const seconds = Math.ceil(settings.stallTimeoutMs / 1000);
      return reply(426, `No data moved for ${seconds} seconds; transfer aborted.`);
    }
    case 'drain':
      return reply(426, 'The gateway is stopping; transfer aborted.');
    case 'session-ended':
    case 'control-connection-lost':
      return reply(426, 'The session has ended; transfer aborted.');
    case undefined:
      break;
  }
  if (error instanceof DataConnectionError) return reply(425, error.message);
  if (error instanceof DataProtectionError) return reply(522, error.message);
  if (error instanceof DataConnectionLost) return reply(426, error.message);
  return undefined;
}

function observeEnd(session: Session, login: Login, transfer: Transfer, failure: unknown): void {
  const outcome = failure === undefined ? 'completed' : isClients(transfer, failure) ? 'aborted' : 'failed';
  const reason = isUnconfirmed(failure) ? reasonOf(failure) : (transfer.abortReason ?? reasonOf(failure));
  session.observe({
    event: 'transfer',
    sessionId: session.id,
    username: login.user.name,
    verb: transfer.verb,
    pathname: transfer.pathname,
    sizeBytes: transfer.movedBytes,
    ...(transfer.keptBytes > 0 && { offsetBytes: transfer.keptBytes, resumed: true }),
    durationMs: Date.now() - transfer.startedAtMs,
    outcome,
    ...(failure !== undefined && reason !== undefined && { reason }),
    tls: session.protectionLevel === 'P' && session.tls !== undefined,
  });
}

/** For the log: what a filesystem says of its failure is for operators; of anything unknown only the name is. */
function reasonOf(failure: unknown): string | undefined {
  if (failure instanceof FilesystemError) return `${failure.kind}: ${failure.message}`;
  return failure instanceof Error ? failure.name : undefined;
}

function isClients(transfer: Transfer, failure: unknown): boolean {
  if (isUnconfirmed(failure)) return false;
  return (
    transfer.abortReason !== undefined ||
    failure instanceof DataConnectionError ||
    failure instanceof DataProtectionError ||
    failure instanceof DataConnectionLost
  );
}

/** Whether an upload failed that may have been published all the same. */
function isUnconfirmed(failure: unknown): boolean {
  return failure instanceof FilesystemError && failure.kind === 'unconfirmed';
}
