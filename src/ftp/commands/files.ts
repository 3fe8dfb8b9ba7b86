/** Files and directories by name: CWD, CDUP, PWD, MKD, RMD, DELE, RNFR, RNTO, SIZE. */
import { reply, type Reply } from './reply.ts';
import type { Login, Session } from './session.ts';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { namesDirectory, parentOf, resolvePathname, type Pathname } from '../../filesystem/pathname.ts';
import { can } from '../../users/user.ts';
import { missingPathname, withPathname, type Command, type LoginCommand } from './command.ts';
import { statForResume } from './resume-size.ts';

/** A quoted pathname for 257; quotes in it are doubled (RFC 959 appendix II). */
export function quote(pathname: Pathname): string {
  return `"${pathname.replaceAll('"', '""')}"`;
}

/** The rows of the commands for files and directories by name. */
export function fileCommands(): Command[] {
  return [
    ...withOlderVerb('CWD', 'XCWD', {
      syntax: 'CWD <SP> <pathname>',
      argument: 'pathname',
      source: 'RFC 959 4.1.1',
      access: 'logged-in',
      handle: withPathname(changeDirectory),
    }),
    ...withOlderVerb('CDUP', 'XCUP', {
      syntax: 'CDUP',
      argument: 'words',
      source: 'RFC 959 4.1.1',
      access: 'logged-in',
      handle: (session, login) => changeDirectory(session, login, parentOf(login.workingDirectory)),
    }),
    ...withOlderVerb('PWD', 'XPWD', {
      syntax: 'PWD',
      argument: 'words',
      source: 'RFC 959 4.1.3',
      access: 'logged-in',
      keepsPending: true,
      handle: (_session, login) => reply(257, `${quote(login.workingDirectory)} is the current directory.`),
    }),
    ...withOlderVerb('MKD', 'XMKD', {
      syntax: 'MKD <SP> <pathname>',
      argument: 'pathname',
      source: 'RFC 959 4.1.3',
      access: 'logged-in',
      permission: 'make-directory',
      handle: withPathname(async (session, { filesystem }, pathname) => {
        session.audited = { pathname };
        await filesystem.makeDirectory(pathname, { signal: session.signal });
        return reply(257, `${quote(pathname)} created.`);
      }),
    }),
    ...withOlderVerb('RMD', 'XRMD', {
      syntax: 'RMD <SP> <pathname>',
      argument: 'pathname',
      source: 'RFC 959 4.1.3',
      access: 'logged-in',
      permission: 'delete',
      handle: withPathname(async (session, { filesystem }, pathname) => {
        session.audited = { pathname };
        await filesystem.removeDirectory(pathname, { signal: session.signal });
        return reply(250, 'Directory removed.');
      }),
    }),
    {
      verb: 'DELE',
      syntax: 'DELE <SP> <pathname>',
      argument: 'pathname',
      source: 'RFC 959 4.1.3',
      access: 'logged-in',
      permission: 'delete',
      handle: withPathname(async (session, { filesystem }, pathname) => {
        session.audited = { pathname };
        await filesystem.removeFile(pathname, { signal: session.signal });
        return reply(250, 'File deleted.');
      }),
    },
    {
      verb: 'RNFR',
      syntax: 'RNFR <SP> <pathname>',
      argument: 'pathname',
      source: 'RFC 959 4.1.3',
      access: 'logged-in',
      permission: 'rename',
      keepsPending: true,
      handle: withPathname(async (session, login, pathname) => {
        // Changes nothing, so that only a refusal has an event; that of the rename is RNTO's.
        session.audited = { pathname };
        await login.filesystem.stat(pathname, { signal: session.signal });
        session.audited = undefined;
        login.renameFrom = pathname;
        return reply(350, 'Send RNTO with the new name.');
      }),
    },
    {
      verb: 'RNTO',
      syntax: 'RNTO <SP> <pathname>',
      argument: 'pathname',
      source: 'RFC 959 4.1.3',
      access: 'logged-in',
      permission: 'rename',
      handle: async (session, { filesystem, renameFrom, workingDirectory }, argument) => {
        if (argument === '') return missingPathname;
        if (renameFrom === undefined) return reply(503, 'Send RNFR first.');
        const to = resolvePathname(workingDirectory, argument);
        const { signal } = session;
        session.audited = { pathname: renameFrom, to };
        if (namesDirectory(argument)) {
          const { type } = await filesystem.stat(renameFrom, { signal });
          if (type === 'file') throw new FilesystemError('name-not-allowed', `RNTO of a file to ${argument}`);
        }
        await filesystem.rename(renameFrom, to, { signal });
        return reply(250, 'Renamed.');
      },
    },
    {
      verb: 'SIZE',
      syntax: 'SIZE <SP> <pathname>',
      argument: 'pathname',
      source: 'RFC 3659 4',
      feature: 'SIZE',
      access: 'logged-in',
      permission: 'list',
      keepsPending: true,
      // In TYPE A too: counting converted bytes would mean reading the whole file, and clients that ask for the size in
      // TYPE A (Python's ftplib among them) want the stored size.
      handle: withPathname(async ({ signal }, { filesystem }, pathname) => {
        const { type, sizeBytes } = await statForResume(filesystem, pathname, signal);
        if (type === 'directory') throw new FilesystemError('is-a-directory', `SIZE of ${pathname}`);
        return reply(213, `${sizeBytes}`);
      }),
    },
  ];
}

/** Rows for a command of RFC 959 and for its older name (RFC 1123 4.1.3.1). */
function withOlderVerb(verb: string, olderVerb: string, command: Omit<LoginCommand, 'verb'>): Command[] {
  const syntax = command.syntax.replace(verb, olderVerb);
  return [
    { ...command, verb },
    { ...command, verb: olderVerb, syntax, source: 'RFC 1123 4.1.3.1' },
  ];
}

async function changeDirectory({ signal }: Session, login: Login, pathname: Pathname): Promise<Reply> {
  const { type } = await login.filesystem.stat(pathname, { signal });
  if (type !== 'directory') {
    // Users without permission to list may learn which directories exist, because they must be able to use them, but not which
    // files exist.
    const kind = can(login.user, 'list') ? 'not-a-directory' : 'not-found';
    throw new FilesystemError(kind, `CWD to ${pathname}`);
  }
  login.workingDirectory = pathname;
  return reply(250, `The current directory is ${quote(pathname)}.`);
}
