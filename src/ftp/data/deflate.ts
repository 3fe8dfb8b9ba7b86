/**
 * MODE Z (draft-preston-ftpext-deflate), from the storage to the client: payload bytes to one zlib stream (RFC 1950), between
 * the ASCII conversion and the data connection, and below TLS.
 */
import { pipeline } from 'node:stream';
import { createDeflate } from 'node:zlib';

/** What zlib itself takes for the best trade of time for size. */
export const defaultDeflateLevel = 6;

const pieceBytes = 64 * 1024;

/**
 * Compresses all of `content`, at `level` 1 to 9, off the event loop and no faster than the pieces are taken. Throws what
 * `content` throws. Leaving the loop closes `content` and frees zlib's memory.
 */
export async function* deflate(
  content: AsyncIterable<Uint8Array>,
  level: number,
): AsyncGenerator<Uint8Array> {
  const compressor = createDeflate({ level, chunkSize: pieceBytes });
  // A failure of `content` destroys the compressor, whose iteration below throws it.
  pipeline(content, compressor, () => undefined);
  yield* compressor as AsyncIterable<Uint8Array>;
}
