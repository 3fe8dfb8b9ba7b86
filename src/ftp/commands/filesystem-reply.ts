/** What a client is told of a filesystem's failure: the one place where kinds become replies. */
import { reply, type Reply } from './reply.ts';
import type { FilesystemErrorKind } from '../../filesystem/filesystem-error.ts';

/** Texts hold nothing of the storage behind; many clients look for 550 to know that a file is missing. */
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
  // A client that appends, or that must not send a file twice, has to look before it tries again.
  unconfirmed: reply(451, 'The storage did not confirm the file; check whether it was stored.'),
  unavailable: reply(451, 'The storage is not available; try again later.'),
};

export function filesystemReply(kind: FilesystemErrorKind): Reply {
  return replies[kind];
}
