/**
 * Resolves pathnames from clients to one canonical form. Every pathname passes through here, which keeps users inside their
 * homes. Pure.
 */
import { FilesystemError } from './filesystem-error.ts';

declare const canonical: unique symbol;

/** An absolute, canonical pathname: `/` or `/a/b`; no empty, `.` or `..` segment, no trailing slash, no NUL. */
export type Pathname = string & { readonly [canonical]: true };

export const rootPathname = '/' as Pathname;

/**
 * Resolves an argument against the working directory. `..` stops at the root, as RFC 3659 section 6 (TVFS) allows; doubled and
 * trailing slashes are ignored. The caller has to refuse control characters (RFC 959 5.3.1).
 */
export function resolvePathname(workingDirectory: Pathname, argument: string): Pathname {
  const segments = argument.startsWith('/') ? [] : workingDirectory.split('/').filter(isName);
  for (const segment of argument.split('/')) {
    if (segment === '..') segments.pop();
    else if (isName(segment)) segments.push(segment);
  }
  return `/${segments.join('/')}` as Pathname;
}

/** Whether a client's pathname can only mean a directory (POSIX.1 4.13): `a/`, `a/.`, `..`, `/`. */
export function namesDirectory(argument: string): boolean {
  return /(?:^|\/)\.{0,2}$/.test(argument);
}

/** The directory of an entry; the root is its own parent. */
export function parentOf(pathname: Pathname): Pathname {
  return (pathname.slice(0, pathname.lastIndexOf('/')) || '/') as Pathname;
}

/** The last segment; empty for the root. */
export function nameOf(pathname: Pathname): string {
  return pathname.slice(pathname.lastIndexOf('/') + 1);
}

/** The pathname of an entry in a directory. @param name one segment, as listed by a filesystem. */
export function childOf(directory: Pathname, name: string): Pathname {
  return (directory === '/' ? `/${name}` : `${directory}/${name}`) as Pathname;
}

/** Whether `pathname` is `directory` itself or lies below it. */
export function isWithin(directory: Pathname, pathname: Pathname): boolean {
  return directory === '/' || pathname === directory || pathname.startsWith(`${directory}/`);
}

function isName(segment: string): boolean {
  return segment !== '' && segment !== '.';
}

/** In bytes of UTF-8, counted from the root of the storage (Amazon S3 User Guide, "Naming Amazon S3 objects"). */
export const maxNameBytes = 1024;

/**
 * Returns the name if every storage can hold it.
 * @throws FilesystemError `name-not-allowed` for NUL, an unpaired surrogate, or more than `maxNameBytes`.
 */
export function checkedName(name: string): string {
  if (name.includes('\0')) throw new FilesystemError('name-not-allowed', 'the name contains NUL');
  if (!name.isWellFormed()) throw new FilesystemError('name-not-allowed', 'the name is not valid Unicode');
  // A UTF-16 unit is at most three bytes of UTF-8, so short names need no count.
  if (name.length * 3 > maxNameBytes && Buffer.byteLength(name) > maxNameBytes) {
    throw new FilesystemError('name-not-allowed', `the name is longer than ${maxNameBytes} bytes`);
  }
  return name;
}
