/** Which renames are allowed, and what a rename needs besides moving the objects: the parent's marker, and no upload to resume. */
import { exists, FilesystemError } from '../../filesystem/filesystem-error.ts';
import { isWithin, parentOf, type Pathname } from '../../filesystem/pathname.ts';
import type { Home } from '../../users/user.ts';
import type { ObjectHead } from '../client/object-headers.ts';
import type { S3Storage } from '../s3-storage.ts';
import type { ResumeOffers } from '../upload/resume-offers.ts';
import type { DirectoryMarkers } from './directory-markers.ts';
import { directoryPrefixOf } from './keys.ts';
import type { Lookup } from './lookup.ts';
import { renameDirectory, renameObject } from './rename.ts';

export type RenameContext = {
  readonly storage: S3Storage;
  readonly home: Home;
  readonly lookup: Lookup;
  readonly markers: DirectoryMarkers;
  readonly resumeOffers: ResumeOffers | undefined;
};

export type RenamedEntry = { readonly from: Pathname; readonly to: Pathname; readonly signal: AbortSignal };

/** @throws FilesystemError `exists` where `to` is a directory, or a file is above it; what the copy throws. */
export async function renameFileEntry(
  { storage, lookup, markers, resumeOffers }: RenameContext,
  { from, to, signal }: RenamedEntry,
  source: ObjectHead,
): Promise<void> {
  const { bucket, key: toKey } = lookup.object(to);
  const { key: fromKey } = lookup.object(from);
  const [leavesParentEmpty] = await Promise.all([
    isLeftEmptyBy(markers, { from, to, signal }, fromKey),
    lookup.assertNotDirectory(to, signal, exists),
    lookup.assertNoFileAbove(to, signal),
  ]);
  if (leavesParentEmpty) await markers.put(parentOf(from));
  await resumeOffers?.supersede({ bucket, key: toKey }, signal);
  await renameObject(storage.client, { bucket, from: fromKey, to: toKey, source });
}

/** @throws FilesystemError `name-not-allowed` for a `to` below `from`, `exists` where `to` exists; what the copies throw. */
export async function renameDirectoryEntry(
  { storage, home, lookup, markers, resumeOffers }: RenameContext,
  { from, to, signal }: RenamedEntry,
): Promise<void> {
  if (isWithin(from, to)) {
    throw new FilesystemError('name-not-allowed', `${from} cannot move below itself`);
  }
  const { bucket, prefix } = home;
  const [fromPrefix, toPrefix] = [directoryPrefixOf(prefix, from), directoryPrefixOf(prefix, to)];
  const [leavesParentEmpty] = await Promise.all([
    isLeftEmptyBy(markers, { from, to, signal }, fromPrefix),
    lookup.assertNothingExists(to, signal),
    lookup.assertNoFileAbove(to, signal),
  ]);
  if (leavesParentEmpty) await markers.put(parentOf(from));
  await resumeOffers?.supersedeBelow(bucket, toPrefix, signal);
  markers.forget(from);
  await renameDirectory(storage.client, { bucket, from: fromPrefix, to: toPrefix, signal });
}

/** Whether the rename leaves the source's parent without an entry. */
async function isLeftEmptyBy(
  markers: DirectoryMarkers,
  { from, to, signal }: RenamedEntry,
  departingKey: string,
): Promise<boolean> {
  const parent = parentOf(from);
  return parent !== parentOf(to) && (await markers.isLastEntry(parent, departingKey, signal));
}
