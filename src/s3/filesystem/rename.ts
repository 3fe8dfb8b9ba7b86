/**
 * Renames by copying and then deleting, because S3 has no rename: sources are deleted once every copy is confirmed, so a copy that
 * fails leaves the source complete. `rename-entry.ts` decides which renames are allowed.
 */
import { DeleteObjectCommand, DeleteObjectsCommand } from '@aws-sdk/client-s3';
import { type CopyLimits, copyObject } from './copy.ts';
import { forEachConcurrent } from '../../util/for-each-concurrent.ts';
import { VersionFingerprints } from './version-fingerprints.ts';
import type { ObjectHead } from '../client/object-headers.ts';
import type { GatewayS3Client } from '../client/s3-client.ts';
import { isConflict, isNotFound } from '../client/errors.ts';
import { type ListedObject, listPages } from '../client/list-objects.ts';

export type RenameFileOptions = {
  readonly bucket: string;
  readonly from: string;
  readonly to: string;
  readonly source: ObjectHead;
  readonly limits?: CopyLimits | undefined;
};

/** Copies the object, then deletes exactly the version that was copied. */
export async function renameObject(client: GatewayS3Client, options: RenameFileOptions): Promise<void> {
  const { sourceEtag } = await copyObject(client, options);
  await client.send(
    new DeleteObjectCommand({ Bucket: options.bucket, Key: options.from, IfMatch: sourceEtag }),
  );
}

export type RenameDirectoryOptions = {
  readonly bucket: string;
  /** Prefixes that end in `/`; neither begins the other, and nothing is below `to`. */
  readonly from: string;
  readonly to: string;
  /** Checked between copies, and ignored once the first object has been deleted. */
  readonly signal: AbortSignal;
  readonly limits?: CopyLimits | undefined;
};

/**
 * Files copied at a time. S3 allows 3,500 copies per second and prefix (Amazon S3 User Guide, "Best practices design patterns"),
 * and one takes tens of milliseconds.
 */
const copiesInParallel = 64;
const deletesInParallel = 4;

/** Names the object that could not be copied; because of it nothing in the directory was renamed. */
export class RenameFailure extends Error {
  override readonly name = 'RenameFailure';
  readonly key: string;

  constructor(key: string, cause: unknown) {
    super(`copy of ${key}`, { cause });
    this.key = key;
  }
}

/**
 * Moves everything below a prefix. When a copy fails or the signal aborts, the copies made so far are removed, the source
 * is unchanged, and the promise rejects (`RenameFailure` for a copy). An object that is written below `from` meanwhile
 * remains: only versions that were copied are deleted.
 */
export async function renameDirectory(
  client: GatewayS3Client,
  options: RenameDirectoryOptions,
): Promise<void> {
  const sources = new VersionFingerprints();
  const copies = new VersionFingerprints();
  try {
    await copyAll(client, options, sources, copies);
    options.signal.throwIfAborted();
  } catch (error) {
    await deleteListed(client, options.bucket, options.to, copies).catch(() => undefined);
    throw error;
  }
  await deleteListed(client, options.bucket, options.from, sources);
}

async function copyAll(
  client: GatewayS3Client,
  { bucket, from, to, signal, limits }: RenameDirectoryOptions,
  sources: VersionFingerprints,
  copies: VersionFingerprints,
): Promise<void> {
  const objects = objectsBelow(client, bucket, from);
  await forEachConcurrent(
    objects,
    copiesInParallel,
    async ({ key }) => {
      const target = to + key.slice(from.length);
      const options = { bucket, from: key, to: target, limits };
      const copied = await copyObject(client, options).catch((error: unknown) => {
        // It was deleted after it was listed.
        if (isNotFound(error)) return undefined;
        throw new RenameFailure(key, error);
      });
      if (!copied) return;
      sources.add(key, copied.sourceEtag);
      copies.add(target, copied.copyEtag);
    },
    signal,
  );
}

async function* objectsBelow(
  client: GatewayS3Client,
  bucket: string,
  prefix: string,
): AsyncGenerator<ListedObject> {
  for await (const { objects } of listPages(client, { bucket, prefix })) yield* objects;
}

/** Deletes the listed objects that were fingerprinted, in batches of one page: 1,000, the limit of DeleteObjects. */
async function deleteListed(
  client: GatewayS3Client,
  bucket: string,
  prefix: string,
  versions: VersionFingerprints,
): Promise<void> {
  await forEachConcurrent(listPages(client, { bucket, prefix }), deletesInParallel, async ({ objects }) => {
    const listed = objects.filter(({ key, etag }) => versions.has(key, etag));
    await deleteObjects(client, bucket, listed);
  });
}

/**
 * Deletes up to 1,000 objects in exactly these versions (Amazon S3 User Guide, "How to perform conditional deletes"): one that was
 * replaced meanwhile remains. Rejects for the first that S3 refuses to delete. A batch is XML 1.0, which cannot hold control
 * characters and whose parsers may trim text, so such keys are deleted one by one.
 */
async function deleteObjects(
  client: GatewayS3Client,
  bucket: string,
  objects: readonly ListedObject[],
): Promise<void> {
  const batched = objects.filter(({ key }) => !needsOwnRequest(key));
  if (batched.length > 0) {
    const { Errors = [] } = await client.send(
      new DeleteObjectsCommand({
        Bucket: bucket,
        Delete: {
          Quiet: true,
          Objects: batched.map(({ key, etag }) => ({ Key: key, ETag: etag || undefined })),
        },
      }),
    );
    const failures = Errors.map(({ Key = '', Code = 'Unknown' }) => deleteRefused(Key, Code));
    const failure = failures.find((error) => !isOtherVersion(error));
    if (failure) throw failure;
  }
  const single = objects.filter(({ key }) => needsOwnRequest(key));
  await forEachConcurrent(single, copiesInParallel, async ({ key, etag }) => {
    try {
      await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key, IfMatch: etag || undefined }));
    } catch (error) {
      if (!isOtherVersion(error)) throw error;
    }
  });
}

/** Whether a conditional delete was refused because the object was replaced or deleted meanwhile. */
function isOtherVersion(error: unknown): boolean {
  return isConflict(error) || isNotFound(error);
}

function needsOwnRequest(key: string): boolean {
  return /[\0-\x1f\x7f-\x9f\ufffe\uffff]|^\s|\s$/.test(key);
}

function deleteRefused(key: string, code: string): Error {
  const error = new Error(`delete of ${key}: ${code}`);
  error.name = code;
  return error;
}
