/**
 * The SITE parameters of z/OS (z/OS Communications Server: IP User's Guide and Commands, "SIte subcommand"). Its clients send
 * them in front of every file they store, unless told otherwise (SENDSITE), and scripts that run with EXIT stop at a refusal.
 * What they say of records, blocks and volumes has no meaning for an object, so they are accepted where ignoring them leaves
 * the meaning of the transfers that follow as it is. Pure.
 */
import { reply, type Reply } from './reply.ts';

/**
 * As the guide writes them: the letters in upper case are the shortest abbreviation. CHMOD is a command of its own. Left out
 * are parameters that ask for an answer or an action (QDISK, DEBUG, DUMP), and those of DB2 and JES, which serve no purpose
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

const parametersThatMatter: readonly (Parameter & { readonly accepted: string })[] = [
  // JES submits the next file as a job, SQL takes it for a query.
  { ...parameter('FILEtype'), accepted: 'SEQ' },
  { ...parameter('UNIXFILETYPE'), accepted: 'FILE' },
];
const parameters: readonly Parameter[] = ignoredParameters.map(parameter);

const ignored = reply(200, 'SITE parameters of z/OS have no meaning here; nothing was changed.');

/** The line of SITE HELP about them. */
export const mainframeHelp = 'SITE LRECL=80 and other parameters of z/OS: accepted, nothing is changed';

/**
 * The reply to SITE with parameters of z/OS; undefined where the first word is none of them. Unknown words behind it are named
 * and do not make it fail, as on z/OS (message 200-: Unrecognized parameter).
 */
export function answerMainframe(argument: string): Reply | undefined {
  const words = argument
    .replace(/ *= */g, '=')
    .split(' ')
    .filter((word) => word !== '');
  const unknown: string[] = [];
  for (const [index, word] of words.entries()) {
    const [name = '', ...rest] = word.toUpperCase().split('=');
    const value = rest.join('=');
    const strict = parametersThatMatter.find((known) => isCalled(known, name));
    if (strict !== undefined) {
      if (value === strict.accepted) continue;
      return reply(504, `${strict.name}=${value} is not available here; nothing was changed.`);
    }
    // FIXrecfm, VARrecfm and UMask have their number in a word of its own.
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
  return parameters.some((known) => isCalled(known, name) || isCalled(known, positive));
}

function isCalled({ shortest, name }: Parameter, word: string): boolean {
  return word.length >= shortest.length && name.startsWith(word);
}
