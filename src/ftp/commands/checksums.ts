/** Checksums of files: HASH, and the older XCRC, XMD5, XSHA1, XSHA256, XSHA512. */
import { reply, type Reply } from './reply.ts';
import type { Login, Session } from './session.ts';
import { checksumAlgorithms, type ChecksumAlgorithm } from '../../filesystem/filesystem.ts';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { resolvePathname } from '../../filesystem/pathname.ts';
import { missingPathname, withPathname, type Command } from './command.ts';

const olderVerbs: readonly (readonly [verb: string, algorithm: ChecksumAlgorithm])[] = [
  ['XCRC', 'CRC32'],
  ['XMD5', 'MD5'],
  ['XSHA1', 'SHA-1'],
  ['XSHA256', 'SHA-256'],
  ['XSHA512', 'SHA-512'],
];

/** The rows of HASH and the older checksum commands. */
export function checksumCommands(): Command[] {
  return [
    {
      verb: 'HASH',
      syntax: 'HASH <SP> <pathname>',
      argument: 'pathname',
      source: 'draft-bryan-ftpext-hash 3',
      feature: ({ hashAlgorithm }) =>
        `HASH ${checksumAlgorithms.map((name) => (name === hashAlgorithm ? `${name}*` : name)).join(';')}`,
      access: 'logged-in',
      permission: 'read',
      isAbortable: true,
      handle: withPathname(async ({ commandSignal: signal, hashAlgorithm }, { filesystem }, pathname) => {
        const { type, sizeBytes } = await filesystem.stat(pathname, { signal });
        if (type === 'directory') throw new FilesystemError('is-a-directory', `HASH of ${pathname}`);
        const digest = await filesystem.checksum(pathname, { algorithm: hashAlgorithm, signal });
        return reply(213, `${hashAlgorithm} 0-${sizeBytes} ${digest} ${pathname}`);
      }),
    },
    ...olderVerbs.map(([verb, algorithm]): Command => ({
      verb,
      syntax: `${verb} <SP> <pathname> [<SP> <first byte> [<SP> <byte behind the last>]]`,
      argument: 'pathname',
      source: 'customary',
      feature: verb,
      access: 'logged-in',
      permission: 'read',
      isAbortable: true,
      handle: (session, login, argument) => checksum(session, login, algorithm, argument),
    })),
  ];
}

/** A parsed argument: the name as written, and the range in bytes, if any. */
export type ChecksumRequest = {
  readonly name: string;
  readonly startBytes?: number | undefined;
  readonly endBytes?: number | undefined;
};

/** A pathname, in quotes if a range follows or the client prefers quotes. The range counts bytes from 0. */
export function parseChecksumArgument(argument: string): ChecksumRequest {
  const [, quoted, first, last] = /^"(.*)"(?: (\d{1,15}))?(?: (\d{1,15}))?$/.exec(argument) ?? [];
  if (quoted === undefined) return { name: argument };
  return {
    name: quoted,
    startBytes: first === undefined ? undefined : Number(first),
    endBytes: last === undefined ? undefined : Number(last),
  };
}

async function checksum(
  { commandSignal: signal }: Session,
  { filesystem, workingDirectory }: Login,
  algorithm: ChecksumAlgorithm,
  argument: string,
): Promise<Reply> {
  const { name, ...range } = parseChecksumArgument(argument);
  if (name === '') return missingPathname;
  const pathname = resolvePathname(workingDirectory, name);
  const digest = await filesystem.checksum(pathname, { algorithm, ...range, signal });
  return reply(250, digest.toUpperCase());
}
