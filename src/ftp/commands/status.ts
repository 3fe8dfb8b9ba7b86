/** The session itself: NOOP, SYST, QUIT, ABOR, STAT, and the parameters of the transfers to come: TYPE, MODE, STRU, ALLO. */
import { loginFirst, permissionDenied, reply, type Reply } from './reply.ts';
import type { Session } from './session.ts';
import { can } from '../../users/user.ts';
import type { Command } from './command.ts';
import { statLines } from './listing.ts';

/** The most lines that STAT lists of a directory: all of them travel in one reply. */
const maxStatLines = 1000;
// The texts of NOOP, SYST and STRU are ftp-srv's.
const done = reply(200, 'The requested action has been successfully completed');
const systemType = reply(215, 'UNIX Type: L8');
const parameterNotSupported = reply(504, 'Command parameter not supported');
const announced = reply(200, 'Noted.');
const image = reply(200, 'Type is image.');
const ascii = reply(200, 'Type is ASCII.');
const streamMode = reply(200, 'Mode is stream.');
const deflateMode = reply(200, 'Mode is deflate.');

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
        session.endAfterReply('quit');
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
        session.dataConnectionSource?.close();
        session.dataConnectionSource = undefined;
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
    {
      verb: 'TYPE',
      syntax: 'TYPE <SP> A|I|L 8',
      argument: 'words',
      source: 'RFC 959 3.1.1',
      access: 'logged-in',
      keepsPending: true,
      handle: (session, _login, argument) => setType(session, argument.toUpperCase()),
    },
    {
      verb: 'MODE',
      syntax: 'MODE <SP> S|Z',
      argument: 'words',
      source: 'RFC 959 3.4, draft-preston-ftpext-deflate',
      feature: 'MODE Z',
      access: 'logged-in',
      keepsPending: true,
      handle: (session, _login, argument) => setMode(session, argument.toUpperCase()),
    },
    {
      verb: 'STRU',
      syntax: 'STRU <SP> F',
      argument: 'words',
      source: 'RFC 959 3.1.2',
      access: 'logged-in',
      keepsPending: true,
      handle: (_session, _login, argument) => (/^F$/i.test(argument) ? done : parameterNotSupported),
    },
    {
      verb: 'ALLO',
      syntax: 'ALLO <SP> <bytes> [<SP> R <SP> <bytes>]',
      argument: 'words',
      source: 'RFC 959 4.1.3',
      access: 'logged-in',
      keepsPending: true,
      handle: (session, _login, argument) => {
        const [, bytes = ''] = /^(\d{1,15})(?: R \d{1,15})?$/i.exec(argument) ?? [];
        if (bytes === '') return reply(501, 'ALLO needs a number of bytes.');
        // Clients that do not know the size announce zero.
        session.allocatedBytes = Number(bytes) || undefined;
        // RFC 959 suggests 202, on which some cameras disconnect.
        return announced;
      },
    },
  ];
}

function setType(session: Session, argument: string): Reply {
  switch (argument) {
    case 'I':
    case 'L 8':
    case 'L8':
    case 'L':
      session.representationType = 'I';
      return image;
    case 'A':
    case 'A N':
      session.representationType = 'A';
      return ascii;
    default:
      return /^[AEIL]( |$)/.test(argument)
        ? reply(504, 'Only TYPE A, I and L 8 are implemented.')
        : reply(501, 'TYPE needs A, I or L 8.');
  }
}

function setMode(session: Session, argument: string): Reply {
  switch (argument) {
    case 'S':
      session.transmissionMode = 'S';
      return streamMode;
    case 'Z':
      session.transmissionMode = 'Z';
      return deflateMode;
    case 'B':
    case 'C':
      return reply(504, 'Only MODE S and Z are implemented.');
    default:
      return reply(501, 'MODE needs S or Z.');
  }
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
