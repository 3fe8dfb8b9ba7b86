/** The size that SIZE and MLST show to a client that wants to resume (RFC 3659 section 4 and 5.4). */
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { Entry, Filesystem } from '../../filesystem/filesystem.ts';
import { nameOf, type Pathname } from '../../filesystem/pathname.ts';

/**
 * The entry of a file. If the user has an abandoned upload of that name, the entry has its size instead of the file's: the
 * offset at which STOR and APPE resume it. The file itself stays unchanged.
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
