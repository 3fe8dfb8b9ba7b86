/** Decoding and encoding of the text of control connections. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decodeLine, encodeText, type TextEncoding } from '../../../src/ftp/commands/text-encoding.ts';

type Case = readonly [title: string, bytes: Buffer, encoding: TextEncoding, text: string];

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

const cases: readonly Case[] = [
  ['ASCII', bytes('MKD a'), 'windows-1252', 'MKD a'],
  ['UTF-8', Buffer.from('MKD é☂'), 'utf-8', 'MKD é☂'],
  ['what is not valid UTF-8, as windows-1252', bytes('MKD \x80 caf\xe9'), 'utf-8', 'MKD € café'],
  ['windows-1252', bytes('MKD \x93caf\xe9\x94'), 'windows-1252', 'MKD “café”'],
  ['valid UTF-8 as windows-1252 where that applies', Buffer.from('MKD é'), 'windows-1252', 'MKD Ã©'],
  ['a password in UTF-8', Buffer.from('PASS é'), 'windows-1252', 'PASS é'],
  ['a user name in windows-1252', bytes('user \xe9'), 'windows-1252', 'user é'],
];

describe('decodeLine()', () => {
  for (const [title, line, encoding, text] of cases) {
    it(`reads ${title}`, () => assert.equal(decodeLine(line, encoding), text));
  }

  it('agrees with the WHATWG table for every byte', () => {
    const all = Buffer.from(Array.from({ length: 128 }, (_, index) => 0x80 + index));
    // Node's own decoder for this label has been plain Latin-1 in some versions; iconv's and Python's table is the reference.
    const expected =
      '20AC 81 201A 192 201E 2026 2020 2021 2C6 2030 160 2039 152 8D 17D 8F ' +
      '90 2018 2019 201C 201D 2022 2013 2014 2DC 2122 161 203A 153 9D 17E 178';
    const text = decodeLine(all, 'windows-1252');
    const codes = Array.from(text, (character) => character.charCodeAt(0).toString(16).toUpperCase());
    assert.equal(codes.slice(0, 32).join(' '), expected);
    assert.equal(text.slice(32), all.subarray(32).toString('latin1'));
  });
});

describe('encodeText()', () => {
  it('gives a client of windows-1252 back the very bytes it sent', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (sent) => {
        const line = Buffer.from([0x41, ...sent]);
        assert.deepEqual(encodeText(decodeLine(line, 'windows-1252'), 'windows-1252'), line);
      }),
      { numRuns: 2_000 },
    );
  });

  it('writes UTF-8 as it is', () => assert.deepEqual(encodeText('é☂🌳', 'utf-8'), Buffer.from('é☂🌳')));

  it('writes one ? for each character that windows-1252 does not have', () => {
    assert.equal(encodeText('a☂🌳e\u0301\u0080\ud800z', 'windows-1252').toString('latin1'), 'a??e???z');
  });
});
