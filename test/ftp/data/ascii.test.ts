import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AsciiDecoder, AsciiEncoder } from '../../../src/ftp/data/ascii.ts';

function encode(pieces: readonly string[]): string {
  const encoder = new AsciiEncoder();
  return Buffer.concat(pieces.map((piece) => encoder.encode(Buffer.from(piece)))).toString();
}

function decode(pieces: readonly string[]): string {
  const decoder = new AsciiDecoder();
  const decoded = pieces.map((piece) => decoder.decode(Buffer.from(piece)));
  return Buffer.concat([...decoded, decoder.end()]).toString();
}

describe('TYPE A to the client', () => {
  for (const [pieces, sent] of [
    [['a\nb\n'], 'a\r\nb\r\n'],
    [['a\r\nb\r\n'], 'a\r\nb\r\n'],
    [['a\r', '\nb'], 'a\r\nb'],
    [['a', '\nb'], 'a\r\nb'],
    [['\n', '\n'], '\r\n\r\n'],
    [['a\r', '', '\nb'], 'a\r\nb'],
    [['a\rb'], 'a\rb'],
    [['\r', 'b\n'], '\rb\r\n'],
    [[''], ''],
  ] as const) {
    it(`sends ${JSON.stringify(pieces)} as ${JSON.stringify(sent)}`, () =>
      assert.equal(encode(pieces), sent));
  }

  it('passes pieces without line ends on uncopied', () => {
    const bytes = Buffer.from('no line end');
    assert.equal(new AsciiEncoder().encode(bytes), bytes);
  });
});

describe('TYPE A from the client', () => {
  for (const [pieces, stored] of [
    [['a\r\nb\r\n'], 'a\nb\n'],
    [['a\r', '\nb'], 'a\nb'],
    [['a\r', 'b'], 'a\rb'],
    [['a\r', '\r', '\n'], 'a\r\n'],
    [['a\r', '', '\n'], 'a\n'],
    [['a\r'], 'a\r'],
    [['\r\r\n'], '\r\n'],
    [['a\nb'], 'a\nb'],
    [['\r', '\n'], '\n'],
    [[''], ''],
  ] as const) {
    it(`stores ${JSON.stringify(pieces)} as ${JSON.stringify(stored)}`, () =>
      assert.equal(decode(pieces), stored));
  }

  it('passes pieces without line ends on uncopied', () => {
    const bytes = Buffer.from('no line end');
    assert.equal(new AsciiDecoder().decode(bytes), bytes);
  });
});

describe('TYPE A', () => {
  const pieces = fc.array(fc.string({ unit: fc.constantFrom('a', '\r', '\n'), maxLength: 6 }), {
    maxLength: 8,
  });

  it('converts a text alike however it is cut into pieces', () => {
    fc.assert(
      fc.property(pieces, (cut) => {
        const whole = cut.join('');
        assert.equal(encode(cut), whole.replace(/(?<!\r)\n/g, '\r\n'));
        assert.equal(decode(cut), whole.replace(/\r\n/g, '\n'));
      }),
      { numRuns: 5_000 },
    );
  });

  it('brings back every text with LF line ends', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: fc.constantFrom('a', '\n'), maxLength: 6 })), (cut) => {
        assert.equal(decode([encode(cut)]), cut.join(''));
      }),
    );
  });
});
