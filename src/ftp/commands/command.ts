/**
 * One row of the command table. The command loop, FEAT, HELP and docs/rfc-compliance.md all use it.
 */
import { filesystemReply } from './filesystem-reply.ts';
import { resolvePathname, type Pathname } from '../../filesystem/pathname.ts';
import { reply, type Reply } from './reply.ts';
import type { Login, Session } from './session.ts';
import type { Permission } from '../../users/user.ts';

/**
 * How an argument is parsed. `words`: words separated by spaces; extra spaces are ignored (`TYPE A  N`). `pathname`: a
 * pathname, for some commands after words or options; unchanged, because every space after the first one belongs to the
 * name. `verbatim`: unchanged, including backslashes, blanks and control characters, which a password may contain; in
 * other arguments control characters are refused.
 */
export type ArgumentKind = 'words' | 'pathname' | 'verbatim';

type Row = {
  /** Upper case, as RFC 959 writes it. */
  readonly verb: string;
  /** Syntax as HELP shows it, in the RFCs' notation: `RETR <SP> <pathname>`. */
  readonly syntax: string;
  readonly argument: ArgumentKind;
  /** The specification that defines it: `RFC 959 4.1.3`. */
  readonly source: string;
  /**
   * What happens while a transfer runs (RFC 959 4.1.3): the command is executed immediately if it has no argument (STAT), or it
   * aborts the transfer and is executed after it (ABOR). Every other command waits for the transfer's end.
   */
  readonly duringTransfer?: 'answered-without-argument' | 'aborts-it';
  /** ABOR ends the command, which works for as long as a file is large; it takes `commandSignal` for its signal. */
  readonly isAbortable?: true;
  /** The command's line in FEAT (RFC 2389 3.2), for commands that clients look for there. */
  readonly feature?: string | ((session: Session) => string | undefined) | undefined;
  /** Leaves a pending REST, RNFR or ALLO in force (TYPE, PASV, ...: clients send them before the command it is for). */
  readonly keepsPending?: true;
  /** Clients send it only to keep their connection open (NOOP): it does not count as activity of the session. */
  readonly isKeepAlive?: true;
};

/** A command that needs no login. */
export type OpenCommand = Row & {
  readonly access: 'anyone';
  handle(session: Session, argument: string): Reply | Promise<Reply>;
};

/** A command that needs a login, and the given permission, if any (550 otherwise). */
export type LoginCommand = Row & {
  readonly access: 'logged-in';
  readonly permission?: Permission;
  handle(session: Session, login: Login, argument: string): Reply | Promise<Reply>;
};

/** One row of the table. */
export type Command = OpenCommand | LoginCommand;

/** The reason of `commandSignal` after ABOR. */
export class CommandAborted extends Error {
  override readonly name = 'CommandAborted';
}

/** The reply to a command that the user's permissions do not allow. */
export const permissionDenied = filesystemReply('permission-denied');

/** The reply to a command whose pathname is missing. */
export const missingPathname = reply(501, 'A pathname is needed.');

/** A handler for a command with a required pathname argument: resolves it against the working directory. */
export function withPathname(
  handle: (session: Session, login: Login, pathname: Pathname) => Reply | Promise<Reply>,
): LoginCommand['handle'] {
  return (session, login, argument) =>
    argument === ''
      ? missingPathname
      : handle(session, login, resolvePathname(login.workingDirectory, argument));
}
