/**
 * Decodes and encodes the text of the control connection and the names in listings. Pure.
 * See docs/decisions/0018-names-on-the-wire.md.
 */
import { isAscii, isUtf8 } from 'node:buffer';

/**
 * `windows-1252` is what clients without UTF-8 mean by Latin-1 (WHATWG Encoding Standard, 4.2): Latin-1 with letters and
 * punctuation in place of the control characters 0x80 to 0x9F.
 */
export type TextEncoding = 'utf-8' | 'windows-1252';

/**
 * The characters of the bytes 0x80 to 0x9F (WHATWG Encoding Standard, index windows-1252). Five of the bytes have no character and
 * stand for the control character of the same number, so that all 256 bytes survive a round trip.
 */
const from0x80To0x9f = '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ';

const byteOf: ReadonlyMap<string, string> = new Map(
  Array.from(from0x80To0x9f, (character, index) => [character, String.fromCharCode(0x80 + index)]),
);

/**
 * A command line as text. In a UTF-8 session, a line that is not valid UTF-8 is decoded as windows-1252; hardly any word of
 * windows-1252 is valid UTF-8 by chance. A windows-1252 session does not guess, except for USER and PASS, which clients send
 * before they can know the encoding.
 */
export function decodeLine(bytes: Buffer, encoding: TextEncoding): string {
  if (isAscii(bytes)) return bytes.toString('latin1');
  const mayBeUtf8 = encoding === 'utf-8' || /^(?:USER|PASS) /i.test(bytes.toString('latin1', 0, 5));
  return mayBeUtf8 && isUtf8(bytes) ? bytes.toString('utf8') : decodeWindows1252(bytes);
}

/** The bytes of a text. A character that the encoding lacks becomes `?`. */
export function encodeText(text: string, encoding: TextEncoding): Buffer {
  if (encoding === 'utf-8') return Buffer.from(text);
  const latin1 = text.replace(/[^\x00-\x7f\xa0-\xff]/gu, (character) => byteOf.get(character) ?? '?');
  return Buffer.from(latin1, 'latin1');
}

function decodeWindows1252(bytes: Buffer): string {
  return bytes
    .toString('latin1')
    .replace(/[\x80-\x9f]/g, (byte) => from0x80To0x9f.charAt(byte.charCodeAt(0) - 0x80));
}
