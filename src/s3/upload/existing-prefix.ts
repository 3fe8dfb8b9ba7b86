/**
 * REST n + STOR and APPE: the bytes that the object has already become the beginning of the new one. S3 copies them; only a prefix
 * too short to be a part is downloaded and sent again.
 */
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { CopiedRange } from './multipart-upload.ts';
import { findObject, getObject } from '../client/operations.ts';
import { maxPartBytes, partBytesOf, splitEvenly } from './part-size.ts';
import { withRetries } from '../client/retry.ts';
import type { S3Storage } from '../s3-storage.ts';

/** The first `sizeBytes` bytes of the version that existed when the upload was opened. */
export type ExistingPrefix = {
  readonly sizeBytes: number;
  readonly sourceBytes: number;
  readonly etag: string;
};

type Source = {
  readonly bucket: string;
  readonly key: string;
  readonly offset: number | 'end';
  readonly signal: AbortSignal;
};

/**
 * The existing bytes that the new object begins with; undefined where it begins empty.
 * @throws FilesystemError `invalid-offset` where the object is shorter than the offset, or missing.
 */
export async function findExistingPrefix(
  storage: S3Storage,
  source: Source,
): Promise<ExistingPrefix | undefined> {
  const { offset } = source;
  if (offset === 0) return undefined;
  const head = await findObject(storage.client, { ...source, retry: true });
  const sourceBytes = head?.ContentLength ?? 0;
  if (offset !== 'end' && offset > sourceBytes) {
    throw new FilesystemError('invalid-offset', `offset ${offset} in an object of ${sourceBytes} bytes`);
  }
  if (!head) return undefined;
  if (head.ETag === undefined) throw new FilesystemError('unavailable', 'HeadObject gave no ETag');
  return { sizeBytes: offset === 'end' ? sourceBytes : offset, sourceBytes, etag: head.ETag };
}

/** Whether S3 can copy the prefix: a part that others follow has at least 5 MiB. */
export function isCopyable(storage: S3Storage, prefix: ExistingPrefix): boolean {
  return prefix.sizeBytes >= partBytesOf(storage).minimum;
}

/** The ranges to copy, each of a legal size even though other parts follow: as few as the 5 GiB limit of a part allows. */
export function* prefixRanges({ sizeBytes, sourceBytes, etag }: ExistingPrefix): Generator<CopiedRange> {
  const count = Math.ceil(sizeBytes / maxPartBytes);
  for (const range of splitEvenly(sizeBytes, count)) yield { ...range, sourceBytes, etag };
}

/** Downloads a prefix of less than 5 MiB. @throws FilesystemError `changed` where the object has changed. */
export async function downloadPrefix(
  storage: S3Storage,
  { bucket, key, signal }: Omit<Source, 'offset'>,
  prefix: ExistingPrefix,
): Promise<Uint8Array> {
  if (prefix.sizeBytes === 0) return new Uint8Array();
  const bytes = await withRetries(
    async () => {
      const range = { firstByte: 0, lastByte: prefix.sizeBytes - 1, etag: prefix.etag };
      const response = await getObject(storage.client, { bucket, key, ...range, signal });
      // Not every server supports If-Match.
      if (response.headers['etag'] !== prefix.etag) {
        response.destroy();
        throw new FilesystemError('changed', 'the object changed');
      }
      return await response.bytes();
    },
    { signal, operation: 'GetObject', client: storage.client },
  );
  if (bytes.byteLength !== prefix.sizeBytes)
    throw new FilesystemError('changed', 'the object changed its size');
  return bytes;
}
