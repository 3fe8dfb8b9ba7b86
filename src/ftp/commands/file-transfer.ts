/** The commands that move files: RETR, STOR, APPE, STOU, and REST in front of them. */
import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { reply, type Reply } from './reply.ts';
import type { Login, Session } from './session.ts';
import { AsciiDecoder, encodeAscii } from '../data/ascii.ts';
import { receive, type Sink } from '../data/receive.ts';
import { send } from '../data/send.ts';
import { DataConnectionLost, runTransfer, type Transfer, type TransferSettings } from '../data/transfer.ts';
import type { Upload } from '../../filesystem/filesystem.ts';
import { nameOf, namesDirectory, resolvePathname, type Pathname } from '../../filesystem/pathname.ts';
import { can } from '../../users/user.ts';
import type { Command } from './command.ts';

export function fileTransferCommands(settings: TransferSettings): Command[] {
  return [
    {
      verb: 'RETR',
      syntax: 'RETR <SP> <pathname>',
      argument: 'pathname',
      source: 'RFC 959 4.1.3',
      access: 'logged-in',
      capability: 'read',
      handle: (session, login, argument) => retrieve(session, login, argument, settings),
    },
    {
      verb: 'STOR',
      syntax: 'STOR <SP> <pathname>',
      argument: 'pathname',
      source: 'RFC 959 4.1.3',
      access: 'logged-in',
      capability: 'create',
      handle: (session, login, argument) => {
        if (argument === '') return missingPathname;
        if (namesDirectory(argument)) return fileNameNeeded;
        return store(session, login, settings, {
          verb: 'STOR',
          pathname: resolvePathname(login.workingDirectory, argument),
          offset: session.restartOffsetBytes,
        });
      },
    },
    {
      verb: 'APPE',
      syntax: 'APPE <SP> <pathname>',
      argument: 'pathname',
      source: 'RFC 959 4.1.3',
      access: 'logged-in',
      capability: 'create',
      handle: (session, login, argument) => {
        if (argument === '') return missingPathname;
        if (namesDirectory(argument)) return fileNameNeeded;
        const pathname = resolvePathname(login.workingDirectory, argument);
        return store(session, login, settings, { verb: 'APPE', pathname, offset: 'end' });
      },
    },
    {
      verb: 'STOU',
      syntax: 'STOU [<SP> <pathname>]',
      argument: 'pathname',
      source: 'RFC 959 4.1.3, RFC 1123 4.1.2.9',
      access: 'logged-in',
      capability: 'create',
      handle: (session, login, argument) => {
        const pathname = uniquePathname(resolvePathname(login.workingDirectory, argument), argument);
        return store(session, login, settings, { verb: 'STOU', pathname, offset: 0 });
      },
    },
    {
      verb: 'REST',
      syntax: 'REST <SP> <offset in bytes>',
      argument: 'words',
      source: 'RFC 3659 5',
      feature: 'REST STREAM',
      access: 'logged-in',
      keepsPending: true,
      handle: (session, _login, argument) => {
        const offset = /^\d+$/.test(argument) ? Number(argument) : NaN;
        if (!Number.isSafeInteger(offset)) return reply(501, 'REST needs a number of bytes.');
        session.restartOffsetBytes = offset;
        return reply(350, `Restarting at ${offset}. Send STOR or RETR to begin the transfer.`);
      },
    },
  ];
}

const missingPathname = reply(501, 'A pathname is needed.');
// `nodir/` would become a file named `nodir`; what was meant is a directory, or a file in it whose name got lost.
const fileNameNeeded = reply(553, 'The name of a file is needed, not that of a directory.');
// In ASCII an offset would count bytes that exist on the wire only (RFC 3659 5.1 leaves it to image transfers).
const resumeNeedsImage = reply(504, 'A restart needs TYPE I.');
const complete = reply(226, 'Transfer complete.');

function retrieve(
  session: Session,
  login: Login,
  argument: string,
  settings: TransferSettings,
): Reply | Promise<Reply> {
  if (argument === '') return missingPathname;
  const offsetBytes = session.restartOffsetBytes;
  const isAscii = session.representationType === 'A';
  if (isAscii && offsetBytes > 0) return resumeNeedsImage;
  const pathname = resolvePathname(login.workingDirectory, argument);
  return runTransfer(session, login, { verb: 'RETR', pathname }, settings, async (transfer) => {
    const { signal } = transfer;
    const { sizeBytes, content } = await login.filesystem.openDownload(pathname, { offsetBytes, signal });
    const remainingBytes = sizeBytes - offsetBytes;
    // Clients read the size from the parentheses; of an ASCII transfer nobody knows it beforehand.
    const size = isAscii ? '' : ` (${remainingBytes} bytes)`;
    const socket = await transfer.connect(
      reply(150, `Opening ${modeName(session)} mode data connection for ${argument}${size}.`),
    );
    await (isAscii
      ? send(transfer, socket, encodeAscii(content))
      : send(transfer, socket, content, remainingBytes));
    return complete;
  });
}

type StoreRequest = {
  readonly verb: 'STOR' | 'APPE' | 'STOU';
  readonly pathname: Pathname;
  readonly offset: number | 'end';
};

function store(
  session: Session,
  login: Login,
  settings: TransferSettings,
  { verb, pathname, offset }: StoreRequest,
): Reply | Promise<Reply> {
  const isAscii = session.representationType === 'A';
  if (isAscii && offset !== 'end' && offset > 0) return resumeNeedsImage;
  const { allocatedBytes: announcedBytes } = session;
  return runTransfer(session, login, { verb, pathname, isUpload: true }, settings, async (transfer) => {
    const upload = await login.filesystem.openUpload(pathname, {
      offset,
      ifExists: verb === 'STOU' || !can(login.user, 'overwrite') ? 'refuse' : 'replace',
      ...(announcedBytes !== undefined && { announcedBytes }),
      signal: transfer.signal,
    });
    transfer.keptBytes = upload.keptBytes ?? 0;
    try {
      const socket = await transfer.connect(storePreliminary(session, verb, pathname));
      await (isAscii ? receiveAscii(transfer, socket, upload) : receive(transfer, socket, upload));
      await untilEndIsTrusted(transfer, announcedBytes);
      transfer.throwIfAborted();
      // What ALLO announced in ASCII may count line ends either way; in image it is exact, with or without the kept bytes.
      if (!isAscii) requireAnnouncedSize(transfer.movedBytes, offset, announcedBytes);
      await upload.commit();
    } catch (error) {
      await upload.abort(error);
      throw error;
    }
    return verb === 'STOU'
      ? reply(226, `Transfer complete (unique file name: ${nameOf(pathname)}).`)
      : complete;
  });
}

// RFC 1123 4.1.2.9 gives the text of STOU's reply letter by letter.
function storePreliminary(session: Session, verb: StoreRequest['verb'], pathname: Pathname): Reply {
  const name = nameOf(pathname);
  return reply(
    150,
    verb === 'STOU' ? `FILE: ${name}` : `Opening ${modeName(session)} mode data connection for ${name}.`,
  );
}

async function receiveAscii(
  transfer: Transfer,
  socket: Parameters<typeof receive>[1],
  upload: Upload,
): Promise<void> {
  const decoder = new AsciiDecoder();
  const sink: Sink = {
    write: (bytes) => {
      const decoded = decoder.decode(bytes);
      return decoded.length === 0 ? undefined : upload.write(decoded);
    },
  };
  await receive(transfer, socket, sink);
  const held = decoder.end();
  if (held.length > 0) await upload.write(held);
}

/** What nearly every client hands to its kernel in one write; a file up to this size is not cut in its middle. */
const oneWriteBytes = 8 * 1024;
/** A client that has sent its whole file closes its data connection right behind it. */
const promptEndMs = 2;

/**
 * A client that dies closes both of its connections, and nothing in a FIN on the data connection tells that from the end of
 * a file. So before an upload is committed a command must have arrived after that FIN, or the gateway looks whether the
 * control connection ends too, which aborts the transfer: for one whole turn of the event loop (one setImmediate may still
 * belong to the turn in which the data connection ended), and for 250 ms unless the end looks intended.
 * See docs/decisions/0007-end-of-an-upload.md.
 */
async function untilEndIsTrusted(transfer: Transfer, announcedBytes: number | undefined): Promise<void> {
  const isPrompt = performance.now() - transfer.lastReceivedAtMs < promptEndMs;
  await setImmediate();
  await setImmediate();
  if (transfer.movedBytes === announcedBytes) return;
  if (transfer.movedBytes <= oneWriteBytes && isPrompt) return;
  await transfer.evidence?.confirmedInTime();
}

function requireAnnouncedSize(
  receivedBytes: number,
  offset: number | 'end',
  announcedBytes: number | undefined,
): void {
  if (announcedBytes === undefined || announcedBytes === receivedBytes) return;
  // Some clients announce the size of the whole file when they resume it.
  if (offset === 'end' || announcedBytes === receivedBytes + offset) return;
  throw new DataConnectionLost(
    `ALLO announced ${announcedBytes} bytes, ${receivedBytes} came; nothing was stored.`,
  );
}

/** Never the name of a file that exists: 64 random bits, in front of the extension so that the type is kept. */
function uniquePathname(wanted: Pathname, argument: string): Pathname {
  const unique = randomBytes(8).toString('hex');
  if (argument === '' || namesDirectory(argument)) return resolvePathname(wanted, `stou-${unique}`);
  const dot = wanted.lastIndexOf('.');
  const hasExtension = dot > wanted.lastIndexOf('/') + 1;
  const [stem, extension] = hasExtension ? [wanted.slice(0, dot), wanted.slice(dot)] : [wanted, ''];
  return resolvePathname(wanted, `${stem}-${unique}${extension}`);
}

function modeName(session: Session): string {
  return session.representationType === 'A' ? 'ASCII' : 'BINARY';
}
