/** File transfers: RETR, STOR, APPE, STOU, and REST before them. */
import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { reply, type Reply } from './reply.ts';
import type { Login, Session } from './session.ts';
import { AsciiDecoder, encodeAscii } from '../data/ascii.ts';
import { receive } from '../data/receive.ts';
import { send } from '../data/send.ts';
import { DataConnectionLost, type Transfer, type TransferSettings } from '../data/transfer.ts';
import type { ByteSink, Upload } from '../../filesystem/filesystem.ts';
import { nameOf, namesDirectory, resolvePathname, type Pathname } from '../../filesystem/pathname.ts';
import { untilAborted } from '../../util/until-aborted.ts';
import { can } from '../../users/user.ts';
import { permissionDenied, withPathname, type Command, type LoginCommand } from './command.ts';
import { runTransfer } from './run-transfer.ts';

/** The rows of RETR, STOR, APPE, STOU and REST. */
export function fileTransferCommands(settings: TransferSettings): Command[] {
  return [
    {
      verb: 'RETR',
      syntax: 'RETR <SP> <pathname>',
      argument: 'pathname',
      source: 'RFC 959 4.1.3',
      access: 'logged-in',
      permission: 'read',
      handle: withPathname((session, login, pathname) => retrieve(session, login, settings, pathname)),
    },
    {
      verb: 'STOR',
      syntax: 'STOR <SP> <pathname>',
      argument: 'pathname',
      source: 'RFC 959 4.1.3',
      access: 'logged-in',
      permission: 'create',
      handle: withFilePathname((session, login, pathname) => {
        const { restartOffsetBytes: offset } = session;
        return store(session, login, settings, { verb: 'STOR', pathname, offset });
      }),
    },
    {
      verb: 'APPE',
      syntax: 'APPE <SP> <pathname>',
      argument: 'pathname',
      source: 'RFC 959 4.1.3',
      access: 'logged-in',
      permission: 'create',
      handle: withFilePathname((session, login, pathname) =>
        store(session, login, settings, { verb: 'APPE', pathname, offset: 'end' }),
      ),
    },
    {
      verb: 'STOU',
      syntax: 'STOU [<SP> <pathname>]',
      argument: 'pathname',
      source: 'RFC 959 4.1.3, RFC 1123 4.1.2.9',
      access: 'logged-in',
      permission: 'create',
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

// `nodir/` would become a file named `nodir`. The client meant a directory, or a file in it whose name got lost.
const fileNameNeeded = reply(553, 'The name of a file is needed, not that of a directory.', 'FILE-NAME');
// In ASCII an offset would count bytes that exist only on the wire (RFC 3659 5.1 leaves REST to image transfers).
const resumeNeedsImage = reply(504, 'A restart needs TYPE I.');
const complete = reply(226, 'Transfer complete.');

/** As `withPathname`, for commands that write a file: refuses pathnames that can only mean a directory. */
function withFilePathname(handle: Parameters<typeof withPathname>[0]): LoginCommand['handle'] {
  const handlePathname = withPathname(handle);
  return (session, login, argument) =>
    argument !== '' && namesDirectory(argument) ? fileNameNeeded : handlePathname(session, login, argument);
}

function retrieve(
  session: Session,
  login: Login,
  settings: TransferSettings,
  pathname: Pathname,
): Reply | Promise<Reply> {
  const offsetBytes = session.restartOffsetBytes;
  const isAscii = session.representationType === 'A';
  if (isAscii && offsetBytes > 0) return resumeNeedsImage;
  return runTransfer(session, login, { verb: 'RETR', pathname }, settings, async (transfer) => {
    const options = { ...transfer.call, offsetBytes };
    const download = await login.filesystem.openDownload(pathname, options);
    const { sizeBytes, content, recycle } = download;
    const remainingBytes = sizeBytes - offsetBytes;
    // Clients read the size from the parentheses. The size of an ASCII transfer is not known in advance.
    const size = isAscii ? '' : ` (${remainingBytes} bytes)`;
    session.sendPreliminary(openingReply(session, pathname, size));
    const socket = await transfer.connect();
    await (isAscii
      ? send(transfer, socket, encodeAscii(warnOfBinary(transfer, content)))
      : send(transfer, socket, content, { announcedBytes: remainingBytes, recycle }));
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
  // Comparing the offset would disclose the length of a file that such a user must not see.
  if (offset !== 'end' && offset > 0 && !can(login.user, 'overwrite')) return permissionDenied;
  const { allocatedBytes: announcedBytes } = session;
  return runTransfer(session, login, { verb, pathname, isUpload: true }, settings, async (transfer) => {
    const upload = await login.filesystem.openUpload(pathname, {
      offset,
      ifExists: verb === 'STOU' || !can(login.user, 'overwrite') ? 'refuse' : 'replace',
      announcedBytes,
      ...transfer.call,
    });
    transfer.keptBytes = upload.keptBytes ?? 0;
    try {
      // RFC 1123 4.1.2.9 prescribes the text for STOU.
      session.sendPreliminary(
        verb === 'STOU' ? reply(150, `FILE: ${nameOf(pathname)}`) : openingReply(session, pathname),
      );
      const socket = await transfer.connect();
      const received = isAscii ? receiveAscii(transfer, socket, upload) : receive(transfer, socket, upload);
      await untilAborted(received, upload.failed);
      // In ASCII the last byte may be the CR of a cut line end, which must not be stored to be resumed.
      const prepare = async (): Promise<void> => (isAscii ? undefined : await upload.prepare());
      await waitForControlClose(transfer, announcedBytes, prepare);
      transfer.throwIfAborted();
      // In ASCII, ALLO may count line ends either way. In image it is exact, with or without the kept bytes.
      if (!isAscii) requireAnnouncedSize(transfer.movedBytes, offset, announcedBytes);
      await upload.commit();
      transfer.stored = upload.stored;
    } catch (error) {
      await upload.abort(error);
      throw error;
    }
    return verb === 'STOU'
      ? reply(226, `Transfer complete (unique file name: ${nameOf(pathname)}).`)
      : complete;
  });
}

function openingReply(session: Session, pathname: Pathname, size = ''): Reply {
  const mode = session.representationType === 'A' ? 'ASCII' : 'BINARY';
  return reply(150, `Opening ${mode} mode data connection for ${nameOf(pathname)}${size}.`);
}

async function receiveAscii(
  transfer: Transfer,
  socket: Parameters<typeof receive>[1],
  upload: Upload,
): Promise<void> {
  const decoder = new AsciiDecoder();
  const sink: ByteSink = {
    write: (bytes) => {
      if (transfer.movedBytes <= bytes.length) noteBinary(transfer, bytes);
      const decoded = decoder.decode(bytes);
      return decoded.length === 0 ? undefined : upload.write(decoded);
    },
  };
  await receive(transfer, socket, sink);
  const held = decoder.end();
  if (held.length > 0) await upload.write(held);
}

/** As in Git, a NUL among the first bytes means a binary file. */
const sampleBytes = 8_000;

/** Records a warning where ASCII mode converts line ends in a file that is not text. */
function noteBinary(transfer: Transfer, first: Uint8Array): void {
  if (first.subarray(0, sampleBytes).includes(0)) transfer.warning = 'ASCII-BINARY';
}

async function* warnOfBinary(
  transfer: Transfer,
  content: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let isFirst = true;
  for await (const bytes of content) {
    if (isFirst) noteBinary(transfer, bytes);
    isFirst = false;
    yield bytes;
  }
}

/**
 * A client that dies closes both of its connections, and its FIN on the data connection looks like the end of a file. So before
 * an upload is committed, either a command must have arrived after that FIN, or the gateway checks whether the control
 * connection ends too, which aborts the transfer. It waits one whole turn of the event loop (one setImmediate may still
 * belong to the turn in which the data connection ended), and the grace time more, which depends on that end. During the
 * grace time the storage sends what it can without publishing (`prepare`).
 * See docs/decisions/0007-end-of-an-upload.md.
 */
async function waitForControlClose(
  transfer: Transfer,
  announcedBytes: number | undefined,
  prepare: () => Promise<void>,
): Promise<void> {
  const graceMs = transfer.uploadGraceMs();
  await setImmediate();
  await setImmediate();
  if (transfer.movedBytes === announcedBytes || graceMs === 0) return;
  const confirmed = transfer.evidence?.confirmedInTime(graceMs);
  await Promise.all([confirmed && untilAborted(confirmed, transfer.signal), prepare()]);
}

function requireAnnouncedSize(
  receivedBytes: number,
  offset: number | 'end',
  announcedBytes: number | undefined,
): void {
  if (announcedBytes === undefined || announcedBytes === receivedBytes) return;
  // Some clients announce the size of the whole file when they resume an upload.
  if (offset === 'end' || announcedBytes === receivedBytes + offset) return;
  throw new DataConnectionLost(
    'ALLO-SHORT',
    `ALLO announced ${announcedBytes} bytes, ${receivedBytes} came; nothing was stored.`,
  );
}

/** A name that no existing file has: 64 random bits, in front of the extension so that the content type is kept. */
function uniquePathname(wanted: Pathname, argument: string): Pathname {
  const unique = randomBytes(8).toString('hex');
  if (argument === '' || namesDirectory(argument)) return resolvePathname(wanted, `stou-${unique}`);
  const dot = wanted.lastIndexOf('.');
  const hasExtension = dot > wanted.lastIndexOf('/') + 1;
  const [stem, extension] = hasExtension ? [wanted.slice(0, dot), wanted.slice(dot)] : [wanted, ''];
  return resolvePathname(wanted, `${stem}-${unique}${extension}`);
}
