/**
 * Requests the ranges of a download in order. The next range is requested before the current one ends; further ones are
 * fetched into transfer memory only while the client reads faster than one request delivers.
 */
import type { S3Response } from '../client/response.ts';
import { inCurrentCall } from '../client/storage-call.ts';
import type { S3Storage } from '../s3-storage.ts';
import { RangeReader, type ObjectVersion } from './range-reader.ts';

/** What one request fetches (Amazon S3, "Performance design patterns": 8 to 16 MB); a smaller object is one request. */
export const rangeBytes = 8 * 1024 * 1024;

/** Concurrent requests, including the one that the client reads from. */
export const maxRanges = 5;

export type Extent = {
  readonly offsetBytes: number;
  /** Of the whole object. */
  readonly sizeBytes: number;
  /** Whose share of the transfer memory is used. */
  readonly user: string;
};

export class Prefetcher {
  readonly #storage: S3Storage;
  readonly #version: ObjectVersion;
  readonly #sizeBytes: number;
  readonly #user: string;
  readonly #signal: AbortSignal;
  readonly #inCall = inCurrentCall();
  readonly #ranges: RangeReader[];
  #nextStartBytes: number;
  #currentBytesLeft: number;
  /** How many ranges may be fetched ahead: grows while the client waits for S3, shrinks while S3 waits for the client. */
  #ahead = 1;
  #wasEmpty = false;

  constructor(
    storage: S3Storage,
    version: ObjectVersion,
    { offsetBytes, sizeBytes, user }: Extent,
    signal: AbortSignal,
    first: S3Response,
  ) {
    this.#storage = storage;
    this.#version = version;
    this.#sizeBytes = sizeBytes;
    this.#user = user;
    this.#signal = signal;
    this.#nextStartBytes = Math.min(offsetBytes + rangeBytes, sizeBytes);
    this.#currentBytesLeft = this.#nextStartBytes - offsetBytes;
    const range = { startBytes: offsetBytes, endBytes: this.#nextStartBytes };
    this.#ranges = [new RangeReader(storage, version, range, signal, first)];
  }

  get current(): RangeReader | undefined {
    return this.#ranges[0];
  }

  /** To be called when the client has taken these bytes; requests the next ranges. */
  consumed(batch: readonly Uint8Array[]): void {
    for (const bytes of batch) this.#currentBytesLeft -= bytes.byteLength;
    if (this.current?.isEmpty) this.#wasEmpty = true;
    // Half a range before the end, so that the response has arrived when it is needed.
    if (this.#currentBytesLeft > rangeBytes / 2) return;
    while (this.#ranges.length <= this.#ahead && this.#nextStartBytes < this.#sizeBytes) this.#request();
    if (this.#ahead > 1) this.#bufferAhead();
  }

  /** Moves to the next range. */
  next(): RangeReader | undefined {
    this.#ahead = this.#wasEmpty ? Math.min(this.#ahead + 1, maxRanges - 1) : Math.max(1, this.#ahead - 1);
    this.#wasEmpty = false;
    this.#ranges.shift();
    if (this.#ranges.length === 0 && this.#nextStartBytes < this.#sizeBytes) this.#request();
    this.#currentBytesLeft = rangeBytes;
    return this.current;
  }

  /** After the signal aborted: resolves when every request has ended and the memory is released. */
  async settled(): Promise<void> {
    await Promise.all(this.#ranges.map((range) => range.settled()));
    for (const range of this.#ranges) range.close();
  }

  #request(): void {
    const startBytes = this.#nextStartBytes;
    this.#nextStartBytes = Math.min(startBytes + rangeBytes, this.#sizeBytes);
    const range = { startBytes, endBytes: this.#nextStartBytes };
    this.#ranges.push(this.#inCall(() => new RangeReader(this.#storage, this.#version, range, this.#signal)));
  }

  // Without memory the range waits in the kernel's buffers until it is read.
  #bufferAhead(): void {
    for (const range of this.#ranges.slice(1)) {
      if (range.isBuffered) continue;
      const release = this.#storage.memory.tryReadAhead(this.#user, rangeBytes);
      if (!release) return;
      range.bufferAll(release);
    }
  }
}
