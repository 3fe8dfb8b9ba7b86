/**
 * Rename: S3 has none, so it is copies, and deletes once every copy is confirmed. A file that fails to copy leaves the
 * source whole. Who may rename what to what is the filesystem's question (`s3-filesystem.ts`).
 */
import { DeleteObjectCommand, DeleteObjectsCommand } from '@aws-sdk/client-s3';
import { type CopyLimits, copyObject } from './copy.ts';
import { forEachConcurrent } from '../../util/for-each-concurrent.ts';
import { KeyFingerprints } from './key-fingerprints.ts';
import type { ObjectHead } from '../client/object-headers.ts';
import type { GatewayS3Client } from '../client/s3-client.ts';
import { isNotFound } from '../client/errors.ts';
import { type ListedObject, listPages } from '../client/list-objects.ts';

export type RenameFileOptions = {
  readonly bucket: string;
  readonly from: string;
  readonly to: string;
  readonly source: ObjectHead;
  readonly limits?: CopyLimits;
};

/** Copies, then deletes exactly the version that was copied. */
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
  /** Heeded between copies, and no longer once the first object has been deleted. */
  readonly signal: AbortSignal;
  readonly limits?: CopyLimits;
};

/**
 * Files copied at a time. S3 takes 3,500 copies a second for a prefix (Amazon S3 User Guide, "Best practices design
 * patterns"), and one takes tens of milliseconds.
 */
const copiesInParallel = 64;
const deletesInParallel = 4;

/** Tells which object of a directory could not be copied, and so why none was renamed. */
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
 * is as it was, and the promise rejects (`RenameFailure` for a copy). Objects that others write below `from` meanwhile
 * are not copied and not deleted.
 */
export async function renameDirectory(
  client: GatewayS3Client,
  options: RenameDirectoryOptions,
): Promise<void> {
  const sources = new KeyFingerprints();
  const copies = new KeyFingerprints();
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
  sources: KeyFingerprints,
  copies: KeyFingerprints,
): Promise<void> {
  const objects = objectsBelow(client, bucket, from);
  await forEachConcurrent(
    objects,
    copiesInParallel,
    async ({ key }) => {
      const target = to + key.slice(from.length);
      const options = { bucket, from: key, to: target, ...(limits && { limits }) };
      const copied = await copyObject(client, options).catch((error: unknown) => {
        // Somebody else has deleted it since it was listed.
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

/** Deletes what is listed below a prefix and was fingerprinted, in batches of a page: 1,000, as many as S3 takes. */
async function deleteListed(
  client: GatewayS3Client,
  bucket: string,
  prefix: string,
  versions: KeyFingerprints,
): Promise<void> {
  await forEachConcurrent(listPages(client, { bucket, prefix }), deletesInParallel, async ({ objects }) => {
    const keys = objects.filter(({ key, etag }) => versions.has(key, etag)).map(({ key }) => key);
    await deleteObjects(client, bucket, keys);
  });
}

/**
 * Deletes up to 1,000 objects; rejects with the first that S3 would not delete.
 * A batch is XML 1.0, which cannot hold control characters, and whose readers may trim: such keys go one by one.
 */
async function deleteObjects(
  client: GatewayS3Client,
  bucket: string,
  keys: readonly string[],
): Promise<void> {
  const batched = keys.filter((key) => !needsOwnRequest(key));
  if (batched.length > 0) {
    const { Errors = [] } = await client.send(
      new DeleteObjectsCommand({
        Bucket: bucket,
        Delete: { Quiet: true, Objects: batched.map((Key) => ({ Key })) },
      }),
    );
    const [refused] = Errors;
    if (refused) throw deleteRefused(refused.Key ?? '', refused.Code ?? 'Unknown');
  }
  await forEachConcurrent(keys.filter(needsOwnRequest), copiesInParallel, async (key) => {
    await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }));
  });
}

function needsOwnRequest(key: string): boolean {
  return /[\0-\x1f\x7f-\x9f\ufffe\uffff]|^\s|\s$/.test(key);
}

function deleteRefused(key: string, code: string): Error {
  const error = new Error(`delete of ${key}: ${code}`);
  error.name = code;
  return error;
}
