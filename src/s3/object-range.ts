/**
 * A range of one version of an object, fetched in order into a queue of bounded length. A request that breaks is taken up
 * at the byte where it broke. The queue is short, so that a slow client holds little, until it is told to hold the range.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { GetObjectCommand, type GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { FilesystemError } from '../filesystem/filesystem-error.ts';
import { isPassing, defaultPatienceMs, retryDelayMs } from './retry.ts';
import { filesystemErrorOf, isNotFound, isPreconditionFailed } from './s3-error.ts';
import type { S3Storage } from './storage.ts';

export type ObjectVersion = { readonly bucket: string; readonly key: string; readonly etag: string };

/** Read from the socket before anybody asks; the kernel holds as much again. */
const shortQueueBytes = 256 * 1024;

export class ObjectRange {
  readonly #storage: S3Storage;
  readonly #version: ObjectVersion;
  readonly #endBytes: number;
  readonly #signal: AbortSignal;
  #positionBytes: number;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #limitBytes = shortQueueBytes;
  #release: (() => void) | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeFetcher: (() => void) | undefined;
  #failure: { readonly error: unknown } | undefined;
  /** Resolves when no request of it is under way. Never rejects. */
  readonly settled: Promise<void>;

  /**
   * Starts to fetch the bytes from `startBytes` up to, not including, `endBytes`.
   * @param opened the answer to a request for the beginning of the range, where one was made already.
   */
  constructor(
    storage: S3Storage,
    version: ObjectVersion,
    range: { readonly startBytes: number; readonly endBytes: number },
    signal: AbortSignal,
    opened?: GetObjectCommandOutput,
  ) {
    this.#storage = storage;
    this.#version = version;
    this.#positionBytes = range.startBytes;
    this.#endBytes = range.endBytes;
    this.#signal = signal;
    this.settled = this.#fetch(opened).then(
      () => this.#wakeReader?.(),
      (error: unknown) => {
        this.#failure = { error };
        this.#wakeReader?.();
      },
    );
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Lets the whole range be held; `release` is called when its last byte has been taken, or in `close`. */
  holdAll(release: () => void): void {
    this.#release = release;
    this.#limitBytes = Number.POSITIVE_INFINITY;
    this.#wakeFetcher?.();
  }

  get isHeld(): boolean {
    return this.#release !== undefined;
  }

  /** What has come since the last call, in order; undefined after the last byte. Throws what broke the range for good. */
  async take(): Promise<Uint8Array[] | undefined> {
    while (this.#queue.length === 0) {
      if (this.#failure) throw this.#failure.error;
      if (this.#positionBytes >= this.#endBytes) return undefined;
      await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    }
    const taken = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#wakeFetcher?.();
    return taken;
  }

  /** Whether `take` would have to wait. */
  get isDry(): boolean {
    return this.#queue.length === 0 && this.#positionBytes < this.#endBytes;
  }

  /** Gives its memory back. The signal has ended its request, or there is none any more. */
  close(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#queue = [];
    this.#release?.();
    this.#release = undefined;
  }

  readonly #onAbort = (): void => {
    this.#wakeFetcher?.();
    this.#wakeReader?.();
  };

  async #fetch(opened: GetObjectCommandOutput | undefined): Promise<void> {
    let answer = opened;
    let giveUpAtMs: number | undefined;
    for (let attempt = 0; this.#positionBytes < this.#endBytes; attempt++) {
      const beganAtBytes = this.#positionBytes;
      try {
        answer ??= await this.#request();
        await this.#read(answer);
        // A connection may also end too early in order; that is a break like any other.
        if (this.#positionBytes < this.#endBytes)
          throw new FilesystemError('unavailable', 'GetObject ended early');
      } catch (error) {
        this.#signal.throwIfAborted();
        const failure = failureOf(error);
        if (!isPassing(failure)) throw failure;
        if (this.#positionBytes > beganAtBytes) {
          attempt = 0;
          giveUpAtMs = undefined;
        }
        giveUpAtMs ??= Date.now() + (this.#storage.patienceMs ?? defaultPatienceMs);
        if (Date.now() >= giveUpAtMs) throw failure;
        await delay(retryDelayMs(attempt), undefined, { signal: this.#signal }).catch(() => undefined);
        this.#signal.throwIfAborted();
      }
      answer = undefined;
    }
  }

  async #request(): Promise<GetObjectCommandOutput> {
    const { bucket, key, etag } = this.#version;
    const range = `bytes=${this.#positionBytes}-${this.#endBytes - 1}`;
    const answer = await this.#storage.client.send(
      new GetObjectCommand({ Bucket: bucket, Key: key, Range: range, IfMatch: etag }),
      { abortSignal: this.#signal },
    );
    // Not every server knows If-Match.
    if (answer.ETag !== etag) {
      discard(answer);
      throw new FilesystemError('changed', 'the object changed');
    }
    if (contentRangeOf(answer)?.startBytes !== this.#positionBytes) {
      discard(answer);
      throw new FilesystemError('unavailable', 'GetObject answered with another range');
    }
    return answer;
  }

  async #read({ Body }: GetObjectCommandOutput): Promise<void> {
    for await (const chunk of Body as unknown as AsyncIterable<Uint8Array>) {
      this.#signal.throwIfAborted();
      const bytes = chunk.subarray(0, this.#endBytes - this.#positionBytes);
      this.#positionBytes += bytes.byteLength;
      this.#queuedBytes += bytes.byteLength;
      this.#queue.push(bytes);
      this.#wakeReader?.();
      while (this.#queuedBytes >= this.#limitBytes) {
        await new Promise<void>((resolve) => (this.#wakeFetcher = resolve));
        this.#signal.throwIfAborted();
      }
      if (this.#positionBytes >= this.#endBytes) return;
    }
  }
}

/** Ends a request whose body nobody wants. */
export function discard(answer: GetObjectCommandOutput): void {
  (answer.Body as unknown as { destroy(): void } | undefined)?.destroy();
}

/** The first byte and the whole size that `Content-Range` names (RFC 9110, 14.4). */
export function contentRangeOf(
  answer: GetObjectCommandOutput,
): { readonly startBytes: number; readonly sizeBytes: number } | undefined {
  const match = /^bytes (\d+)-\d+\/(\d+)$/.exec(answer.ContentRange ?? '');
  return match ? { startBytes: Number(match[1]), sizeBytes: Number(match[2]) } : undefined;
}

function failureOf(error: unknown): FilesystemError {
  if (error instanceof FilesystemError) return error;
  // The version that the download began with is gone.
  if (isPreconditionFailed(error) || isNotFound(error)) {
    return new FilesystemError('changed', 'the object changed', { cause: error });
  }
  return filesystemErrorOf(error, 'GetObject');
}
