/**
 * MODE Z (draft-preston-ftpext-deflate): payload bytes to and from one zlib stream (RFC 1950), between the ASCII conversion and
 * the data connection, and below TLS. A zlib stream marks its end, so a stream that was cut off is detected.
 */
import { pipeline } from 'node:stream';
import { createDeflate, createInflate } from 'node:zlib';
import type { ByteSink } from '../../filesystem/filesystem.ts';
import { DataConnectionLost } from './transfer.ts';

/** zlib's own default: its compromise between time and size. */
export const defaultDeflateLevel = 6;

/** Output of one zlib step, in both directions. Between two steps the event loop serves others. */
const chunkBytes = 64 * 1024;

/**
 * Compresses all of `content`, at `level` 1 to 9, off the event loop and no faster than the chunks are consumed. Throws what
 * `content` throws. Leaving the loop closes `content` and frees zlib's memory.
 */
export async function* deflate(
  content: AsyncIterable<Uint8Array>,
  level: number,
): AsyncGenerator<Uint8Array> {
  const compressor = createDeflate({ level, chunkSize: chunkBytes });
  // A failure of `content` destroys the compressor, whose iteration below throws it.
  pipeline(content, compressor, () => undefined);
  yield* compressor as AsyncIterable<Uint8Array>;
}

/**
 * Inflates off the event loop, in chunks, and produces the next one only when the sink has room, so that memory stays bounded
 * however far a small input expands. Failures are reported by `failure` alone.
 */
export class Inflater implements ByteSink {
  /**
   * Rejects with `DataConnectionLost` where the input is no deflate stream, is cut off, or has bytes after the stream's end; or
   * with what broke the sink. Never resolves.
   */
  readonly failure: Promise<never>;
  readonly #decompressor = createInflate({ chunkSize: chunkBytes });
  readonly #fail: (reason: unknown) => void;
  #givenBytes = 0;

  constructor(sink: ByteSink) {
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
      this.#fail(
        new DataConnectionLost(
          'DATA-DEFLATE',
          'The data are not a whole deflate stream; nothing was stored.',
        ),
      );
    });
  }

  /** Resolves when the bytes are consumed; never after a failure. */
  write(bytes: Uint8Array): Promise<void> {
    this.#givenBytes += bytes.length;
    return new Promise((resolve) => {
      this.#decompressor.write(bytes, () => {
        if (this.#decompressor.destroyed) return;
        // zlib consumes nothing after the end of its stream.
        if (this.#decompressor.bytesWritten === this.#givenBytes) resolve();
        else
          this.#fail(
            new DataConnectionLost(
              'DATA-DEFLATE',
              'Bytes came after the deflate stream; nothing was stored.',
            ),
          );
      });
    });
  }

  /** Ends the input. Resolves when the stream proved complete and the sink has all of it; never after a failure. */
  end(): Promise<void> {
    return new Promise((resolve) => {
      this.#decompressor.once('end', resolve);
      this.#decompressor.end();
    });
  }

  /** Frees zlib's memory at any point; idempotent. */
  close(): void {
    this.#decompressor.destroy();
  }
}
