/**
 * Pathnames as a client names them, resolved to one canonical form before anything else sees them.
 * Pure; the boundary that keeps every user inside their home.
 */

import { FilesystemError } from './filesystem-error.ts';

declare const canonical: unique symbol;

/** An absolute, canonical pathname: `/` or `/a/b`; no empty, `.` or `..` segment, no trailing slash, no NUL. */
export type Pathname = string & { readonly [canonical]: true };

export const rootPathname = '/' as Pathname;

/**
 * Resolves what a client sent against the working directory. `..` stops at the root, as RFC 3659 section 6 (TVFS)
 * allows; doubled and trailing slashes mean nothing. Control bytes are the caller's to refuse (RFC 959 5.3.1).
 */
export function resolvePathname(workingDirectory: Pathname, argument: string): Pathname {
  const segments = argument.startsWith('/') ? [] : workingDirectory.split('/').filter(isName);
  for (const segment of argument.split('/')) {
    if (segment === '..') segments.pop();
    else if (isName(segment)) segments.push(segment);
  }
  return `/${segments.join('/')}` as Pathname;
}

/** Whether a pathname as a client wrote it can only mean a directory (POSIX.1 4.13): `a/`, `a/.`, `..`, `/`. */
export function namesDirectory(argument: string): boolean {
  return /(?:^|\/)\.{0,2}$/.test(argument);
}

/** The directory an entry is in; the root is its own parent. */
export function parentOf(pathname: Pathname): Pathname {
  return (pathname.slice(0, pathname.lastIndexOf('/')) || '/') as Pathname;
}

/** The last segment; empty for the root. */
export function nameOf(pathname: Pathname): string {
  return pathname.slice(pathname.lastIndexOf('/') + 1);
}

/** The pathname of an entry inside a directory. The name is one segment as a filesystem listed it. */
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

/** Longest name in bytes of UTF-8, counted from the root of the storage (Amazon S3 User Guide, "Naming Amazon S3 objects"). */
export const maxNameBytes = 1024;

/**
 * The name itself, if every storage can hold it.
 * @throws FilesystemError `name-not-allowed` for NUL, an unpaired surrogate, or more than `maxNameBytes`.
 */
export function checkedName(name: string): string {
  if (name.includes('\0')) throw new FilesystemError('name-not-allowed', 'the name contains NUL');
  if (!name.isWellFormed()) throw new FilesystemError('name-not-allowed', 'the name is not valid Unicode');
  // A UTF-16 unit is at most three bytes of UTF-8, so most names need no counting.
  if (name.length * 3 > maxNameBytes && Buffer.byteLength(name) > maxNameBytes) {
    throw new FilesystemError('name-not-allowed', `the name is longer than ${maxNameBytes} bytes`);
  }
  return name;
}
