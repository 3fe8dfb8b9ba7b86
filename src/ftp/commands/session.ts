/**
 * A session as commands see it. Commands know neither the socket of the control connection nor ftp-srv: they return their
 * final reply, and send a preliminary one with `sendPreliminary`.
 */
import type { TLSSocket } from 'node:tls';
import type { DataConnectionSource } from '../data/data-connection-source.ts';
import type { SessionTls } from '../data/data-tls.ts';
import type { Transfer } from '../data/transfer.ts';
import type { MlstFact } from '../listing/format.ts';
import type { ChecksumAlgorithm, Filesystem } from '../../filesystem/filesystem.ts';
import type { Pathname } from '../../filesystem/pathname.ts';
import type { SessionEndCause } from '../../observability/cause.ts';
import type { Observe } from '../../observability/event.ts';
import type { User } from '../../users/user.ts';
import type { Reply } from './reply.ts';
import type { TextEncoding } from './text-encoding.ts';

/** A user who is logged in, with what only a logged-in session has. */
export type Login = {
  readonly user: User;
  readonly filesystem: Filesystem;
  workingDirectory: Pathname;
  /** Set by RNFR, used and cleared by the command right after it. */
  renameFrom?: Pathname | undefined;
};

/** The file or directory that a command changes, and its new pathname. */
export type AuditedChange = { readonly pathname: Pathname; readonly to?: Pathname };

/** How far the login has come. */
export type LoginState =
  | { readonly step: 'greeting' }
  | { readonly step: 'awaiting-password'; readonly username: string }
  | { readonly step: 'logged-in'; readonly login: Login };

/** TLS of the control connection, and what data connections need to resume its session. */
export type ControlTls = SessionTls & { readonly socket: TLSSocket };

/** What commands read and change of a session. */
export type Session = {
  readonly id: string;
  /** The client's own address as text (from the PROXY header where there is one), IPv4-mapped IPv6 folded to IPv4. */
  readonly clientAddress: string;
  /** The address the client reached: the PROXY header's destination, else the control socket's local address; folded likewise. */
  readonly reachedAddress: string;
  /** Whether `reachedAddress` comes from a PROXY header (a load balancer's node) and is not the socket's own. */
  readonly reachedThroughProxy: boolean;
  readonly observe: Observe;
  /** Aborted when the control connection closes or the session ends; everything that the session started stops with it. */
  readonly signal: AbortSignal;
  /** Aborted with `signal`, and when ABOR ends the running command, for one that can be aborted. */
  readonly commandSignal: AbortSignal;
  /** Whether a command is running, whose final reply is pending. */
  readonly isExecuting: boolean;
  /** Milliseconds since the client's last byte on the control connection. */
  readonly controlIdleMs: number;

  loginState: LoginState;
  /** Undefined while the control connection is in clear text. */
  readonly tls: ControlTls | undefined;
  /** PROT (RFC 4217): C clear, P private. */
  protectionLevel: 'C' | 'P';
  /** TYPE (RFC 959 3.1.1): A ASCII, I image. */
  representationType: 'A' | 'I';
  /** MODE: S stream (RFC 959 3.4.1), Z deflate (draft-preston-ftpext-deflate). */
  transmissionMode: 'S' | 'Z';
  /** zlib level of MODE Z output, 1 to 9; OPTS MODE Z LEVEL sets it. */
  deflateLevel: number;
  /** REST (RFC 3659 5): applies to the transfer command right after it, and to no other. */
  restartOffsetBytes: number;
  /** ALLO: bytes the client announced for its next upload. */
  allocatedBytes: number | undefined;
  /** What HASH computes; OPTS HASH selects it (draft-bryan-ftpext-hash 3.2). */
  hashAlgorithm: ChecksumAlgorithm;
  /** Failed logins of this connection. */
  failedLogins: number;
  /** The facts that MLSD and MLST show; OPTS MLST selects them (RFC 3659 7.9). Begins with all of `mlstFacts`. */
  selectedFacts: readonly MlstFact[];
  /** How names are read and written; begins as configured, OPTS UTF8 changes it. */
  filenameEncoding: TextEncoding;
  /** EPSV ALL was given: PASV, PORT and EPRT are refused from now on (RFC 2428 section 4). */
  epsvAll: boolean;
  dataConnectionSource: DataConnectionSource | undefined;
  /** The transfer that runs now; at most one a session (RFC 959 allows no more). */
  transfer: Transfer | undefined;
  /**
   * Set by a handler that is about to change something: what its `command` event is about. `transfer`: the event is that of the
   * transfer.
   */
  audited: AuditedChange | 'transfer' | undefined;

  /** Sends a 1xx reply immediately; the reply that the command returns follows. */
  sendPreliminary(reply: Reply): void;
  /** Closes and removes the source of the next data connection, if there is one. */
  closeDataConnectionSource(): void;
  /** Logs the session in, unless its user has as many sessions as they may. */
  logIn(login: Login): 'ok' | 'too-many-sessions';
  /** Ends the login: REIN, AUTH, and USER in a session that is logged in. */
  logOut(): void;
  /** AUTH: the handshake begins in the same tick in which the command's reply is written. */
  startTlsAfterReply(): void;
  /** Ends the session after the command's reply. The first cause is kept, unless it is a drain. */
  endAfterReply(cause: SessionEndCause): void;
};
