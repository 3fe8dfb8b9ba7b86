/**
 * What one row of the command table says. The dispatcher, FEAT, HELP and docs/rfc-compliance.md are all made from it.
 */
import type { Reply } from './reply.ts';
import type { Login, Session } from './session.ts';
import type { Permission } from '../../users/user.ts';

/**
 * How an argument is read. `words`: words separated by spaces; surplus spaces mean nothing (`TYPE A  N`). `pathname`: a
 * pathname, for some commands behind words or options; kept as it is, because every space behind the first one belongs
 * to the name. `verbatim`: kept as it is, including backslashes, blanks and control characters, which a password may
 * contain; in other arguments control characters are refused.
 */
export type ArgumentKind = 'words' | 'pathname' | 'verbatim';

type Row = {
  /** Upper case, as RFC 959 writes it. */
  readonly verb: string;
  /** Syntax as HELP shows it, in the RFCs' notation: `RETR <SP> <pathname>`. */
  readonly syntax: string;
  readonly argument: ArgumentKind;
  /** Where it is defined: `RFC 959 4.1.3`. */
  readonly source: string;
  /**
   * What comes of it while a transfer runs (RFC 959 4.1.3): without an argument it is answered at once (STAT), or it
   * aborts the transfer and is answered after it (ABOR). Every other command waits for the transfer's end.
   */
  readonly duringTransfer?: 'answered-without-argument' | 'aborts-it';
  /** The line of FEAT that tells clients of it (RFC 2389 3.2), where they look for one. */
  readonly feature?: string | ((session: Session) => string | undefined);
  /** Keeps the restart offset, RNFR or ALLO of the command before it in force (TYPE, PASV, ...: clients send them in between). */
  readonly keepsPending?: true;
  /** Clients send it only to keep their connection open (NOOP): it does not count as activity of the session. */
  readonly isKeepAlive?: true;
};

/** A command anybody may send before logging in. */
export type OpenCommand = Row & {
  readonly access: 'anyone';
  handle(session: Session, argument: string): Reply | Promise<Reply>;
};

/** A command that needs a login, and, where `capability` is given, the permission for it (550 otherwise). */
export type LoginCommand = Row & {
  readonly access: 'logged-in';
  readonly capability?: Permission;
  handle(session: Session, login: Login, argument: string): Reply | Promise<Reply>;
};

export type Command = OpenCommand | LoginCommand;
