/**
 * Reads a range of one version of an object, in order. A request that breaks is repeated from the byte where it broke. Little is
 * received before it is read, so that a slow client holds little memory, unless the whole range is to be buffered.
 */
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { S3Response } from '../client/response.ts';
import { getObject } from '../client/operations.ts';
import { IncompleteResponse, isNotFound, isConflict } from '../client/errors.ts';
import { retryAfter } from '../client/retry.ts';
import { inCurrentCall } from '../client/storage-call.ts';
import type { S3Storage } from '../s3-storage.ts';

export type ObjectVersion = { readonly bucket: string; readonly key: string; readonly etag: string };

export class RangeReader {
  readonly #storage: S3Storage;
  readonly #version: ObjectVersion;
  readonly #endBytes: number;
  readonly #signal: AbortSignal;
  readonly #inCall = inCurrentCall();
  #positionBytes: number;
  /** The response of the current request, whose range began at `#positionBytes` or before. */
  #opening: Promise<S3Response> | undefined;
  #response: S3Response | undefined;
  /** Releases the transfer memory of a range that is buffered. */
  #release: (() => void) | undefined;

  /**
   * Starts to fetch the bytes from `startBytes` up to, not including, `endBytes`.
   * @param opened the response to a request for the beginning of the range, where one was made already.
   */
  constructor(
    storage: S3Storage,
    version: ObjectVersion,
    range: { readonly startBytes: number; readonly endBytes: number },
    signal: AbortSignal,
    opened?: S3Response,
  ) {
    this.#storage = storage;
    this.#version = version;
    this.#positionBytes = range.startBytes;
    this.#endBytes = range.endBytes;
    this.#signal = signal;
    this.#response = opened;
    if (!opened) void this.#request();
  }

  /** Buffers the whole range; `release` is called in `close`. */
  bufferAll(release: () => void): void {
    this.#release = release;
    this.#response?.bufferAll();
  }

  get isBuffered(): boolean {
    return this.#release !== undefined;
  }

  /** The chunks received since the last call, in order; undefined after the last byte. Throws permanent failures. */
  async read(): Promise<readonly Uint8Array[] | undefined> {
    if (this.#positionBytes >= this.#endBytes) return undefined;
    try {
      const response = this.#response ?? (await this.#request());
      return this.#advance(await response.read());
    } catch (error) {
      return await this.#readAgain(error);
    }
  }

  /** Not part of `read`, because `withRetries` costs a closure and a promise for each batch. */
  #readAgain(firstError: unknown): Promise<readonly Uint8Array[]> {
    const readOnce = async (): Promise<readonly Uint8Array[]> => {
      try {
        return this.#advance(await (await this.#request()).read());
      } catch (error) {
        throw this.#failed(error);
      }
    };
    const options = { signal: this.#signal, operation: 'GetObject', client: this.#storage.client };
    return this.#inCall(() => retryAfter(this.#failed(firstError), readOnce, options));
  }

  /** Ends the request that failed, so that the next one starts at the byte where it broke. Returns the error to throw. */
  #failed(error: unknown): unknown {
    this.#forget();
    // The version that the download began with no longer exists.
    if (!(error instanceof FilesystemError) && (isConflict(error) || isNotFound(error))) {
      return new FilesystemError('changed', 'the object changed', { cause: error });
    }
    return error;
  }

  /** Whether `read` would wait. */
  get isEmpty(): boolean {
    return this.#positionBytes < this.#endBytes && (this.#response?.isEmpty ?? true);
  }

  /** After the signal aborted: resolves when no request is in flight. Never rejects. */
  async settled(): Promise<void> {
    await this.#opening?.catch(() => undefined);
  }

  /** Releases the memory and ends the request. */
  close(): void {
    this.#forget();
    this.#release?.();
    this.#release = undefined;
  }

  #request(): Promise<S3Response> {
    this.#opening ??= this.#inCall(() => this.#open()).then((response) => {
      this.#response = response;
      if (this.isBuffered) response.bufferAll();
      return response;
    });
    // The failure of a prefetched range is thrown when it is read.
    this.#opening.catch(() => undefined);
    return this.#opening;
  }

  #forget(): void {
    this.#response?.destroy();
    this.#response = undefined;
    this.#opening = undefined;
  }

  /** Cuts what lies after the range, which servers without support for ranges send as well. */
  #advance(batch: readonly Uint8Array[] | undefined): readonly Uint8Array[] {
    // The body may also end too early without an error.
    if (!batch) throw new IncompleteResponse('GetObject ended early');
    const wanted: Uint8Array[] = [];
    for (const bytes of batch) {
      const missingBytes = this.#endBytes - this.#positionBytes;
      if (missingBytes === 0) break;
      const taken = bytes.byteLength > missingBytes ? bytes.subarray(0, missingBytes) : bytes;
      this.#positionBytes += taken.byteLength;
      wanted.push(taken);
    }
    return wanted;
  }

  async #open(): Promise<S3Response> {
    const response = await getObject(this.#storage.client, {
      ...this.#version,
      firstByte: this.#positionBytes,
      lastByte: this.#endBytes - 1,
      signal: this.#signal,
    });
    // Not every server supports If-Match.
    if (response.headers['etag'] !== this.#version.etag) {
      response.destroy();
      throw new FilesystemError('changed', 'the object changed');
    }
    if (contentRangeOf(response)?.startBytes !== this.#positionBytes) {
      response.destroy();
      throw new IncompleteResponse('GetObject responded with another range');
    }
    return response;
  }
}

/** The first byte and the whole size that `Content-Range` names (RFC 9110, 14.4). */
export function contentRangeOf({
  headers,
}: S3Response): { readonly startBytes: number; readonly sizeBytes: number } | undefined {
  const match = /^bytes (\d+)-\d+\/(\d+)$/.exec(headers['content-range'] ?? '');
  return match ? { startBytes: Number(match[1]), sizeBytes: Number(match[2]) } : undefined;
}
