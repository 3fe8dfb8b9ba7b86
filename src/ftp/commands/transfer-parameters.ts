/** The parameters of the transfers that follow: TYPE, MODE, STRU, ALLO. */
import type { Command } from './command.ts';
import { reply, type Reply } from './reply.ts';
import type { Session } from './session.ts';

const image = reply(200, 'Type is image.');
const ascii = reply(200, 'Type is ASCII.');
const streamMode = reply(200, 'Mode is stream.');
const deflateMode = reply(200, 'Mode is deflate.');
const fileStructure = reply(200, 'The requested action has been successfully completed');
const structureUnknown = reply(504, 'Command parameter not supported');
const noted = reply(200, 'Noted.');

/** The reply to MODE Z and its options where it is switched off. */
export const modeZOff = reply(504, 'MODE Z is switched off here.', 'COMMAND-INVALID');

/** The rows of TYPE, MODE, STRU and ALLO. */
export function transferParameterCommands({ modeZ }: { readonly modeZ: 'on' | 'off' }): Command[] {
  const hasDeflate = modeZ === 'on';
  return [
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
      syntax: hasDeflate ? 'MODE <SP> S|Z' : 'MODE <SP> S',
      argument: 'words',
      source: 'RFC 959 3.4, draft-preston-ftpext-deflate',
      feature: hasDeflate ? 'MODE Z' : undefined,
      access: 'logged-in',
      keepsPending: true,
      handle: (session, _login, argument) => setMode(session, argument.toUpperCase(), hasDeflate),
    },
    {
      verb: 'STRU',
      syntax: 'STRU <SP> F',
      argument: 'words',
      source: 'RFC 959 3.1.2',
      access: 'logged-in',
      keepsPending: true,
      handle: (_session, _login, argument) => (/^F$/i.test(argument) ? fileStructure : structureUnknown),
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
        // Clients that do not know the size send zero.
        session.allocatedBytes = Number(bytes) || undefined;
        // RFC 959 suggests 202, but some cameras hang up when they get it.
        return noted;
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

function setMode(session: Session, argument: string, hasDeflate: boolean): Reply {
  switch (argument) {
    case 'S':
      session.transmissionMode = 'S';
      return streamMode;
    case 'Z':
      if (!hasDeflate) return modeZOff;
      session.transmissionMode = 'Z';
      return deflateMode;
    case 'B':
    case 'C':
      return reply(504, 'Only MODE S and Z are implemented.');
    default:
      return reply(501, 'MODE needs S or Z.');
  }
}
