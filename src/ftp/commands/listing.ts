/** Listings: LIST, NLST and MLSD over a data connection, MLST over the control connection. */
import { reply, type Reply } from './reply.ts';
import type { Login, Session } from './session.ts';
import { encodeText, type TextEncoding } from './text-encoding.ts';
import { parseListArgument } from '../listing/list-argument.ts';
import {
  ListingTooLarge,
  openListing,
  openPages,
  recursionLimits,
  tapPages,
  walkBelow,
  type Listing,
} from '../listing/entries.ts';
import { formatFactFeature, formatListLine, formatMlstEntry, printable } from '../listing/format.ts';
import { send } from '../data/send.ts';
import type { TransferSettings } from '../data/transfer.ts';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { Entry } from '../../filesystem/filesystem.ts';
import { resolvePathname } from '../../filesystem/pathname.ts';
import type { Command } from './command.ts';
import { statForResume } from './resume-size.ts';
import { runTransfer } from './run-transfer.ts';

export type ListingSettings = TransferSettings & { readonly listRecursive: 'on' | 'off' };

const recursionOff = reply(
  504,
  'LIST -R is switched off here; list the directories one by one.',
  'LIMIT-LISTINGS',
);

/** The rows of LIST, NLST, MLSD and MLST. */
export function listingCommands(settings: ListingSettings): Command[] {
  return [
    {
      verb: 'LIST',
      syntax: 'LIST [<SP> <options>] [<SP> <pathname>]',
      argument: 'pathname',
      source: 'RFC 959 4.1.3',
      access: 'logged-in',
      permission: 'list',
      handle: (session, login, argument) => sendListing(session, login, settings, 'LIST', argument),
    },
    {
      verb: 'NLST',
      syntax: 'NLST [<SP> <options>] [<SP> <pathname>]',
      argument: 'pathname',
      source: 'RFC 959 4.1.3',
      access: 'logged-in',
      permission: 'list',
      handle: (session, login, argument) => sendListing(session, login, settings, 'NLST', argument),
    },
    {
      verb: 'MLSD',
      syntax: 'MLSD [<SP> <pathname>]',
      argument: 'pathname',
      source: 'RFC 3659 7',
      access: 'logged-in',
      permission: 'list',
      handle: (session, login, argument) => sendFacts(session, login, settings, argument),
    },
    {
      verb: 'MLST',
      syntax: 'MLST [<SP> <pathname>]',
      argument: 'pathname',
      source: 'RFC 3659 7',
      feature: ({ selectedFacts }) => `MLST ${formatFactFeature(selectedFacts)}`,
      access: 'logged-in',
      permission: 'list',
      handle: async (session, login, argument) => {
        const pathname = resolvePathname(login.workingDirectory, argument);
        const entry = await statForResume(login.filesystem, pathname, session.signal);
        const line = formatMlstEntry(entry, pathname, login.user, session.selectedFacts);
        return reply(250, [`Listing ${pathname}`, line, 'End.']);
      },
    },
  ];
}

/**
 * The lines of `STAT <pathname>` (RFC 959 4.1.3), which are those of LIST without line ends; at most `maxLines`, because one
 * reply carries them all.
 */
export async function statLines(
  login: Login,
  pathname: string,
  maxLines: number,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { filesystem, workingDirectory, user } = login;
  const { pages } = await openListing({ filesystem, workingDirectory, pathname, withTimes: true, signal });
  const lines: string[] = [];
  const nowMs = Date.now();
  for await (const page of pages) {
    for (const entry of page) {
      if (lines.length === maxLines) return lines;
      lines.push(formatListLine(entry, user, nowMs));
    }
  }
  return lines;
}

function sendListing(
  session: Session,
  login: Login,
  settings: ListingSettings,
  verb: 'LIST' | 'NLST',
  argument: string,
): Reply | Promise<Reply> {
  const { recursive, pathname: written } = parseListArgument(argument);
  if (recursive && verb === 'LIST' && settings.listRecursive === 'off') return recursionOff;
  const { filesystem, workingDirectory, user } = login;
  const encoding = session.filenameEncoding;
  const pathname = resolvePathname(workingDirectory, written);
  return runTransfer(session, login, { verb, pathname }, settings, async (transfer) => {
    const { signal } = transfer;
    const withTimes = verb === 'LIST';
    const target = { filesystem, workingDirectory, pathname: written, withTimes, ...transfer.call };
    const listing = await openListing(target);
    session.sendPreliminary(openingListing);
    const socket = await transfer.connect();
    if (verb === 'NLST') {
      await send(
        transfer,
        socket,
        encodePages(listing.pages, ({ name }) => printable(listing.prefix + name), encoding),
      );
      return sent;
    }
    const nowMs = Date.now();
    const format = (entry: Entry): string => formatListLine(entry, user, nowMs);
    const content = recursive
      ? encodeTree(login, listing, format, encoding, signal)
      : encodePages(listing.pages, format, encoding);
    await send(transfer, socket, content);
    return sent;
  });
}

async function sendFacts(
  session: Session,
  login: Login,
  settings: TransferSettings,
  argument: string,
): Promise<Reply> {
  const { filesystem, workingDirectory, user } = login;
  const pathname = resolvePathname(workingDirectory, argument);
  const facts = session.selectedFacts;
  const encoding = session.filenameEncoding;
  return runTransfer(session, login, { verb: 'MLSD', pathname }, settings, async (transfer) => {
    let pages: AsyncIterable<readonly Entry[]>;
    try {
      const withTimes = facts.includes('modify');
      pages = await openPages(filesystem.list(pathname, { ...transfer.call, withTimes }));
    } catch (error) {
      // RFC 3659 7.2.1: 501 where the pathname is no directory.
      if (!(error instanceof FilesystemError) || error.kind !== 'not-a-directory') throw error;
      return reply(501, 'MLSD lists directories; use MLST for a file.');
    }
    session.sendPreliminary(openingListing);
    const socket = await transfer.connect();
    await send(
      transfer,
      socket,
      encodePages(pages, (entry) => formatMlstEntry(entry, entry.name, user, facts), encoding),
    );
    return sent;
  });
}

const openingListing = reply(150, 'Here comes the directory listing.');
const sent = reply(226, 'Directory send OK.');

async function* encodePages(
  pages: AsyncIterable<readonly Entry[]>,
  format: (entry: Entry) => string,
  encoding: TextEncoding,
): AsyncGenerator<Uint8Array> {
  for await (const page of pages) {
    let text = '';
    for (const entry of page) text += `${format(entry)}\r\n`;
    if (text !== '') yield encodeText(text, encoding);
  }
}

/** As `ls -R`: the entries of the directory, then those of each directory below it under a heading. */
async function* encodeTree(
  { filesystem }: Login,
  listing: Listing,
  format: (entry: Entry) => string,
  encoding: TextEncoding,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const names: string[] = [];
  const pages = tapPages(listing.pages, (entry) => {
    if (entry.type === 'directory') names.push(entry.name);
    // The names are kept until their turn comes.
    if (names.length > recursionLimits.directories) throw new ListingTooLarge('directories', recursionLimits);
  });
  yield* encodePages(pages, format, encoding);
  for await (const below of walkBelow(filesystem, listing.directory, names, signal)) {
    yield encodeText(`\r\n${printable(below.relativePathname)}:\r\n`, encoding);
    yield* encodePages(below.pages, format, encoding);
  }
}
