/** SIZE and MLST as clients use them before a restart (RFC 3659 section 4 and 5.4): how much the server has of a file. */
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { Entry, Filesystem } from '../../filesystem/filesystem.ts';
import { nameOf, type Pathname } from '../../filesystem/pathname.ts';

/**
 * The entry, with the length of the user's own interrupted upload in place of the file's where there is one: the offset from
 * which STOR and APPE go on. The file itself stays as it is.
 */
export async function statForResume(
  filesystem: Filesystem,
  pathname: Pathname,
  signal: AbortSignal,
): Promise<Entry> {
  const [found, resumable] = await Promise.allSettled([
    filesystem.stat(pathname, { signal }),
    filesystem.resumableBytes?.(pathname, { signal }),
  ]);
  if (resumable.status === 'rejected') throw resumable.reason;
  const sizeBytes = resumable.value;
  if (found.status === 'fulfilled') {
    return sizeBytes === undefined || found.value.type === 'directory'
      ? found.value
      : { ...found.value, sizeBytes };
  }
  const isMissing = found.reason instanceof FilesystemError && found.reason.kind === 'not-found';
  if (!isMissing || sizeBytes === undefined) throw found.reason;
  return { name: nameOf(pathname), type: 'file', sizeBytes, modifiedAt: new Date() };
}
