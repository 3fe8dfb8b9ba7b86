/** A file in which every mebibyte differs, so that misplaced bytes are detected. Pure. */
import { crc32 } from 'node:zlib';

const mebibyte = 1024 * 1024;
const filler = Buffer.alloc(mebibyte, 'bytes of a file ');

/** The file's bytes from `fromBytes` up to `toBytes`, in blocks of at most a mebibyte. */
export function* contentBetween(fromBytes: number, toBytes: number): Generator<Buffer> {
  for (let at = fromBytes; at < toBytes; at = nextMebibyte(at)) {
    const number = Math.floor(at / mebibyte);
    const startsAt = number * mebibyte;
    const block = Buffer.from(filler);
    block.writeDoubleBE(number);
    yield block.subarray(at - startsAt, Math.min(nextMebibyte(at), toBytes) - startsAt);
  }
}

/** CRC-32 of the file's first bytes. */
export function crc32OfContent(sizeBytes: number): number {
  let value = 0;
  for (const block of contentBetween(0, sizeBytes)) value = crc32(block, value);
  return value;
}

function nextMebibyte(at: number): number {
  return (Math.floor(at / mebibyte) + 1) * mebibyte;
}
