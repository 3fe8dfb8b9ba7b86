/** The session itself: NOOP, SYST, QUIT, ABOR, STAT. */
import { loginFirst, reply, type Reply } from './reply.ts';
import type { Session } from './session.ts';
import { can } from '../../users/user.ts';
import { permissionDenied, type Command } from './command.ts';
import { statLines } from './listing.ts';

/** The most lines that STAT lists of a directory: all of them travel in one reply. */
const maxStatLines = 1000;
// The texts are those of ftp-srv.
const done = reply(200, 'The requested action has been successfully completed');
const systemType = reply(215, 'UNIX Type: L8');

/** The rows of NOOP, SYST, QUIT, ABOR and STAT. */
export function statusCommands(): Command[] {
  return [
    {
      verb: 'NOOP',
      syntax: 'NOOP',
      argument: 'words',
      source: 'RFC 959 4.1.3',
      access: 'anyone',
      keepsPending: true,
      isKeepAlive: true,
      handle: () => done,
    },
    {
      verb: 'SYST',
      syntax: 'SYST',
      argument: 'words',
      source: 'RFC 959 4.1.3',
      access: 'anyone',
      keepsPending: true,
      handle: () => systemType,
    },
    {
      verb: 'QUIT',
      syntax: 'QUIT',
      argument: 'words',
      source: 'RFC 959 4.1.1',
      access: 'anyone',
      handle: (session) => {
        session.endAfterReply('QUIT');
        return reply(221, 'Goodbye.');
      },
    },
    {
      verb: 'ABOR',
      syntax: 'ABOR',
      argument: 'words',
      source: 'RFC 959 4.1.3',
      access: 'anyone',
      duringTransfer: 'aborts-it',
      handle: (session) => {
        session.closeDataConnectionSource();
        return reply(226, 'ABOR command successful.');
      },
    },
    {
      verb: 'STAT',
      syntax: 'STAT [<SP> <pathname>]',
      argument: 'pathname',
      source: 'RFC 959 4.1.3',
      access: 'anyone',
      duringTransfer: 'answered-without-argument',
      keepsPending: true,
      handle: (session, pathname) =>
        pathname === '' ? reply(211, statusOf(session)) : statPathname(session, pathname),
    },
  ];
}

function statusOf(session: Session): readonly string[] {
  const { loginState, transfer } = session;
  const secured = session.tls === undefined ? 'in clear' : (session.tls.socket.getProtocol() ?? 'TLS');
  const data = session.protectionLevel === 'P' ? 'protected' : 'in clear';
  return [
    'Status:',
    `Connected from ${session.clientAddress}`,
    loginState.step === 'logged-in' ? `Logged in as ${loginState.login.user.name}` : 'Not logged in',
    `Control connection: ${secured}; data connections: ${data}`,
    `TYPE: ${session.representationType === 'A' ? 'ASCII' : 'image'}; STRU: file; MODE: ${session.transmissionMode === 'Z' ? 'deflate' : 'stream'}`,
    transfer === undefined
      ? 'No transfer runs'
      : `${transfer.verb} ${transfer.pathname}: ${transfer.movedBytes} bytes moved`,
    'End of status.',
  ];
}

async function statPathname(session: Session, pathname: string): Promise<Reply> {
  if (session.loginState.step !== 'logged-in') return loginFirst;
  const { login } = session.loginState;
  if (!can(login.user, 'list')) return permissionDenied;
  const lines = await statLines(login, pathname, maxStatLines, session.signal);
  return reply(213, [`Status of ${pathname}:`, ...lines, 'End of status.']);
}
