/**
 * An object on its way from S3 to a data connection: ranges of one version, in order. The next range is asked for before
 * the last one ends; further ones are fetched ahead into transfer memory only while the client takes bytes faster than
 * one request brings them.
 */
import { Readable } from 'node:stream';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { Download } from '../../filesystem/filesystem.ts';
import type { S3Response } from '../client/response.ts';
import { headObjectWithRetries } from '../client/object-lookup.ts';
import { getObject } from '../client/operations.ts';
import { contentRangeOf, RangeReader, type ObjectVersion } from './range-reader.ts';
import { withRetries } from '../client/retry.ts';
import { storageErrorEvent } from '../client/errors.ts';
import type { S3Storage } from '../s3-storage.ts';

export type S3DownloadOptions = {
  readonly bucket: string;
  readonly key: string;
  readonly offsetBytes: number;
  readonly signal: AbortSignal;
};

/** What one request fetches (Amazon S3, "Performance design patterns": 8 to 16 MB); a smaller object is one request. */
export const rangeBytes = 8 * 1024 * 1024;

/** Requests at once, the one that the client reads from included. */
export const maxRanges = 5;

/**
 * Opens a download. Its content must be iterated, or the signal aborted: the first request is under way already.
 * @throws FilesystemError `not-found`, `invalid-offset` beyond the end, or what S3 answered.
 */
export async function openS3Download(storage: S3Storage, options: S3DownloadOptions): Promise<Download> {
  const { bucket, key, offsetBytes, signal } = options;
  const first = await getFirst(storage, options);
  if (!first) {
    // No byte from there on: the end of the object, or beyond it.
    const { ContentLength: sizeBytes = 0 } = await headObjectWithRetries(storage, options);
    if (offsetBytes > sizeBytes) {
      throw new FilesystemError('invalid-offset', `offset ${offsetBytes} in an object of ${sizeBytes} bytes`);
    }
    if (offsetBytes < sizeBytes) throw new FilesystemError('changed', 'the object grew while it was opened');
    return { sizeBytes, content: Readable.from([]) };
  }
  const sizeBytes = sizeOfWhole(first);
  const etag = first.headers['etag'];
  if (
    etag === undefined ||
    sizeBytes === undefined ||
    (contentRangeOf(first)?.startBytes ?? 0) !== offsetBytes
  ) {
    first.destroy();
    throw new FilesystemError('unavailable', 'GetObject answered with another range, no length or no ETag');
  }
  const version = { bucket, key, etag };
  return { sizeBytes, content: contentOf(storage, version, { offsetBytes, sizeBytes, signal }, first) };
}

/** Undefined where the answer does not tell: its end could not be told from a broken connection. */
function sizeOfWhole(answer: S3Response): number | undefined {
  if (answer.status === 206) return contentRangeOf(answer)?.sizeBytes;
  const length = answer.headers['content-length'];
  return length === undefined ? undefined : Number(length);
}

async function getFirst(
  storage: S3Storage,
  { bucket, key, offsetBytes, signal }: S3DownloadOptions,
): Promise<S3Response | undefined> {
  const range = { firstByte: offsetBytes, lastByte: offsetBytes + rangeBytes - 1 };
  try {
    return await withRetries(() => getObject(storage.client, { bucket, key, ...range, signal }), {
      signal,
      operation: 'GetObject',
      retryTimeoutMs: storage.retryTimeoutMs,
    });
  } catch (error) {
    if (error instanceof FilesystemError && error.kind === 'invalid-offset') return undefined;
    throw error;
  }
}

// Made once: an error costs more than a small file does, for its stack.
const isOver = new Error('the download is over');

type Extent = { readonly offsetBytes: number; readonly sizeBytes: number; readonly signal: AbortSignal };

async function* contentOf(
  storage: S3Storage,
  version: ObjectVersion,
  { offsetBytes, sizeBytes, signal }: Extent,
  first: S3Response,
): AsyncGenerator<Uint8Array> {
  const ended = new AbortController();
  const ranges = new Prefetcher(storage, version, { offsetBytes, sizeBytes }, ended.signal, first);
  const onAbort = (): void => ended.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    signal.throwIfAborted();
    for (let range = ranges.current; range; range = ranges.next()) {
      for (let batch = await range.read(); batch; batch = await range.read()) {
        // yield* would make each of them two promises more.
        for (const bytes of batch) yield bytes;
        ranges.clientHasTaken(batch);
      }
      range.close();
    }
  } catch (error) {
    const event =
      error instanceof FilesystemError && storageErrorEvent(error.cause, 'download', version.bucket);
    if (event) storage.observe(event);
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    ended.abort(isOver);
    first.destroy();
    await ranges.settled();
  }
}

/** The range that is read from, and those ahead of it. */
class Prefetcher {
  readonly #storage: S3Storage;
  readonly #version: ObjectVersion;
  readonly #sizeBytes: number;
  readonly #signal: AbortSignal;
  readonly #ranges: RangeReader[];
  #nextBytes: number;
  #leftInCurrentBytes: number;
  /** How many ranges may be fetched ahead: grows while the client waits for S3, shrinks while S3 waits for the client. */
  #ahead = 1;
  #wasDry = false;

  constructor(
    storage: S3Storage,
    version: ObjectVersion,
    { offsetBytes, sizeBytes }: { readonly offsetBytes: number; readonly sizeBytes: number },
    signal: AbortSignal,
    first: S3Response,
  ) {
    this.#storage = storage;
    this.#version = version;
    this.#sizeBytes = sizeBytes;
    this.#signal = signal;
    this.#nextBytes = Math.min(offsetBytes + rangeBytes, sizeBytes);
    this.#leftInCurrentBytes = this.#nextBytes - offsetBytes;
    const range = { startBytes: offsetBytes, endBytes: this.#nextBytes };
    this.#ranges = [new RangeReader(storage, version, range, signal, first)];
  }

  get current(): RangeReader | undefined {
    return this.#ranges[0];
  }

  /** The client has taken these bytes; decides what to ask for. */
  clientHasTaken(batch: readonly Uint8Array[]): void {
    for (const bytes of batch) this.#leftInCurrentBytes -= bytes.byteLength;
    if (this.current?.isEmpty) this.#wasDry = true;
    // Half a range before the end, the next request goes out; its answer is waiting when it is needed.
    if (this.#leftInCurrentBytes > rangeBytes / 2) return;
    while (this.#ranges.length <= this.#ahead && this.#nextBytes < this.#sizeBytes) this.#ask();
    if (this.#ahead > 1) this.#holdAhead();
  }

  /** Goes on to the next range. */
  next(): RangeReader | undefined {
    this.#ahead = this.#wasDry ? Math.min(this.#ahead + 1, maxRanges - 1) : Math.max(1, this.#ahead - 1);
    this.#wasDry = false;
    this.#ranges.shift();
    if (this.#ranges.length === 0 && this.#nextBytes < this.#sizeBytes) this.#ask();
    this.#leftInCurrentBytes = rangeBytes;
    return this.current;
  }

  /** After the signal aborted: resolves when every request has ended and the memory is given back. */
  async settled(): Promise<void> {
    await Promise.all(this.#ranges.map((range) => range.settled()));
    for (const range of this.#ranges) range.close();
  }

  #ask(): void {
    const startBytes = this.#nextBytes;
    this.#nextBytes = Math.min(startBytes + rangeBytes, this.#sizeBytes);
    const range = { startBytes, endBytes: this.#nextBytes };
    this.#ranges.push(new RangeReader(this.#storage, this.#version, range, this.#signal));
  }

  // Without memory the range waits in the kernel's buffers, and comes in when it is its turn.
  #holdAhead(): void {
    for (const range of this.#ranges.slice(1)) {
      if (range.isBuffered) continue;
      const release = this.#storage.memory.tryReadAhead(rangeBytes);
      if (!release) return;
      range.bufferAll(release);
    }
  }
}
