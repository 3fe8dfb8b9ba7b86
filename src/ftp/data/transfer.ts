/**
 * One transfer: its data connection, its stall timer, and its end by whichever side.
 * How bytes move is in send.ts and receive.ts; what is moved, and whether an upload is committed, the commands decide.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { CallOptions, StoredObject } from '../../filesystem/filesystem.ts';
import type { Pathname } from '../../filesystem/pathname.ts';
import { CausedError, causeOf, type CauseCode, type SessionEndCause } from '../../observability/cause.ts';
import type { DataResumption } from '../../tls/context.ts';
import type { DataConnectionSource } from './data-connection-source.ts';
import { protectDataConnection, type SessionTls } from './data-tls.ts';
import { UploadEvidence, uploadGraceMs } from './upload-evidence.ts';

export type TransferSettings = {
  /** How long a client may neither send nor read a byte while the gateway waits for that. */
  readonly stallTimeoutMs: number;
  /** How long a client may take to open its data connection, and then for the TLS handshake on it. */
  readonly dataConnectionTimeoutMs: number;
  readonly tlsDataResumption: DataResumption;
  /** Whether PORT and EPRT can be used, for replies. */
  readonly activeMode: 'on' | 'off';
  /** How long an upload without proof that it is complete waits for the end of the control connection; 0 does not wait. */
  readonly uploadGraceMs: number;
};

/** The data connection broke, or ended too early. The client gets 426 with `message`. */
export class DataConnectionLost extends CausedError {
  override readonly name = 'DataConnectionLost';
}

// How long a client may take to close its side after ours; then the connection is destroyed.
const closeTimeoutMs = 5_000;

/** A client that leaves sooner than this did not leave because no data connection was made. */
const minWaitMs = 1_000;

export type DataConnectionReport = {
  readonly mode: 'passive' | 'active';
  readonly port: number;
  readonly waitedMs: number | undefined;
};

export type TransferRequest = {
  readonly verb: string;
  readonly pathname: Pathname;
  /** Whether the client sends. Only then is evidence collected that it sent the whole file. */
  readonly isUpload?: true;
};

export type TransferOptions = {
  readonly request: TransferRequest;
  readonly source: DataConnectionSource;
  /** Aborts the transfer when the session ends. */
  readonly sessionSignal: AbortSignal;
  /** zlib level for what is sent (1 to 9); undefined in MODE S, where bytes are sent as they are. */
  readonly deflateLevel: number | undefined;
  /** The control connection's TLS under PROT P; undefined where the data connection is in clear. */
  readonly tls: SessionTls | undefined;
};

/** Why a transfer was aborted from outside, for its reply and its event. */
export type TransferAbortCause = 'ABOR' | 'DATA-STALLED' | SessionEndCause;

/** One transfer, from its 150 to the end of its data connection. */
export class Transfer {
  readonly verb: string;
  readonly pathname: Pathname;
  readonly startedAtMs = Date.now();
  /** zlib level for what is sent; undefined in MODE S. */
  readonly deflateLevel: number | undefined;
  /** Payload bytes moved so far: before deflating, after inflating. */
  movedBytes = 0;
  /** Bytes of an upload that are stored in front of the received ones (APPE, REST). */
  keptBytes = 0;
  /** TLS version of the data connection, once its handshake is done. */
  tlsVersion: string | undefined;
  /** What the storage confirmed of an upload. */
  stored: StoredObject | undefined;
  /** Something that may damage the file. */
  warning: 'ASCII-BINARY' | undefined;
  /** Undefined for downloads. */
  readonly evidence: UploadEvidence | undefined;
  readonly #source: DataConnectionSource;
  readonly #sessionSignal: AbortSignal;
  readonly #tls: SessionTls | undefined;
  readonly #settings: TransferSettings;
  readonly #controller = new AbortController();
  #socket: Socket | undefined;
  #abortCause: TransferAbortCause | undefined;
  /** What the storage fails with at this moment, while the transfer waits for it. */
  #storageFailure: FilesystemError | undefined;
  #isOver = false;
  /** When the client's first and last bytes came (`performance.now()`); before that, when receiving began. */
  #firstReceivedAtMs = 0;
  #lastReceivedAtMs = 0;
  #connectingSinceMs: number | undefined;
  #waitedMs: number | undefined;
  #abortedAtMs: number | undefined;
  #stallTimer: NodeJS.Timeout | undefined;
  #waitsForClient = false;

  constructor(
    { request, source, sessionSignal, deflateLevel, tls }: TransferOptions,
    settings: TransferSettings,
  ) {
    this.verb = request.verb;
    this.pathname = request.pathname;
    this.evidence =
      request.isUpload === true ? new UploadEvidence(() => this.abort('CONTROL-LOST')) : undefined;
    this.deflateLevel = deflateLevel;
    this.#source = source;
    this.#sessionSignal = sessionSignal;
    this.#tls = tls;
    this.#settings = settings;
    if (sessionSignal.aborted) this.#onSessionEnd();
    else sessionSignal.addEventListener('abort', this.#onSessionEnd);
  }

  /** How the client and the gateway were to be connected, and how long that took or has taken, in milliseconds from the 150. */
  get dataConnection(): DataConnectionReport {
    const { mode, port } = this.#source;
    const sinceMs = this.#connectingSinceMs;
    const waitedMs = this.#waitedMs ?? (sinceMs === undefined ? undefined : performance.now() - sinceMs);
    return { mode, port, waitedMs };
  }

  /** The cause where the client gave up because no data connection was made, whatever ended the transfer. */
  get missingConnectionCause(): CauseCode | undefined {
    const sinceMs = this.#connectingSinceMs;
    if (this.#waitedMs !== undefined || sinceMs === undefined || this.#abortedAtMs === undefined)
      return undefined;
    return this.#abortedAtMs - sinceMs >= minWaitMs ? this.#source.missingCause : undefined;
  }

  /** Aborted with the transfer. Everything that is opened for the transfer stops with it. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The options of calls to the storage that belong to this transfer. */
  get call(): CallOptions {
    return {
      signal: this.signal,
      onStorageFailure: (failure) => {
        // After the end the failures are those of requests that were cancelled or that clean up.
        if (!this.signal.aborted) this.#storageFailure = failure;
      },
    };
  }

  /**
   * What the storage failed with when the transfer ended, and what the client therefore waited for; undefined where the storage
   * responded.
   */
  get storageFailure(): FilesystemError | undefined {
    return this.#storageFailure;
  }

  get abortCause(): TransferAbortCause | undefined {
    return this.#abortCause;
  }

  /** Aborts the transfer; its final reply follows. Later calls change nothing: the first cause counts. */
  abort(cause: TransferAbortCause): void {
    if (this.#isOver || this.#abortCause !== undefined) return;
    this.#abortCause = cause;
    this.#abortedAtMs = performance.now();
    this.#controller.abort(new DataConnectionLost(cause, 'The transfer was aborted.'));
    this.#drop();
  }

  /** A complete command line arrived that does not abort the transfer; it may prove that an upload is whole. */
  commandArrived(isQuit: boolean): void {
    this.evidence?.commandArrived(isQuit);
  }

  /** The control connection has ended. Returns whether the transfer continues, as an upload does that a command has confirmed. */
  outlivesControlConnection(): boolean {
    if (this.#isOver || this.#abortCause !== undefined) return false;
    return this.evidence?.controlConnectionEnded() === true;
  }

  /**
   * Waits for the data connection, under TLS where PROT P holds. Called right after the 150 was sent, because many clients
   * connect, and most begin their TLS handshake, only when they have read it. Rejects with `DataConnectionError`,
   * `DataProtectionError`, or the reason of the abort.
   */
  async connect(): Promise<Socket> {
    this.evidence?.announced();
    this.#connectingSinceMs = performance.now();
    this.#socket = await this.#source.open(this.signal);
    this.#waitedMs = performance.now() - this.#connectingSinceMs;
    this.throwIfAborted();
    if (this.#tls !== undefined) {
      const { tlsDataResumption: resumption, dataConnectionTimeoutMs: handshakeTimeoutMs } = this.#settings;
      const secured = await protectDataConnection(this.#socket, this.#tls, {
        resumption,
        handshakeTimeoutMs,
      });
      this.#socket = secured;
      this.throwIfAborted();
      this.tlsVersion = secured.getProtocol() ?? undefined;
    }
    return this.#socket;
  }

  throwIfAborted(): void {
    this.signal.throwIfAborted();
  }

  /** Receiving begins now. */
  startReceiving(): void {
    this.#firstReceivedAtMs = this.#lastReceivedAtMs = performance.now();
  }

  /** Payload bytes came from the client; call it before they are counted in `movedBytes`. */
  receivedNow(): void {
    this.#lastReceivedAtMs = performance.now();
    if (this.movedBytes === 0) this.#firstReceivedAtMs = this.#lastReceivedAtMs;
  }

  /** How long an upload waits for the end of the control connection; call it as soon as the data connection has ended in order. */
  uploadGraceMs(): number {
    const end = {
      receivedBytes: this.movedBytes,
      durationMs: this.#lastReceivedAtMs - this.#firstReceivedAtMs,
      silenceMs: performance.now() - this.#lastReceivedAtMs,
    };
    return uploadGraceMs(end, this.#settings.uploadGraceMs);
  }

  /** The gateway waits for the client now: starts or restarts the stall timer. */
  startWaitingForClient(): void {
    this.#waitsForClient = true;
    this.evidence?.received(this.movedBytes);
    if (this.#stallTimer !== undefined) this.#stallTimer.refresh();
    else this.#stallTimer = setTimeout(this.#checkStall, this.#settings.stallTimeoutMs);
  }

  /** The gateway waits for the storage, or for nothing; the client cannot stall then. */
  stopWaitingForClient(): void {
    this.#waitsForClient = false;
    this.evidence?.readingPaused();
  }

  /** Releases everything. A data connection not yet closed in order is reset, so that no client takes the file for complete. */
  end(): void {
    this.#isOver = true;
    clearTimeout(this.#stallTimer);
    this.evidence?.close();
    this.#sessionSignal.removeEventListener('abort', this.#onSessionEnd);
    this.#drop();
  }

  /** Cancels requests to the storage that are still in progress for a failed transfer. */
  cancelStorageRequests(failure: unknown): void {
    this.#controller.abort(failure);
  }

  /** The error for a data connection that closed too early: the abort's reason, or else the loss of the connection. */
  connectionError(): Error {
    if (this.signal.aborted) return this.signal.reason as Error;
    return new DataConnectionLost('DATA-LOST', 'The data connection was closed; transfer aborted.');
  }

  /** The data connection ended in order and closes by itself: `end()` must not reset it. */
  releaseConnection(): void {
    this.#socket = undefined;
    this.evidence?.dataEnded();
  }

  readonly #onSessionEnd = (): void => this.abort(causeOf(this.#sessionSignal.reason) as SessionEndCause);

  // One timer serves the whole transfer. While the gateway does not wait for the client, it only restarts.
  readonly #checkStall = (): void => {
    if (this.#waitsForClient) this.abort('DATA-STALLED');
    else this.#stallTimer?.refresh();
  };

  #drop(): void {
    this.#source.close();
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined) return;
    // Without TLS only a reset distinguishes a truncated file from a complete one; with TLS the missing close_notify does.
    // A client that sent ABOR knows already, and some clients take a reset for a failure of the session.
    if (socket instanceof TLSSocket || this.#abortCause === 'ABOR') socket.destroy();
    else socket.resetAndDestroy();
  }
}

/** Closes our side in order when all writes are flushed, then lets the client close its own within `closeTimeoutMs`. */
export function closeInOrder(socket: Socket): void {
  socket.end();
  // Unread bytes would make the kernel send a reset, which can overtake data that the client has not read yet.
  socket.resume();
  socket.once('finish', () => {
    const timer = setTimeout(() => socket.destroy(), closeTimeoutMs).unref();
    socket.once('close', () => clearTimeout(timer));
    socket.unref();
  });
}
