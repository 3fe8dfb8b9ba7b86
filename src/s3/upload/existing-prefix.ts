/**
 * REST n + STOR and APPE: what becomes of the bytes that are there already. S3 copies them into the new object; only a
 * head too short to be a part is read back.
 */
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { CopiedRange } from './multipart-upload.ts';
import { findObject } from '../client/object-lookup.ts';
import { getObject } from '../client/operations.ts';
import { maxPartBytes, partBytesOf } from './part-size.ts';
import { withRetries } from '../client/retry.ts';
import type { S3Storage } from '../s3-storage.ts';

/** The first `sizeBytes` bytes of the object as it was when the upload was opened. */
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
 * What the new object begins with; undefined where it begins empty.
 * @throws FilesystemError `invalid-offset` where the object is shorter than the offset, or missing.
 */
export async function findExistingPrefix(
  storage: S3Storage,
  source: Source,
): Promise<ExistingPrefix | undefined> {
  const { offset } = source;
  if (offset === 0) return undefined;
  const head = await findObject(storage, source);
  const sourceBytes = head?.ContentLength ?? 0;
  if (offset !== 'end' && offset > sourceBytes) {
    throw new FilesystemError('invalid-offset', `offset ${offset} in an object of ${sourceBytes} bytes`);
  }
  if (!head) return undefined;
  if (head.ETag === undefined) throw new FilesystemError('unavailable', 'HeadObject gave no ETag');
  return { sizeBytes: offset === 'end' ? sourceBytes : offset, sourceBytes, etag: head.ETag };
}

/** Whether S3 can copy them: as a part that others follow, they must have the smallest size, 5 MiB. */
export function isCopyable(storage: S3Storage, kept: ExistingPrefix): boolean {
  return kept.sizeBytes >= partBytesOf(storage).smallest;
}

/** The ranges to copy, each a legal part even when others follow: as few as 5 GiB allow, of nearly equal length. */
export function copyRanges(kept: ExistingPrefix): CopiedRange[] {
  const count = Math.ceil(kept.sizeBytes / maxPartBytes);
  return Array.from({ length: count }, (_unused, index) => ({
    etag: kept.etag,
    sourceBytes: kept.sourceBytes,
    firstByte: Math.floor((kept.sizeBytes * index) / count),
    lastByte: Math.floor((kept.sizeBytes * (index + 1)) / count) - 1,
  }));
}

/** Reads them back: less than 5 MiB. `changed` where the object is not what it was. */
export async function downloadPrefix(
  storage: S3Storage,
  { bucket, key, signal }: Omit<Source, 'offset'>,
  kept: ExistingPrefix,
): Promise<Uint8Array> {
  if (kept.sizeBytes === 0) return new Uint8Array();
  const bytes = await withRetries(
    async () => {
      const range = { firstByte: 0, lastByte: kept.sizeBytes - 1, etag: kept.etag };
      const answer = await getObject(storage.client, { bucket, key, ...range, signal });
      // Not every server knows If-Match.
      if (answer.headers['etag'] !== kept.etag) {
        answer.destroy();
        throw new FilesystemError('changed', 'the object changed');
      }
      return await answer.bytes();
    },
    { signal, operation: 'GetObject', retryTimeoutMs: storage.retryTimeoutMs },
  );
  if (bytes.byteLength !== kept.sizeBytes)
    throw new FilesystemError('changed', 'the object changed its size');
  return bytes;
}
