/** Features and options: FEAT, OPTS, HELP, CLNT, LANG. FEAT and HELP are generated from the command table. */
import { reply, type Reply } from './reply.ts';
import type { Session } from './session.ts';
import { defaultDeflateLevel } from '../data/mode-z.ts';
import { formatFactNames, selectFacts } from '../listing/format.ts';
import { checksumAlgorithms } from '../../filesystem/filesystem.ts';
import type { Command } from './command.ts';
import { modeZOff } from './transfer-parameters.ts';

const verbsPerLine = 10;
const utf8IsOn = reply(200, 'Names are in UTF-8 from now on.');
const utf8IsOff = reply(200, 'Names are in windows-1252 (Latin-1) from now on.');

const noOptions = reply(501, 'There are no options for this command.');

/** Functions that have options and can be switched off. */
export type OptionSwitches = { readonly modeZ: 'on' | 'off'; readonly hash: 'on' | 'off' };

/** @param table called when a client asks, because the table contains these commands themselves. */
export function featureCommands(
  table: () => ReadonlyMap<string, Command>,
  switches: OptionSwitches,
): Command[] {
  return [
    {
      verb: 'FEAT',
      syntax: 'FEAT',
      argument: 'words',
      source: 'RFC 2389 3',
      access: 'anyone',
      keepsPending: true,
      handle: (session) => reply(211, ['Features:', ...featuresOf(table(), session), 'End']),
    },
    {
      verb: 'OPTS',
      syntax: 'OPTS <SP> <command> [<SP> <options>]',
      argument: 'words',
      source: 'RFC 2389 4',
      access: 'anyone',
      keepsPending: true,
      handle: (session, argument) => setOption(session, argument, switches),
    },
    {
      verb: 'HELP',
      syntax: 'HELP [<SP> <command>]',
      argument: 'words',
      source: 'RFC 959 4.1.3',
      access: 'anyone',
      keepsPending: true,
      handle: (_session, argument) => help(table(), argument.toUpperCase()),
    },
    {
      verb: 'CLNT',
      syntax: 'CLNT <SP> <client name>',
      argument: 'words',
      source: 'customary',
      feature: 'CLNT',
      access: 'anyone',
      keepsPending: true,
      handle: () => reply(200, 'Noted.'),
    },
    {
      verb: 'LANG',
      syntax: 'LANG [<SP> <language tag>]',
      argument: 'words',
      source: 'RFC 2640 4',
      feature: 'LANG EN*',
      access: 'anyone',
      keepsPending: true,
      handle: (_session, argument) => {
        const isEnglish = argument === '' || /^en(-|$)/i.test(argument);
        return isEnglish ? reply(200, 'Replies are in English.') : reply(504, 'Replies are in English only.');
      },
    },
  ];
}

/**
 * The lines of FEAT (RFC 2389 3.2). TVFS and UTF8 belong to no command (RFC 3659 6, RFC 2640 3.2). Clients that read UTF8 here
 * send UTF-8, many of them without OPTS UTF8 ON, so it is listed only while the session reads and writes UTF-8.
 */
export function featuresOf(table: ReadonlyMap<string, Command>, session: Session): readonly string[] {
  const features = ['TVFS'];
  if (session.filenameEncoding === 'utf-8') features.push('UTF8');
  for (const { feature } of table.values()) {
    const line = typeof feature === 'function' ? feature(session) : feature;
    if (line !== undefined) features.push(line);
  }
  return features.sort();
}

function setOption(session: Session, argument: string, { modeZ, hash }: OptionSwitches): Reply {
  const [, option = '', value = ''] = /^(\S+)(?: (.*))?$/.exec(argument) ?? [];
  switch (option.toUpperCase()) {
    case 'UTF8':
    case 'UTF-8':
      return setUtf8(session, value.toUpperCase());
    case 'MLST':
      session.selectedFacts = selectFacts(value);
      return reply(200, `MLST OPTS ${formatFactNames(session.selectedFacts)}`.trimEnd());
    case 'MODE':
      return modeZ === 'on' ? setModeOption(session, value) : modeZOff;
    case 'HASH':
      return hash === 'on' ? selectHash(session, value.toUpperCase()) : noOptions;
    case '':
      return reply(501, 'OPTS needs the name of a command.');
    default:
      return noOptions;
  }
}

/** ON and OFF are customary; an empty value and NLST come from draft-ietf-ftpext-utf-8-option. */
function setUtf8(session: Session, value: string): Reply {
  switch (value) {
    case 'ON':
    case 'NLST':
    case '':
      session.filenameEncoding = 'utf-8';
      return utf8IsOn;
    case 'OFF':
      session.filenameEncoding = 'windows-1252';
      return utf8IsOff;
    default:
      return reply(501, 'OPTS UTF8 takes ON or OFF.');
  }
}

/** `Z`, alone or with named settings, resets settings that are not named. ENGINE ZLIB is accepted because clients send it. */
function setModeOption(session: Session, value: string): Reply {
  const [, settings] = /^Z((?: +(?:LEVEL +[1-9]|ENGINE +ZLIB))*) *$/i.exec(value) ?? [];
  if (settings === undefined) return reply(501, 'OPTS MODE Z takes LEVEL 1 to 9.');
  const [, level] = /.*LEVEL +([1-9])/i.exec(settings) ?? [];
  session.deflateLevel = level === undefined ? defaultDeflateLevel : Number(level);
  return reply(200, `MODE Z LEVEL ${session.deflateLevel}`);
}

function selectHash(session: Session, name: string): Reply {
  const algorithm = name === '' ? session.hashAlgorithm : checksumAlgorithms.find((known) => known === name);
  if (algorithm === undefined) return reply(501, 'The algorithm is not known.');
  session.hashAlgorithm = algorithm;
  return reply(200, algorithm);
}

function help(table: ReadonlyMap<string, Command>, verb: string): Reply {
  const command = table.get(verb);
  if (command !== undefined) return reply(214, `Syntax: ${command.syntax} (${command.source})`);
  if (verb !== '') return reply(502, 'The command is not known.');
  const verbs = [...table.keys()].sort();
  const lines: string[] = [];
  for (let start = 0; start < verbs.length; start += verbsPerLine) {
    lines.push(verbs.slice(start, start + verbsPerLine).join(' '));
  }
  return reply(214, ['Commands:', ...lines, 'HELP <command> shows the syntax of one.']);
}
