/** Maps the kind of a filesystem error to a reply; the only place that does. */
import { reply, type Reply } from './reply.ts';
import { causeOfKind, type FilesystemErrorKind } from '../../filesystem/filesystem-error.ts';
import type { CauseCode } from '../../observability/cause.ts';

/** The texts reveal nothing about the storage. Many clients take 550 as the sign of a missing file. */
const replies: Readonly<Record<FilesystemErrorKind, readonly [code: number, text: string]>> = {
  'not-found': [550, 'No such file or directory.'],
  exists: [550, 'The name exists already.'],
  'not-empty': [550, 'The directory is not empty.'],
  'is-a-directory': [550, 'It is a directory.'],
  'not-a-directory': [550, 'It is not a directory.'],
  'permission-denied': [550, 'Permission denied.'],
  'name-not-allowed': [553, 'The name is not allowed.'],
  // RFC 1123 4.1.3.4.
  'invalid-offset': [554, 'The restart offset is beyond the end of the file.'],
  'storage-full': [552, 'Exceeded storage allocation.'],
  changed: [451, 'The file changed during the transfer; try again.'],
  // A client that appends, or that must not send a file twice, has to check before it retries.
  unconfirmed: [451, 'The storage did not confirm the file; check whether it was stored.'],
  'client-silent': [
    426,
    'The client sent too little while other uploads waited for memory; transfer aborted.',
  ],
  // Not 550: the name is fine, and clients that believe otherwise give up or delete their copy.
  misconfigured: [
    451,
    "The storage rejected the gateway's request; the operator of the gateway must correct this.",
  ],
  unavailable: [451, 'The storage is not available; try again later.'],
};

/** The reply to a filesystem error of this kind. @param cause where it is known better than by the kind. */
export function filesystemReply(kind: FilesystemErrorKind, cause: CauseCode = causeOfKind[kind]): Reply {
  const [code, text] = replies[kind];
  return reply(code, text, cause);
}
