import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AsciiDecoder, AsciiEncoder } from '../../../src/ftp/data/ascii.ts';

function encode(chunks: readonly string[]): string {
  const encoder = new AsciiEncoder();
  return Buffer.concat(chunks.map((chunk) => encoder.encode(Buffer.from(chunk)))).toString();
}

function decode(chunks: readonly string[]): string {
  const decoder = new AsciiDecoder();
  const decoded = chunks.map((chunk) => decoder.decode(Buffer.from(chunk)));
  return Buffer.concat([...decoded, decoder.end()]).toString();
}

describe('TYPE A to the client', () => {
  for (const [chunks, sent] of [
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
    it(`TYPE A sends ${JSON.stringify(chunks)} as ${JSON.stringify(sent)}`, () =>
      assert.equal(encode(chunks), sent));
  }

  it('TYPE A sends chunks without line ends uncopied', () => {
    const bytes = Buffer.from('no line end');
    assert.equal(new AsciiEncoder().encode(bytes), bytes);
  });
});

describe('TYPE A from the client', () => {
  for (const [chunks, stored] of [
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
    it(`TYPE A stores ${JSON.stringify(chunks)} as ${JSON.stringify(stored)}`, () =>
      assert.equal(decode(chunks), stored));
  }

  it('TYPE A stores chunks without line ends uncopied', () => {
    const bytes = Buffer.from('no line end');
    assert.equal(new AsciiDecoder().decode(bytes), bytes);
  });
});

describe('TYPE A', () => {
  const chunks = fc.array(fc.string({ unit: fc.constantFrom('a', '\r', '\n'), maxLength: 6 }), {
    maxLength: 8,
  });

  it('TYPE A converts a text the same way however it is split into chunks', () => {
    fc.assert(
      fc.property(chunks, (cut) => {
        const whole = cut.join('');
        assert.equal(encode(cut), whole.replace(/(?<!\r)\n/g, '\r\n'));
        assert.equal(decode(cut), whole.replace(/\r\n/g, '\n'));
      }),
      { numRuns: 5_000 },
    );
  });

  it('TYPE A restores every text with LF line ends', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: fc.constantFrom('a', '\n'), maxLength: 6 })), (cut) => {
        assert.equal(decode([encode(cut)]), cut.join(''));
      }),
    );
  });
});
