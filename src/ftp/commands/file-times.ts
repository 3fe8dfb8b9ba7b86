/**
 * Modification times. MDTM shows a file's time. MFMT, and MDTM and SITE UTIME as older clients use them, set it if the gateway
 * stores client times; otherwise they are refused, because a client that believes it has set a time compares with it later
 * and transfers everything again (docs/decisions/0017-modification-times.md).
 */
import { reply, type Reply } from './reply.ts';
import type { Login, Session } from './session.ts';
import { formatTimeValue } from '../listing/format.ts';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { FileTimes } from '../../filesystem/filesystem.ts';
import { resolvePathname, type Pathname } from '../../filesystem/pathname.ts';
import { can } from '../../users/user.ts';
import { missingPathname, permissionDenied, withPathname, type Command } from './command.ts';

const timeNotUnderstood = reply(501, 'The time must be YYYYMMDDhhmmss in UTC.');
/** The reply to commands that set a time, if the gateway shows upload times. */
const timesCannotBeSet = reply(502, 'Times of files cannot be set here.');

export type FileTimeOptions = {
  /** The time that files show; only client times can be set. */
  readonly fileTimes: FileTimes;
};

/** The rows of MDTM and MFMT. */
export function fileTimeCommands({ fileTimes }: FileTimeOptions): Command[] {
  const canSet = fileTimes === 'client';
  return [
    {
      verb: 'MDTM',
      syntax: canSet ? 'MDTM [<SP> YYYYMMDDhhmmss] <SP> <pathname>' : 'MDTM <SP> <pathname>',
      argument: 'pathname',
      source: 'RFC 3659 3',
      feature: 'MDTM',
      access: 'logged-in',
      keepsPending: true,
      handle: (session, login, argument) => {
        // This way to set a time is not standard, but older clients know no other.
        const [, time, name] = /^(\d{14}(?:\.\d+)?) (.+)$/.exec(argument) ?? [];
        const setsTime = time !== undefined && name !== undefined;
        if (setsTime && canSet) return setTime(session, login, time, name, 253);
        if (!can(login.user, 'list')) return permissionDenied;
        return setsTime ? showTimeIfThere(session, login, argument) : showTime(session, login, argument);
      },
    },
    {
      verb: 'MFMT',
      syntax: 'MFMT <SP> YYYYMMDDhhmmss <SP> <pathname>',
      argument: 'pathname',
      source: 'draft-somers-ftp-mfxx 3.1',
      feature: canSet ? 'MFMT' : undefined,
      access: 'logged-in',
      permission: 'set-time',
      handle: (session, login, argument) => {
        if (!canSet) return timesCannotBeSet;
        const [, time = '', name = ''] = /^(\S+) (.+)$/.exec(argument) ?? [];
        return setTime(session, login, time, name, 213);
      },
    },
  ];
}

/**
 * SITE UTIME in its two forms: `YYYYMMDDhhmm[ss] <pathname>`, and `<pathname>` with the times of access, of modification
 * and of change, then `UTC`.
 */
export function setTimeBySite(
  session: Session,
  login: Login,
  argument: string,
  fileTimes: FileTimes,
): Reply | Promise<Reply> {
  if (fileTimes === 'upload') return timesCannotBeSet;
  const [, name, modified] =
    /^(.+) \d{12,14} (\d{12,14}) \d{12,14} UTC$/i.exec(argument) ?? /^()(\d{12,14}) .+$/.exec(argument) ?? [];
  if (modified === undefined || name === undefined) return timeNotUnderstood;
  const pathname = name === '' ? argument.slice(modified.length + 1) : name;
  return setTime(session, login, modified.padEnd(14, '0'), pathname, 200);
}

/** Parses YYYYMMDDhhmmss with an optional fraction, in UTC (RFC 3659 2.3); undefined for anything else. */
export function parseTime(text: string): Date | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d+))?$/.exec(text);
  if (match === null) return undefined;
  const [year = 0, month = 0, day = 0, hours = 0, minutes = 0, seconds = 0] = match.slice(1, 7).map(Number);
  const milliseconds = Math.trunc(Number(`0.${match[7] ?? '0'}`) * 1000);
  const time = new Date(Date.UTC(year, month - 1, day, hours, minutes, seconds, milliseconds));
  // `Date` turns 31 April, for example, into 1 May. Second 60 is a leap second (RFC 3659 2.3).
  const isReal = time.getUTCMonth() === month - 1 && hours < 24 && minutes < 60 && seconds <= 60;
  return isReal || seconds === 60 ? time : undefined;
}

const showTime = withPathname(async ({ signal }, { filesystem }, pathname) => {
  const { type, modifiedAt } = await filesystem.stat(pathname, { signal });
  if (type === 'directory') throw new FilesystemError('is-a-directory', `MDTM of ${pathname}`);
  return reply(213, formatTimeValue(modifiedAt));
});

/** The name of a file may look like a time and a name, as those of cameras and scanners do. */
async function showTimeIfThere(session: Session, login: Login, argument: string): Promise<Reply> {
  try {
    return await showTime(session, login, argument);
  } catch (error) {
    if (error instanceof FilesystemError && error.kind === 'not-found') return timesCannotBeSet;
    throw error;
  }
}

async function setTime(
  session: Session,
  { user, filesystem, workingDirectory }: Login,
  time: string,
  name: string,
  code: 200 | 213 | 253,
): Promise<Reply> {
  if (!can(user, 'set-time')) return permissionDenied;
  if (name === '') return missingPathname;
  const modifiedAt = parseTime(time);
  if (modifiedAt === undefined) return timeNotUnderstood;
  const pathname: Pathname = resolvePathname(workingDirectory, name);
  session.audited = { pathname };
  await filesystem.setModifiedAt(pathname, modifiedAt, { signal: session.signal });
  return reply(code, code === 213 ? `Modify=${formatTimeValue(modifiedAt)}; ${name}` : 'The time is set.');
}
