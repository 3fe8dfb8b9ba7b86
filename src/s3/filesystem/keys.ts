/**
 * Pathname to object key, and key to the name in a listing: pure functions that keep a user's files below their home's prefix.
 * A file `/a/b` is the object `prefix + a/b`; a directory `/a` is the prefix `prefix + a/`, and so is its marker object.
 */
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { checkedName, type Pathname } from '../../filesystem/pathname.ts';

/**
 * The key of a file. The root has none.
 * @throws FilesystemError `name-not-allowed` for what S3 cannot hold: NUL, an unpaired surrogate, more than 1,024 bytes.
 */
export function fileKeyOf(homePrefix: string, pathname: Pathname): string {
  if (pathname === '/') throw new FilesystemError('is-a-directory', 'the root has no object key');
  return checkedName(homePrefix + pathname.slice(1));
}

/**
 * The prefix of everything in a directory, and the key of its marker object. The root's is the home's prefix itself,
 * which may be empty.
 * @throws FilesystemError `name-not-allowed`, as `fileKeyOf` does.
 */
export function directoryPrefixOf(homePrefix: string, directory: Pathname): string {
  return directory === '/' ? homePrefix : checkedName(`${homePrefix}${directory.slice(1)}/`);
}

/**
 * The name of the entry that a key or a common prefix stands for in the listing of `directoryPrefix`; undefined for what
 * no FTP name can express (see `isExpressible`) and for the directory's own marker.
 */
export function entryNameOf(directoryPrefix: string, keyOrCommonPrefix: string): string | undefined {
  if (!keyOrCommonPrefix.startsWith(directoryPrefix)) return undefined;
  const end = keyOrCommonPrefix.endsWith('/') ? -1 : undefined;
  const name = keyOrCommonPrefix.slice(directoryPrefix.length, end);
  return isExpressible(name) ? name : undefined;
}

/**
 * Whether one segment of a key can be a name in FTP. These cannot: the empty segment (a doubled slash), `.` and `..` (they mean
 * directories), and segments with NUL, or with CR or LF (they end a command, RFC 959 5.3.1). Such objects exist in buckets that other tools write to.
 */
function isExpressible(segment: string): boolean {
  return segment !== '' && segment !== '.' && segment !== '..' && !/[\0\r\n/]/.test(segment);
}
