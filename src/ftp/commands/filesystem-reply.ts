/** Maps the kind of a filesystem error to a reply; the only place that does. */
import { reply, type Reply } from './reply.ts';
import type { FilesystemErrorKind } from '../../filesystem/filesystem-error.ts';

/** The texts reveal nothing about the storage. Many clients take 550 as the sign of a missing file. */
const replies: Readonly<Record<FilesystemErrorKind, Reply>> = {
  'not-found': reply(550, 'No such file or directory.'),
  exists: reply(550, 'The name exists already.'),
  'not-empty': reply(550, 'The directory is not empty.'),
  'is-a-directory': reply(550, 'It is a directory.'),
  'not-a-directory': reply(550, 'It is not a directory.'),
  'permission-denied': reply(550, 'Permission denied.'),
  'name-not-allowed': reply(553, 'The name is not allowed.'),
  // RFC 1123 4.1.3.4.
  'invalid-offset': reply(554, 'The restart offset is beyond the end of the file.'),
  'storage-full': reply(552, 'Exceeded storage allocation.'),
  changed: reply(451, 'The file changed during the transfer; try again.'),
  // A client that appends, or that must not send a file twice, has to check before it retries.
  unconfirmed: reply(451, 'The storage did not confirm the file; check whether it was stored.'),
  'client-silent': reply(
    426,
    'The client sent too little while other uploads waited for memory; transfer aborted.',
  ),
  unavailable: reply(451, 'The storage is not available; try again later.'),
};

/** The reply to a filesystem error of this kind. */
export function filesystemReply(kind: FilesystemErrorKind): Reply {
  return replies[kind];
}
