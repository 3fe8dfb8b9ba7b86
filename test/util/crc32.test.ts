import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { combineCrc32, crc32FromBase64, crc32ToBase64, emptyCrc32 } from '../../src/util/crc32.ts';

describe('CRC-32 of what is put together', () => {
  it('combineCrc32() gives the CRC-32 of the concatenated bytes, wherever they are split', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 8 }), (pieces) => {
        const combined = pieces.reduce(
          (crc, piece) => combineCrc32(crc, crc32(piece), piece.byteLength),
          emptyCrc32,
        );
        assert.equal(combined, crc32(Buffer.concat(pieces)));
      }),
    );
  });

  it('combineCrc32() does not depend on how three chunks are grouped, at any length up to the largest object', () => {
    const crc = fc.integer({ min: 0, max: 0xffffffff });
    const length = fc.integer({ min: 0, max: 2 ** 45 });
    fc.assert(
      fc.property(crc, crc, crc, length, length, (a, b, c, bytesOfB, bytesOfC) => {
        const left = combineCrc32(combineCrc32(a, b, bytesOfB), c, bytesOfC);
        const right = combineCrc32(a, combineCrc32(b, c, bytesOfC), bytesOfB + bytesOfC);
        assert.equal(left, right);
      }),
    );
  });

  it('combineCrc32() is correct for lengths beyond 32 bits', () => {
    // 2^33 zero bytes by doubling: each step is checked by the one before.
    let zeros = crc32(new Uint8Array(1024));
    for (let bytes = 1024; bytes < 2 ** 33; bytes *= 2) zeros = combineCrc32(zeros, zeros, bytes);
    const half = combineCrc32(emptyCrc32, zeros, 2 ** 33);
    assert.equal(half, zeros);
    assert.equal(combineCrc32(0x12345678, emptyCrc32, 0), 0x12345678);
  });

  const table = [
    { text: '', base64: 'AAAAAA==' },
    // The check value of CRC-32/ISO-HDLC.
    { text: '123456789', base64: Buffer.from('cbf43926', 'hex').toString('base64') },
  ];
  for (const { text, base64 } of table) {
    it(`crc32ToBase64() encodes a CRC-32 as S3 expects it: ${base64}`, () => {
      assert.equal(crc32ToBase64(crc32(text)), base64);
      assert.equal(crc32FromBase64(base64), crc32(text));
    });
  }

  it('crc32FromBase64() refuses a value that is not a CRC-32 of a whole object', () => {
    for (const text of [undefined, '', 'AAAAAA==-2', 'AAAAAAAAAAA=', 'not base64'])
      assert.equal(crc32FromBase64(text), undefined);
  });
});
