/**
 * MODE Z (draft-preston-ftpext-deflate), from the client to the storage: the bytes of a data connection, one zlib stream
 * (RFC 1950), to payload bytes. A stream says where it ends, so one that was cut off is told from a whole one.
 */
import { createInflate } from 'node:zlib';
import type { Sink } from './receive.ts';
import { DataConnectionLost } from './transfer.ts';

/** How much one step makes of its input, however far that expands; between two steps the event loop turns. */
const pieceBytes = 64 * 1024;

/**
 * Inflates off the event loop, in steps, and takes the next one only when the sink has room: what a small input expands to is
 * never in memory at once. Every failure is told by `failure` alone.
 */
export class Inflater implements Sink {
  /**
   * Rejects with `DataConnectionLost` where the input is no deflate stream, ends before it does, or goes on after it; or
   * with what broke the sink. Never resolves.
   */
  readonly failure: Promise<never>;
  readonly #decompressor = createInflate({ chunkSize: pieceBytes });
  readonly #fail: (reason: unknown) => void;
  #givenBytes = 0;

  constructor(sink: Sink) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.failure = promise;
    const decompressor = this.#decompressor;
    this.#fail = (reason) => {
      reject(reason);
      decompressor.destroy();
    };
    decompressor.on('data', (bytes: Buffer) => {
      try {
        const room = sink.write(bytes);
        if (room === undefined) return;
        decompressor.pause();
        room.then(() => decompressor.resume(), this.#fail);
      } catch (error) {
        this.#fail(error);
      }
    });
    decompressor.once('error', () => {
      this.#fail(new DataConnectionLost('The data are not a whole deflate stream; nothing was stored.'));
    });
  }

  /** Resolves when the bytes are used up; never after a failure. */
  write(bytes: Uint8Array): Promise<void> {
    this.#givenBytes += bytes.length;
    return new Promise((resolve) => {
      this.#decompressor.write(bytes, () => {
        if (this.#decompressor.destroyed) return;
        // zlib takes nothing that comes after the end of its stream.
        if (this.#decompressor.bytesWritten === this.#givenBytes) resolve();
        else this.#fail(new DataConnectionLost('Bytes came after the deflate stream; nothing was stored.'));
      });
    });
  }

  /** No more comes. Resolves when the stream has turned out to be whole and the sink has all of it; never after a failure. */
  end(): Promise<void> {
    return new Promise((resolve) => {
      this.#decompressor.once('end', resolve);
      this.#decompressor.end();
    });
  }

  /** Frees zlib's memory, at whatever point; idempotent. */
  close(): void {
    this.#decompressor.destroy();
  }
}
