/**
 * CRC-32 (ISO-HDLC, as in zlib) of concatenated bytes from the CRC of each part, without reading the bytes again.
 * S3 verifies it for every part and for the whole object (Amazon S3 User Guide, "Checking object integrity").
 */

/** The CRC of no bytes. */
export const emptyCrc32 = 0;

/**
 * The CRC of `a` followed by `b`, given the CRC of each and the length of `b`.
 *
 * Appending n zero bytes multiplies a CRC, read as a polynomial over GF(2), by x^(8n) modulo the CRC's own polynomial;
 * so the CRC of the whole is that product plus (exclusive or) the CRC of `b`.
 */
export function combineCrc32(crcOfA: number, crcOfB: number, lengthOfB: number): number {
  return (multiply(crcOfA, powerOfX(8, lengthOfB)) ^ crcOfB) >>> 0;
}

/** As in S3 headers: four bytes, big-endian, in base64. */
export function crc32ToBase64(crc: number): string {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(crc >>> 0);
  return bytes.toString('base64');
}

/** Parses the value of an S3 header; undefined unless it is four bytes (a checksum of checksums ends in `-n`). */
export function crc32FromBase64(text: string | undefined): number | undefined {
  if (text === undefined || !/^[A-Za-z0-9+/]{6}==$/.test(text)) return undefined;
  return Buffer.from(text, 'base64').readUInt32BE();
}

// The lowest bit is the coefficient of x^31, the highest that of x^0; the polynomial's x^32 is implied.
const polynomial = 0xedb88320;
const one = 0x80000000;
const x = 0x40000000;

function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = one; bit !== 0; bit >>>= 1) {
    if (a & bit) product ^= b;
    b = b & 1 ? (b >>> 1) ^ polynomial : b >>> 1;
  }
  return product >>> 0;
}

/** x^(factor × count), by squaring. `count` may be beyond 32 bits. */
function powerOfX(factor: number, count: number): number {
  let base = x;
  for (let squared = 1; squared < factor; squared *= 2) base = multiply(base, base);
  let power = one;
  for (let left = count; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) power = multiply(power, base);
    base = multiply(base, base);
  }
  return power;
}
