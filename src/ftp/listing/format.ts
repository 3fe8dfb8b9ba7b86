/** Formats the lines of LIST, NLST, MLSD and MLST. Pure. Times are GMT and months English, independent of the locale. */
import type { Entry } from '../../filesystem/filesystem.ts';
import { can, type User } from '../../users/user.ts';

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;
// Six months, as POSIX ls and clients that parse LIST define a recent file: half of 365.2425 days.
const recentMs = 15_778_476_000;
// The time of a new file comes from S3's clock, which may be ahead of ours. If the file were listed by day first and by minute later,
// clients that compare times by LIST would transfer it again.
const clockDifferenceMs = 60_000;

/**
 * One line of LIST in the format of `ls -l`, which every client can parse: with the time of day for the last six months, with the
 * year for older files and for those more than a minute in the future. No line end.
 */
export function formatListLine(entry: Entry, user: User, nowMs: number): string {
  const { modifiedAt } = entry;
  const day = `${months[modifiedAt.getUTCMonth()] ?? ''} ${twoDigits(modifiedAt.getUTCDate())}`;
  const ageMs = nowMs - modifiedAt.getTime();
  const isRecent = ageMs >= -clockDifferenceMs && ageMs < recentMs;
  const timeOrYear = isRecent
    ? `${twoDigits(modifiedAt.getUTCHours())}:${twoDigits(modifiedAt.getUTCMinutes())}`
    : String(modifiedAt.getUTCFullYear()).padStart(5);
  const links = entry.type === 'directory' ? 2 : 1;
  const size = String(entry.sizeBytes).padStart(12);
  return `${modeOf(entry, user)} ${links} ftp      ftp      ${size} ${day} ${timeOrYear} ${printable(entry.name)}`;
}

/** The facts of MLSD and MLST (RFC 3659 7.5), in sending order. */
export const mlstFacts = ['type', 'size', 'modify', 'perm'] as const;
export type MlstFact = (typeof mlstFacts)[number];

/**
 * The facts that OPTS MLST selects (RFC 3659 7.9): the supported ones of the list, in upper or lower case. An empty selection is
 * valid. The reply names them as `formatFactNames` does.
 */
export function selectFacts(argument: string): readonly MlstFact[] {
  const wanted = new Set(argument.toLowerCase().split(';'));
  return mlstFacts.filter((fact) => wanted.has(fact));
}

/** `type;size;` for the reply to OPTS MLST. */
export function formatFactNames(facts: readonly MlstFact[]): string {
  return facts.map((fact) => `${fact};`).join('');
}

/** `type*;size*;modify;perm;` for FEAT, with a star after each selected fact (RFC 3659 7.8). */
export function formatFactFeature(selected: readonly MlstFact[]): string {
  return mlstFacts.map((fact) => `${fact}${selected.includes(fact) ? '*' : ''};`).join('');
}

/** One line of MLSD, or the middle line of MLST's reply: facts, a space, the name (RFC 3659 7.2). No line end. */
export function formatMlstEntry(entry: Entry, name: string, user: User, facts: readonly MlstFact[]): string {
  let line = '';
  for (const fact of facts) {
    const value = factOf(entry, user, fact);
    if (value !== undefined) line += `${fact}=${value};`;
  }
  return `${line} ${printable(name)}`;
}

/** `YYYYMMDDHHMMSS` in GMT (RFC 3659 2.3), for MDTM and the modify fact; no fraction, because some clients expect none. */
export function formatTimeValue(time: Date): string {
  return time.toISOString().slice(0, 19).replace(/[-:T]/g, '');
}

// C0 and C1 controls, of which U+009B begins a terminal's commands; line and paragraph separators; and the embeddings, overrides and
// isolates with which a name can be displayed as another (Unicode TR 36, 2.8). Marks (U+200E, U+200F) are part of real names.
const unprintable = /[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;

/** A name for a listing: characters that could end or hide its line, or act on another user's terminal, become `?`, as in ls. */
export function printable(name: string): string {
  return name.replace(unprintable, '?');
}

function factOf(entry: Entry, user: User, fact: MlstFact): string | undefined {
  switch (fact) {
    case 'type':
      return entry.type === 'directory' ? 'dir' : 'file';
    case 'size':
      return entry.type === 'directory' ? undefined : String(entry.sizeBytes);
    case 'modify':
      return formatTimeValue(entry.modifiedAt);
    case 'perm':
      return entry.type === 'directory' ? directoryPermissions(user) : filePermissions(user);
  }
}

// RFC 3659 7.5.5: a append, d delete, f rename, r retrieve, w store.
function filePermissions(user: User): string {
  return (
    (can(user, 'overwrite') ? 'a' : '') +
    (can(user, 'delete') ? 'd' : '') +
    (can(user, 'rename') ? 'f' : '') +
    (can(user, 'read') ? 'r' : '') +
    (can(user, 'overwrite') ? 'w' : '')
  );
}

// c create files, d remove, e enter, f rename, l list, m make directories, p delete its contents.
function directoryPermissions(user: User): string {
  return (
    (can(user, 'create') ? 'c' : '') +
    (can(user, 'delete') ? 'd' : '') +
    'e' +
    (can(user, 'rename') ? 'f' : '') +
    (can(user, 'list') ? 'l' : '') +
    (can(user, 'make-directory') ? 'm' : '') +
    (can(user, 'delete') ? 'p' : '')
  );
}

function modeOf(entry: Entry, user: User): string {
  const writable = can(user, 'overwrite');
  if (entry.type === 'directory') return writable ? 'drwxr-xr-x' : 'dr-xr-xr-x';
  return writable ? '-rw-r--r--' : '-r--r--r--';
}

function twoDigits(number: number): string {
  return number < 10 ? `0${number}` : String(number);
}
