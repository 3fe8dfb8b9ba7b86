/**
 * A range of one version of an object, fetched in order. A request that breaks is taken up at the byte where it broke. Little
 * is read before somebody takes it, so that a slow client holds little, until the range is told to come in whole.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { S3Response } from '../client/response.ts';
import { getObject } from '../client/operations.ts';
import { isTransient, defaultRetryTimeoutMs, retryDelayMs } from '../client/retry.ts';
import { toFilesystemError, isNotFound, isPreconditionFailed } from '../client/errors.ts';
import type { S3Storage } from '../s3-storage.ts';

export type ObjectVersion = { readonly bucket: string; readonly key: string; readonly etag: string };

export class RangeReader {
  readonly #storage: S3Storage;
  readonly #version: ObjectVersion;
  readonly #endBytes: number;
  readonly #signal: AbortSignal;
  #positionBytes: number;
  /** Of the request under way, which began at `#positionBytes` or before. */
  #asked: Promise<S3Response> | undefined;
  #answer: S3Response | undefined;
  #release: (() => void) | undefined;

  /**
   * Starts to fetch the bytes from `startBytes` up to, not including, `endBytes`.
   * @param opened the answer to a request for the beginning of the range, where one was made already.
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
    this.#answer = opened;
    if (!opened) void this.#ask();
  }

  /** Lets the whole range be held; `release` is called in `close`. */
  bufferAll(release: () => void): void {
    this.#release = release;
    this.#answer?.bufferAll();
  }

  get isBuffered(): boolean {
    return this.#release !== undefined;
  }

  /** What has come since the last call, in order; undefined after the last byte. Throws what broke the range for good. */
  async read(): Promise<readonly Uint8Array[] | undefined> {
    if (this.#positionBytes >= this.#endBytes) return undefined;
    let giveUpAtMs: number | undefined;
    for (let attempt = 0; ; attempt++) {
      try {
        this.#answer ??= await this.#ask();
        const batch = await this.#answer.read();
        // A connection may also end too early in order; that is a break like any other.
        if (!batch) throw new FilesystemError('unavailable', 'GetObject ended early');
        return this.#advance(batch);
      } catch (error) {
        this.#signal.throwIfAborted();
        this.#forget();
        const failure = failureOf(error);
        if (!isTransient(failure)) throw failure;
        giveUpAtMs ??= Date.now() + (this.#storage.retryTimeoutMs ?? defaultRetryTimeoutMs);
        if (Date.now() >= giveUpAtMs) throw failure;
        await delay(retryDelayMs(attempt), undefined, { signal: this.#signal }).catch(() => undefined);
        this.#signal.throwIfAborted();
      }
    }
  }

  /** Whether `take` would have to wait. */
  get isEmpty(): boolean {
    return this.#positionBytes < this.#endBytes && (this.#answer?.isEmpty ?? true);
  }

  /** After the signal aborted: resolves when no request of it is under way. Never rejects. */
  async settled(): Promise<void> {
    await this.#asked?.catch(() => undefined);
  }

  /** Gives its memory back and ends its request. */
  close(): void {
    this.#forget();
    this.#release?.();
    this.#release = undefined;
  }

  #ask(): Promise<S3Response> {
    this.#asked ??= this.#request().then((answer) => {
      this.#answer = answer;
      if (this.isBuffered) answer.bufferAll();
      return answer;
    });
    // Of a range that is fetched ahead, the failure is thrown when its turn comes.
    this.#asked.catch(() => undefined);
    return this.#asked;
  }

  #forget(): void {
    this.#answer?.destroy();
    this.#answer = undefined;
    this.#asked = undefined;
  }

  /** Servers that do not know ranges send what is behind its end as well. */
  #advance(batch: readonly Uint8Array[]): readonly Uint8Array[] {
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

  async #request(): Promise<S3Response> {
    const answer = await getObject(this.#storage.client, {
      ...this.#version,
      firstByte: this.#positionBytes,
      lastByte: this.#endBytes - 1,
      signal: this.#signal,
    });
    // Not every server knows If-Match.
    if (answer.headers['etag'] !== this.#version.etag) {
      answer.destroy();
      throw new FilesystemError('changed', 'the object changed');
    }
    if (contentRangeOf(answer)?.startBytes !== this.#positionBytes) {
      answer.destroy();
      throw new FilesystemError('unavailable', 'GetObject answered with another range');
    }
    return answer;
  }
}

/** The first byte and the whole size that `Content-Range` names (RFC 9110, 14.4). */
export function contentRangeOf({
  headers,
}: S3Response): { readonly startBytes: number; readonly sizeBytes: number } | undefined {
  const match = /^bytes (\d+)-\d+\/(\d+)$/.exec(headers['content-range'] ?? '');
  return match ? { startBytes: Number(match[1]), sizeBytes: Number(match[2]) } : undefined;
}

function failureOf(error: unknown): FilesystemError {
  if (error instanceof FilesystemError) return error;
  // The version that the download began with is gone.
  if (isPreconditionFailed(error) || isNotFound(error)) {
    return new FilesystemError('changed', 'the object changed', { cause: error });
  }
  return toFilesystemError(error, 'GetObject');
}
