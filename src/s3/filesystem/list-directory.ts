/** Lists a directory: its pages from S3 as entries, filtered, and with the modification times that clients gave its files. */
import type { Entry, ListOptions } from '../../filesystem/filesystem.ts';
import type { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { Pathname } from '../../filesystem/pathname.ts';
import { filterInTurns } from '../../util/turn.ts';
import type { Home } from '../../users/user.ts';
import { listPages, type ListedObject } from '../client/list-objects.ts';
import type { S3Storage } from '../s3-storage.ts';
import { DirectoryEntries } from './directory-entries.ts';
import type { FileTimeLookup } from './file-times.ts';
import { directoryPrefixOf } from './keys.ts';
import type { Lookup } from './lookup.ts';

export type DirectoryListing = {
  readonly storage: S3Storage;
  readonly home: Home;
  readonly lookup: Lookup;
  /** Undefined where files show the time of their upload, which every listing contains. */
  readonly fileTimes: FileTimeLookup | undefined;
};

/** @throws FilesystemError `not-found` or `not-a-directory`; S3's own errors. */
export async function* listDirectory(
  { storage, home, lookup, fileTimes }: DirectoryListing,
  directory: Pathname,
  { signal, isWanted, withTimes = true }: ListOptions,
): AsyncGenerator<readonly Entry[]> {
  const { bucket } = home;
  const prefix = directoryPrefixOf(home.prefix, directory);
  const reported = new Set<string>();
  const entries = new DirectoryEntries(prefix, (key, reason) => {
    // Once per reason and listing: a line for each of a million such keys would help no operator.
    if (!reported.has(reason)) storage.observe({ event: 'unlisted-object', bucket, key, reason });
    reported.add(reason);
  });
  let isRefusalReported = false;
  const onRefused = (error: FilesystemError): void => {
    if (!isRefusalReported) storage.reportError(error, 'list-times', { bucket });
    isRefusalReported = true;
  };
  let found = directory === '/';
  for await (const page of listPages(storage.client, { bucket, prefix, delimiter: '/', signal })) {
    found ||= page.objects.length + page.commonPrefixes.length > 0;
    if (!found) throw await lookup.directoryNotFoundError(directory, signal);
    const all = entries.read(page);
    const wanted = isWanted ? await filterInTurns(all, ({ name }) => isWanted(name)) : all;
    const shown =
      withTimes && fileTimes
        ? await withFileTimes(fileTimes, prefix, wanted, page.objects, { bucket, signal, onRefused })
        : wanted;
    if (shown.length > 0) yield shown;
  }
}

/** The same entries with the times that `stat` shows; files that no longer exist are left out. */
async function withFileTimes(
  fileTimes: FileTimeLookup,
  prefix: string,
  entries: readonly Entry[],
  objects: readonly ListedObject[],
  options: Parameters<FileTimeLookup['timesOf']>[1],
): Promise<readonly Entry[]> {
  const keys = new Set(entries.flatMap(({ name, type }) => (type === 'file' ? [prefix + name] : [])));
  const wanted = objects.filter(({ key }) => keys.has(key));
  const times = await fileTimes.timesOf(wanted, options);
  return entries.flatMap((entry) => {
    if (entry.type === 'directory') return [entry];
    const time = times.get(prefix + entry.name);
    return time ? [{ ...entry, ...time }] : [];
  });
}
