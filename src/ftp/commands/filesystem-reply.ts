/** The reply for each kind of filesystem error. */
import { permissionDenied, reply, type Reply } from './reply.ts';
import type { FilesystemErrorKind } from '../../filesystem/filesystem-error.ts';

/** Texts disclose nothing about the storage. Many clients take 550 to mean that a file does not exist. */
const replies: Readonly<Record<FilesystemErrorKind, Reply>> = {
  'not-found': reply(550, 'No such file or directory.'),
  exists: reply(550, 'The name exists already.'),
  'not-empty': reply(550, 'The directory is not empty.'),
  'is-a-directory': reply(550, 'It is a directory.'),
  'not-a-directory': reply(550, 'It is not a directory.'),
  'permission-denied': permissionDenied,
  'name-not-allowed': reply(553, 'The name is not allowed.'),
  // RFC 1123 4.1.3.4.
  'invalid-offset': reply(554, 'The restart offset is beyond the end of the file.'),
  'storage-full': reply(552, 'Exceeded storage allocation.'),
  changed: reply(451, 'The file changed during the transfer; try again.'),
  // A client that appends, or that must not send a file twice, has to look before it tries again.
  unconfirmed: reply(451, 'The storage did not confirm the file; check whether it was stored.'),
  unavailable: reply(451, 'The storage is not available; try again later.'),
};

export function filesystemReply(kind: FilesystemErrorKind): Reply {
  return replies[kind];
}
