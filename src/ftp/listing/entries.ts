/** The entries that LIST, NLST and MLSD show, streamed page by page; a listing is never collected in memory. */
import { CausedError } from '../../observability/cause.ts';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { CallOptions, Entry, Filesystem } from '../../filesystem/filesystem.ts';
import { nameOf, parentOf, resolvePathname, type Pathname } from '../../filesystem/pathname.ts';
import { compileGlob, hasWildcard, maxGlobCharacters } from './glob.ts';

/** The subject of a listing. */
export type ListingTarget = CallOptions & {
  readonly filesystem: Filesystem;
  readonly workingDirectory: Pathname;
  /** As the client wrote it; empty for the working directory. */
  readonly pathname: string;
  /** Whether the times of the entries are shown. */
  readonly withTimes: boolean;
};

/** The entries, and the prefix of their names in NLST, which repeats the directory as the client wrote it. */
export type Listing = {
  readonly prefix: string;
  readonly directory: Pathname;
  readonly pages: AsyncIterable<readonly Entry[]>;
};

/**
 * Opens the listing of a directory, of one file, or of the matches of wildcards in the last segment. A name that exists is taken
 * literally, even with wildcards. Rejects if the directory or file does not exist, before anything is sent.
 */
export async function openListing(target: ListingTarget): Promise<Listing> {
  const { filesystem, workingDirectory, pathname: written, withTimes, signal, onStorageFailure } = target;
  const call: CallOptions = { signal, ...(onStorageFailure && { onStorageFailure }) };
  const pathname = resolvePathname(workingDirectory, written);
  const writtenParent = written.slice(0, written.lastIndexOf('/') + 1);
  try {
    const pages = await openPages(filesystem.list(pathname, { ...call, withTimes }));
    return { prefix: directoryPrefix(written), directory: pathname, pages };
  } catch (error) {
    const kind = error instanceof FilesystemError ? error.kind : undefined;
    const directory = parentOf(pathname);
    if (kind === 'not-a-directory') {
      const entry = await filesystem.stat(pathname, call);
      return { prefix: writtenParent, directory, pages: onePage([entry]) };
    }
    if (kind !== 'not-found' || !hasWildcard(nameOf(pathname))) throw error;
    const isWanted = compileGlob(nameOf(pathname));
    if (!isWanted) {
      const message = `a pattern of more than ${maxGlobCharacters} characters`;
      throw new FilesystemError('name-not-allowed', message, { causeCode: 'LIMIT-LISTINGS' });
    }
    const pages = await openPages(filesystem.list(directory, { ...call, withTimes, isWanted }));
    return { prefix: writtenParent, directory, pages };
  }
}

/** A directory in a recursive listing: its pathname relative to the listing's start, and its entries. */
export type ListedDirectory = {
  readonly relativePathname: string;
  readonly pages: AsyncIterable<readonly Entry[]>;
};

/** Limits of one recursive listing. Each directory takes at least one request to the storage. */
export const recursionLimits = { entries: 100_000, directories: 10_000, levels: 32 } as const;

export type RecursionLimits = Readonly<Record<keyof typeof recursionLimits, number>>;

/** A recursive listing reaches beyond its limits. The message is for the client. */
export class ListingTooLarge extends CausedError {
  override readonly name = 'ListingTooLarge';

  constructor(what: keyof RecursionLimits, { [what]: maximum }: RecursionLimits) {
    super('LIMIT-LISTINGS', `LIST -R shows at most ${maximum} ${what}; list the directories one by one.`);
  }
}

/**
 * The directories below a listing, depth first (`LIST -R`). Memory holds only the names of directories not yet shown. A directory
 * that is deleted in the meantime is skipped. Throws `ListingTooLarge` beyond the limits;
 */
export async function* walkBelow(
  filesystem: Filesystem,
  directory: Pathname,
  names: readonly string[],
  signal: AbortSignal,
  limits: RecursionLimits = recursionLimits,
): AsyncGenerator<ListedDirectory> {
  const pending = names.map((name) => `./${name}`).reverse();
  let entries = 0;
  let directories = 0;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const relativePathname = next;
    if (++directories > limits.directories) throw new ListingTooLarge('directories', limits);
    if (relativePathname.split('/').length > limits.levels) throw new ListingTooLarge('levels', limits);
    const below: string[] = [];
    const pathname = resolvePathname(directory, relativePathname);
    let pages: AsyncIterable<readonly Entry[]>;
    try {
      pages = await openPages(filesystem.list(pathname, { signal }));
    } catch (error) {
      if (error instanceof FilesystemError && error.kind === 'not-found') continue;
      throw error;
    }
    yield {
      relativePathname,
      pages: tapPages(pages, (entry) => {
        if (++entries > limits.entries) throw new ListingTooLarge('entries', limits);
        if (entry.type === 'directory') below.push(`${relativePathname}/${entry.name}`);
      }),
    };
    pending.push(...below.reverse());
  }
}

/** Yields the pages unchanged and calls `see` for every entry. */
export async function* tapPages(
  pages: AsyncIterable<readonly Entry[]>,
  see: (entry: Entry) => void,
): AsyncGenerator<readonly Entry[]> {
  for await (const page of pages) {
    page.forEach(see);
    yield page;
  }
}

// Clients use the names of NLST unchanged in later commands (RFC 1123 4.1.2.7), so `NLST dir` shows `dir/file`.
function directoryPrefix(written: string): string {
  const path = written.replace(/\/+$/, '');
  if (path === '') return written === '' ? '' : '/';
  return path === '.' ? '' : `${path}/`;
}

/** Fetches the first page, so that a directory that cannot be listed fails before anything is sent. */
export async function openPages(
  pages: AsyncIterable<readonly Entry[]>,
): Promise<AsyncIterable<readonly Entry[]>> {
  const iterator = pages[Symbol.asyncIterator]();
  const first = await iterator.next();
  return continuePages(iterator, first);
}

async function* continuePages(
  iterator: AsyncIterator<readonly Entry[]>,
  first: IteratorResult<readonly Entry[]>,
): AsyncGenerator<readonly Entry[]> {
  try {
    for (let page = first; page.done !== true; page = await iterator.next()) yield page.value;
  } finally {
    await iterator.return?.();
  }
}

// eslint-disable-next-line @typescript-eslint/require-await -- a listing of one file has the form of any other
async function* onePage(page: readonly Entry[]): AsyncGenerator<readonly Entry[]> {
  yield page;
}
