/**
 * The SITE parameters of z/OS (z/OS Communications Server: IP User's Guide and Commands, "SIte subcommand"). z/OS clients send
 * them before every file they store, unless configured otherwise (SENDSITE), and scripts that run with EXIT stop at a
 * negative reply. Records, blocks and volumes have no meaning for an object, so parameters are accepted as long as ignoring
 * them does not change the meaning of the transfers that follow. Pure.
 */
import { reply, type Reply } from './reply.ts';

/**
 * In the guide's notation: the upper-case letters are the shortest abbreviation. CHMOD is a subcommand of its own. Not listed
 * are parameters that request information or an action (QDISK, DEBUG, DUMP), and those of DB2 and JES, which have no purpose
 * without FILETYPE=SQL or FILETYPE=JES.
 */
const ignoredParameters = [
  ...[
    'ASAtrans',
    'AUTOMount',
    'AUTORecall',
    'BLKsize',
    'BLocks',
    'BLOCKSIze',
    'BUfno',
    'CHKptint',
    'CONDdisp',
  ],
  ...['CTRLConn', 'CYlinders', 'DATAClass', 'DATAKEEPALIVE', 'DATASetmode', 'DBSUB', 'DCbdsn', 'Directory'],
  ...['DIRECTORYMode', 'DSNTYPE', 'DSWAITTIME', 'EATTR', 'ENcoding', 'FIFOIOTIME', 'FIFOOPENTIME'],
  ...[
    'FIXrecfm',
    'FTpkeepalive',
    'INactivetime',
    'ISPFSTATS',
    'LISTLEVEL',
    'LISTSUBdir',
    'LRecl',
    'MBDATACONN',
  ],
  ...[
    'MBREQUIRELASTEOL',
    'MBSENDEOL',
    'MGmtclass',
    'MIgratevol',
    'NCp',
    'PDSTYPE',
    'PRImary',
    'QUotesoverride',
  ],
  ...[
    'RDW',
    'READTAPEFormat',
    'RECfm',
    'REMOVEINBEOF',
    'RESTPut',
    'RETpd',
    'SBDataconn',
    'SBSENDEOL',
    'SBSUB',
  ],
  ...[
    'SBSUBCHAR',
    'SECondary',
    'STOrclass',
    'TAPEREADSTREAM',
    'TRacks',
    'TRAILingblanks',
    'TRUNcate',
    'UCOUNT',
  ],
  ...[
    'UCSHOSTCS',
    'UCSSub',
    'UCSTrunc',
    'UMask',
    'UNICODEFILESYSTEMBOM',
    'UNIT',
    'VARrecfm',
    'VCOUNT',
    'VOLume',
  ],
  ...['WRAPrecord', 'WRTAPEFastio', 'XLate'],
];

type Parameter = { readonly shortest: string; readonly name: string };

const restrictedParameters: readonly (Parameter & { readonly accepted: string })[] = [
  // JES submits the next file as a job, SQL runs it as a query.
  { ...parameter('FILEtype'), accepted: 'SEQ' },
  { ...parameter('UNIXFILETYPE'), accepted: 'FILE' },
];
const parameters: readonly Parameter[] = ignoredParameters.map(parameter);

const ignored = reply(200, 'SITE parameters of z/OS have no meaning here; nothing was changed.');

/** Their line in SITE HELP. */
export const mainframeHelp = 'SITE LRECL=80 and other parameters of z/OS: accepted, nothing is changed';

/**
 * The reply to SITE with parameters of z/OS; undefined if the first word is not one of them. Unknown words after it are named
 * in the reply and are no error, as on z/OS (message 200-: Unrecognized parameter).
 */
export function mainframeReply(argument: string): Reply | undefined {
  const words = argument
    .replace(/ *= */g, '=')
    .split(' ')
    .filter((word) => word !== '');
  const unknown: string[] = [];
  for (const [index, word] of words.entries()) {
    const [name = '', ...rest] = word.toUpperCase().split('=');
    const value = rest.join('=');
    const restricted = restrictedParameters.find((known) => matches(known, name));
    if (restricted !== undefined) {
      if (value === restricted.accepted) continue;
      return reply(504, `${restricted.name}=${value} is not available here; nothing was changed.`);
    }
    // FIXrecfm, VARrecfm and UMask have their number in a separate word.
    if (isParameter(name) || (index > 0 && /^\d+$/.test(word))) continue;
    if (index === 0) return undefined;
    unknown.push(word);
  }
  if (words.length === 0) return undefined;
  if (unknown.length === 0) return ignored;
  return reply(200, `Nothing was changed. Not known at all: ${unknown.join(' ')}`);
}

function parameter(written: string): Parameter {
  return { shortest: written.replace(/[a-z]+$/, ''), name: written.toUpperCase() };
}

function isParameter(name: string): boolean {
  const positive = name.startsWith('NO') ? name.slice(2) : name;
  return parameters.some((known) => matches(known, name) || matches(known, positive));
}

function matches({ shortest, name }: Parameter, word: string): boolean {
  return word.length >= shortest.length && name.startsWith(word);
}
