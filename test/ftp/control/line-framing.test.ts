/** Command lines come out as they were meant, however the network cut them up. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { LineFraming, maxLineBytes } from '../../../src/ftp/control/line-framing.ts';

/** All lines of a stream that comes in these pieces; a line that is too long as `undefined`. */
function linesOf(...pieces: readonly (string | Uint8Array)[]): (string | undefined)[] {
  const framing = new LineFraming();
  const lines: (string | undefined)[] = [];
  for (const piece of pieces) {
    // A copy, because the framing owns what it is given.
    framing.push(Buffer.from(piece));
    for (let line = framing.next(); line !== undefined; line = framing.next()) {
      lines.push(line.kind === 'line' ? line.text : undefined);
    }
  }
  return lines;
}

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const longest = 'x'.repeat(maxLineBytes);

type Case = readonly [title: string, pieces: readonly (string | Uint8Array)[], lines: (string | undefined)[]];

const cases: readonly Case[] = [
  ['a line', ['NOOP\r\n'], ['NOOP']],
  ['a line split anywhere', ['NO', 'OP', '\r', '\n'], ['NOOP']],
  ['several lines in one piece', ['USER a\r\nPASS b\r\nPW'], ['USER a', 'PASS b']],
  ['lines that end in LF alone', ['USER bob\nPASS pw\n'], ['USER bob', 'PASS pw']],
  ['empty lines', ['\r\n\n'], ['', '']],
  ['quotes, blanks and dashes as they are', ['STOR  a "b" -x \r\n'], ['STOR  a "b" -x ']],
  ['UTF-8', ['MKD Bäume ☂ 🌳\r\n'], ['MKD Bäume ☂ 🌳']],
  [
    'UTF-8 split inside a character',
    [Buffer.from('MKD ä\r\n').subarray(0, 5), Buffer.from('MKD ä\r\n').subarray(5)],
    ['MKD ä'],
  ],
  ['Latin-1 where bytes are not valid UTF-8', [latin1('MKD caf\xe9\r\n')], ['MKD café']],
  ['Latin-1 and UTF-8 in different lines', [latin1('A \xe9\r\n'), 'B é\r\n'], ['A é', 'B é']],
  ['a NUL, which the command loop refuses', ['STOR a\0b\r\n'], ['STOR a\0b']],
  ['a CR inside a line, which ends nothing', ['STOR a\rDELE b\r\n'], ['STOR a\rDELE b']],
  ['ABOR whose LF went as urgent data', ['ABOR\r', 'NOOP\r\n'], ['ABOR', 'NOOP']],
  ['ABOR whose LF comes later', ['ABOR\r', '\nNOOP\r\n'], ['ABOR', 'NOOP']],
  [
    'UTF-8 in front of ABOR, whether or not its LF comes in the same piece',
    [Buffer.from('c280000041424f520d', 'hex'), '\n', Buffer.from('c280000041424f520d0a', 'hex')],
    ['\x80\0\0ABOR', '\x80\0\0ABOR'],
  ],
  ['a name that ends in ABOR', ['DELE ABOR\rx\r\n'], ['DELE ABOR\rx']],
  ['Telnet IP and Synch in front of ABOR', [latin1('\xff\xf4\xff\xf2ABOR\r\n')], ['ABOR']],
  ['Telnet IP and a Synch whose DM was lost', [latin1('\xff\xf4\xffABOR\r\n')], ['ABOR']],
  ['a Telnet command split over pieces', [latin1('\xff'), latin1('\xf4NOOP\r\n')], ['NOOP']],
  ['a Telnet option', [latin1('\xff\xfd\x06NOOP\r\n')], ['NOOP']],
  ['a doubled IAC, which is a ÿ', [latin1('MKD \xff\xff\r\n')], ['MKD ÿ']],
  ['the longest line', [`${longest}\r\n`], [longest]],
  ['the longest line, split in its line end', [`${longest}\r`, '\n'], [longest]],
  ['a line one byte longer, then the next', [`${longest}x\r\nNOOP\r\n`], [undefined, 'NOOP']],
  ['a line without an end, reported once', [longest, longest, longest, '\r\nNOOP\r\n'], [undefined, 'NOOP']],
];

describe('line framing reads', () => {
  for (const [title, pieces, lines] of cases) {
    it(`Line framing reads ${title}`, () => assert.deepEqual(linesOf(...pieces), lines));
  }

  it('Line framing reads the same lines regardless of how the stream is split', () => {
    const byte = fc.oneof(fc.constantFrom(0x0d, 0x0a, 0xff, 0xf4, 0xfd, 0x41, 0x20), fc.nat(255));
    const part = fc.oneof(
      fc.array(byte, { maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
      fc
        .constantFrom('ABOR\r', 'ABOR\r\n', 'STAT\r\n', 'NOOP\r\n', longest, 'ä\n')
        .map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 8 }),
        fc.array(fc.nat(40), { maxLength: 30 }),
        (parts, cuts) => {
          const stream = Buffer.concat(parts);
          const pieces: Buffer[] = [];
          let start = 0;
          for (const length of cuts) {
            pieces.push(stream.subarray(start, start + length));
            start += length;
          }
          pieces.push(stream.subarray(start));
          assert.deepEqual(linesOf(...pieces), linesOf(stream));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('Line framing reads an endless line in bounded memory', () => {
    const framing = new LineFraming();
    for (let piece = 0; piece < 1_000; piece++) {
      framing.push(Buffer.alloc(64 * 1024, 0x41));
      while (framing.next() !== undefined);
      assert.ok(framing.bufferedBytes <= maxLineBytes + 1);
    }
  });
});
