/**
 * The bytes of one part while they are collected: a list of the chunks that the socket delivered, never joined, with their CRC.
 * Only small chunks are copied: those that would pin a much larger buffer, or whose object costs more memory than their bytes.
 *
 * Besides its bytes a part holds the unused rest of one slab at most. Otherwise a part could hold all memory that it may, and still have
 * too few bytes to be sent.
 */
import { crc32 } from 'node:zlib';
import { emptyCrc32 } from '../../util/crc32.ts';
import type { BodySending } from '../client/direct-client.ts';

const smallChunkBytes = 8 * 1024;
/** A shorter one costs about as much memory as an object as its bytes do. */
const minFirstChunkBytes = 512;
const slabBytes = 64 * 1024;
/** The maximum of one `append`, so that memory is granted in small steps. */
export const maxChunkBytes = slabBytes;
/** From this size on a chunk that must be copied gets a buffer of its own size, and a buffer is freed without the garbage collector. */
const largeChunkBytes = slabBytes / 2;

/** One part; `finish` ends its collection, `free` its memory. */
export class Part {
  readonly #chunks: Uint8Array[] = [];
  /** The buffers that some of the chunks lie in. */
  readonly #buffers: Buffer[] = [];
  readonly sending: BodySending = { attempts: 0, isTaken: false };
  /** Whether S3 has confirmed the part. Set by what sent it. */
  isConfirmed = false;
  #sizeBytes = 0;
  #crc32 = emptyCrc32;
  #slab: Buffer | undefined;
  #slabUsedBytes = 0;

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get crc32(): number {
    return this.#crc32;
  }

  /** Memory in bytes that `append` will need: the chunk's own if it gets or keeps a buffer, a new slab if it does not fit the last. */
  memoryFor(bytes: Uint8Array): number {
    if (this.#keeps(bytes) || bytes.byteLength >= largeChunkBytes) return bytes.byteLength;
    return bytes.byteLength <= this.#slabRoomBytes ? 0 : slabSizeFor(bytes, this.#sizeBytes);
  }

  /**
   * Takes ownership of the bytes, at most `maxChunkBytes`: they must not change afterwards. Returns how much of the memory that earlier
   * chunks needed is no longer used.
   */
  append(bytes: Uint8Array): number {
    const isKept = this.#keeps(bytes);
    const sizeSoFarBytes = this.#sizeBytes;
    this.#crc32 = crc32(bytes, this.#crc32);
    this.#sizeBytes += bytes.byteLength;
    if (!isKept && bytes.byteLength < largeChunkBytes) {
      this.#copyToSlab(bytes, sizeSoFarBytes);
      return 0;
    }
    const unusedBytes = this.#shrinkSlab();
    this.#chunks.push(isKept ? bytes : new Uint8Array(bytes));
    return unusedBytes;
  }

  /** Takes ownership of a buffer whose first bytes are the next ones of the part. Returns as `append` does. */
  appendBuffer(buffer: Buffer, usedBytes: number): number {
    const bytes = buffer.subarray(0, usedBytes);
    this.#crc32 = crc32(bytes, this.#crc32);
    this.#sizeBytes += usedBytes;
    const unusedBytes = this.#shrinkSlab();
    this.#chunks.push(bytes);
    this.#buffers.push(buffer);
    return unusedBytes;
  }

  /** The chunks. Nothing may be appended afterwards. */
  finish(): readonly Uint8Array[] {
    this.#closeSlab();
    return this.#chunks;
  }

  /**
   * Frees the bytes of a confirmed part immediately, as far as no write can still read from them; those of another part are left
   * to the garbage collector. Left to it always they would accumulate beside the budget: to V8 a buffer of 64 KiB is an object of
   * a hundred bytes. Chunks that own their whole buffer are freed. Buffers are given back, to be used again, if there was no
   * earlier attempt, whose connection might still hold them.
   */
  free(giveBack: (buffer: Buffer) => void): void {
    const { attempts, isTaken } = this.sending;
    if (this.isConfirmed && isTaken) {
      this.#chunks.forEach(freeWhole);
      if (attempts === 1) this.#buffers.forEach(giveBack);
    }
    this.#chunks.length = this.#buffers.length = 0;
  }

  /** The first chunk is most often a whole small file, and a slab for it alone would be larger. */
  #keeps(bytes: Uint8Array): boolean {
    const isFirst = this.#sizeBytes === 0 && bytes.byteLength >= minFirstChunkBytes;
    return (isFirst && ownsBuffer(bytes)) || isWorthKeeping(bytes);
  }

  get #slabRoomBytes(): number {
    return this.#slab === undefined ? 0 : this.#slab.byteLength - this.#slabUsedBytes;
  }

  #copyToSlab(bytes: Uint8Array, sizeSoFarBytes: number): void {
    const fitting = bytes.subarray(0, this.#slabRoomBytes);
    this.#slab?.set(fitting, this.#slabUsedBytes);
    this.#slabUsedBytes += fitting.byteLength;
    if (fitting.byteLength === bytes.byteLength) return;
    this.#closeSlab();
    const rest = bytes.subarray(fitting.byteLength);
    this.#slab = Buffer.allocUnsafeSlow(slabSizeFor(bytes, sizeSoFarBytes));
    this.#slab.set(rest);
    this.#slabUsedBytes = rest.byteLength;
  }

  /** Ends the slab, because something else follows its bytes, and frees its rest; returns the size of that. */
  #shrinkSlab(): number {
    const unusedBytes = this.#slabRoomBytes;
    if (this.#slab && unusedBytes > 0) {
      const { buffer } = this.#slab as Buffer<ArrayBuffer>;
      this.#slab = Buffer.from(buffer.transfer(this.#slabUsedBytes));
    }
    this.#closeSlab();
    return unusedBytes;
  }

  #closeSlab(): void {
    if (this.#slab) this.#chunks.push(this.#slab.subarray(0, this.#slabUsedBytes));
    this.#slab = undefined;
    this.#slabUsedBytes = 0;
  }
}

/** The same bytes in chunks of at most `maxChunkBytes`. */
export function* inChunks(bytes: Uint8Array): Generator<Uint8Array> {
  if (bytes.byteLength <= maxChunkBytes) {
    if (bytes.byteLength > 0) yield bytes;
    return;
  }
  for (let start = 0; start < bytes.byteLength; start += maxChunkBytes) {
    yield bytes.subarray(start, start + maxChunkBytes);
  }
}

function freeWhole({ buffer, byteLength }: Uint8Array): void {
  // Lent buffers are larger.
  const isLarge = byteLength >= largeChunkBytes && byteLength <= maxChunkBytes;
  const isWhole = isLarge && buffer.byteLength === byteLength;
  if (isWhole && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

// A full-size chunk of a large buffer is charged for itself only, as its neighbours are charged for themselves.
function isWorthKeeping(bytes: Uint8Array): boolean {
  if (bytes.byteLength < smallChunkBytes) return false;
  return ownsBuffer(bytes) || bytes.byteLength === maxChunkBytes;
}

/** Whether keeping the bytes keeps little else. */
function ownsBuffer(bytes: Uint8Array): boolean {
  return bytes.byteLength >= bytes.buffer.byteLength * 0.875;
}

// A small file must not need a large slab.
function slabSizeFor(bytes: Uint8Array, sizeSoFarBytes: number): number {
  return sizeSoFarBytes === 0 && bytes.byteLength <= slabBytes / 4 ? slabBytes / 4 : slabBytes;
}
