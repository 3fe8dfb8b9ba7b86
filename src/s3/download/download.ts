/** Downloads an object from S3 to a data connection: ranges of one version, in order. */
import { Readable } from 'node:stream';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { Download } from '../../filesystem/filesystem.ts';
import type { S3Response } from '../client/response.ts';
import { getObject, headObject } from '../client/operations.ts';
import { Prefetcher, rangeBytes, type Extent } from './prefetcher.ts';
import { contentRangeOf, type ObjectVersion } from './range-reader.ts';
import { withRetries } from '../client/retry.ts';
import { inCurrentCall } from '../client/storage-call.ts';
import type { S3Storage } from '../s3-storage.ts';

export type S3DownloadOptions = {
  readonly bucket: string;
  readonly key: string;
  readonly offsetBytes: number;
  /** Whose share of the transfer memory it uses. */
  readonly user?: string | undefined;
  readonly signal: AbortSignal;
};

/**
 * Opens a download. Its content must be iterated, or the signal aborted: the first request is in flight already.
 * @throws FilesystemError `not-found`, `invalid-offset` beyond the end, or what S3 responded.
 */
export async function openS3Download(storage: S3Storage, options: S3DownloadOptions): Promise<Download> {
  const { bucket, key, offsetBytes, user = '', signal } = options;
  const first = await requestFirstRange(storage, options);
  if (!first) {
    // No byte from that offset on: it is the end of the object, or beyond it.
    const { ContentLength: sizeBytes = 0 } = await headObject(storage.client, {
      bucket,
      key,
      signal,
      retry: true,
    });
    if (offsetBytes > sizeBytes) {
      throw new FilesystemError('invalid-offset', `offset ${offsetBytes} in an object of ${sizeBytes} bytes`);
    }
    if (offsetBytes < sizeBytes) throw new FilesystemError('changed', 'the object grew while it was opened');
    return { sizeBytes, content: Readable.from([]) };
  }
  const sizeBytes = objectSizeOf(first);
  const etag = first.headers['etag'];
  if (
    etag === undefined ||
    sizeBytes === undefined ||
    (contentRangeOf(first)?.startBytes ?? 0) !== offsetBytes
  ) {
    first.destroy();
    throw new FilesystemError('unavailable', 'GetObject responded with another range, no length or no ETag');
  }
  const version = { bucket, key, etag };
  const content = contentOf(storage, version, { offsetBytes, sizeBytes, user }, first, {
    signal,
    inCall: inCurrentCall(),
  });
  return { sizeBytes, content, recycle: (bytes) => storage.client.direct.recycle(bytes) };
}

/** The object's length; undefined where the response has none: its end would look like a broken connection. */
function objectSizeOf(response: S3Response): number | undefined {
  if (response.status === 206) return contentRangeOf(response)?.sizeBytes;
  const length = response.headers['content-length'];
  return length === undefined ? undefined : Number(length);
}

async function requestFirstRange(
  storage: S3Storage,
  { bucket, key, offsetBytes, signal }: S3DownloadOptions,
): Promise<S3Response | undefined> {
  const range = { firstByte: offsetBytes, lastByte: offsetBytes + rangeBytes - 1 };
  try {
    return await withRetries(() => getObject(storage.client, { bucket, key, ...range, signal }), {
      signal,
      operation: 'GetObject',
      client: storage.client,
    });
  } catch (error) {
    if (error instanceof FilesystemError && error.kind === 'invalid-offset') return undefined;
    throw error;
  }
}

// Preallocated, because capturing a stack trace costs more than downloading a small file.
const downloadIsOver = new Error('the download is over');

type ContentOptions = {
  readonly signal: AbortSignal;
  /** A generator runs in the context of its reader, not of the call that has opened it. */
  readonly inCall: ReturnType<typeof inCurrentCall>;
};

async function* contentOf(
  storage: S3Storage,
  version: ObjectVersion,
  extent: Extent,
  first: S3Response,
  { signal, inCall }: ContentOptions,
): AsyncGenerator<Uint8Array> {
  const ended = new AbortController();
  const ranges = inCall(() => new Prefetcher(storage, version, extent, ended.signal, first));
  const onAbort = (): void => ended.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    signal.throwIfAborted();
    for (let range = ranges.current; range; range = ranges.next()) {
      for (let batch = await range.read(); batch; batch = await range.read()) {
        // yield* would cost two more promises for each chunk.
        for (const bytes of batch) yield bytes;
        ranges.consumed(batch);
      }
      range.close();
    }
  } catch (error) {
    if (error instanceof FilesystemError)
      inCall(() => storage.reportError(error, 'download', { bucket: version.bucket }));
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    // After the last byte no request is left, and dispatching the event takes as long as parsing a response.
    if (ranges.current) ended.abort(downloadIsOver);
    first.destroy();
    await ranges.settled();
  }
}
