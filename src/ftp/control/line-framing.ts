/**
 * Divides bytes into command lines. It runs before the login, so it must withstand any input. No I/O; it buffers at most one chunk and
 * one unfinished line, and returns a line only on request, so that its caller sets the pace.
 */
import { decodeLine, type TextEncoding } from '../commands/text-encoding.ts';

/** The longest command line, its end not counted. The longest S3 key is 1,024 bytes; 8 KiB leaves room for unusual clients. */
export const maxLineBytes = 8 * 1024;

export type Line =
  | { readonly kind: 'line'; readonly text: string }
  /** Longer than `maxLineBytes`: returned once, and the rest of the line is skipped. */
  | { readonly kind: 'too-long' };

/** The longest verb of `#urgentLineEnd`, with what can remain of a Telnet Synch in front of it. */
const maxUrgentLineBytes = 8;

const lf = 0x0a;
const cr = 0x0d;
const iac = 0xff;
const noBytes = Buffer.alloc(0);
const tooLong: Line = { kind: 'too-long' };

/** The line framing of one control connection. */
export class LineFraming {
  #bytes: Buffer = noBytes;
  #position = 0;
  #skipsRestOfLine = false;
  #skipsLineFeed = false;
  readonly #telnet = new TelnetFilter();

  /** Takes ownership of a chunk as the socket delivered it. */
  push(chunk: Buffer): void {
    const bytes = this.#telnet.filter(chunk);
    const rest = this.#bytes.length - this.#position;
    this.#bytes = rest === 0 ? bytes : Buffer.concat([this.#bytes.subarray(this.#position), bytes]);
    this.#position = 0;
  }

  /** Bytes that no returned line contains yet. */
  get bufferedBytes(): number {
    return this.#bytes.length - this.#position;
  }

  /** The next whole line without its line end, decoded with `encoding`; undefined until more bytes arrive. */
  next(encoding: TextEncoding = 'utf-8'): Line | undefined {
    this.#skipLineFeed();
    for (;;) {
      const start = this.#position;
      const end = this.#bytes.indexOf(lf, start);
      if (this.#skipsRestOfLine) {
        if (end < 0) {
          this.#clear();
          return undefined;
        }
        this.#skipsRestOfLine = false;
        this.#position = end + 1;
        continue;
      }
      const urgent = this.#urgentLineEnd(start, end);
      if (urgent !== undefined) {
        this.#position = urgent + 1;
        this.#skipsLineFeed = true;
        this.#skipLineFeed();
        return { kind: 'line', text: decodeLine(this.#bytes.subarray(start, urgent), encoding) };
      }
      if (end < 0) return this.#unfinished(start);
      this.#position = end + 1;
      const withoutCr = end > start && this.#bytes[end - 1] === cr ? end - 1 : end;
      if (withoutCr - start > maxLineBytes) return tooLong;
      return { kind: 'line', text: decodeLine(this.#bytes.subarray(start, withoutCr), encoding) };
    }
  }

  #unfinished(start: number): Line | undefined {
    const length = this.#bytes.length - start;
    if (length === 0) this.#clear();
    // One byte more for a CR whose LF has not arrived.
    if (length <= maxLineBytes + 1) return undefined;
    this.#skipsRestOfLine = true;
    this.#clear();
    return tooLong;
  }

  #clear(): void {
    this.#bytes = noBytes;
    this.#position = 0;
  }

  /**
   * Clients that follow RFC 959 4.1.3 to the letter send the LF of `ABOR CR LF` as TCP urgent data, which never arrives
   * in the stream. So a lone CR ends a line that consists of one of these verbs, and no other line: any other CR is a control
   * character in an argument, never the end of a command.
   */
  #urgentLineEnd(start: number, end: number): number | undefined {
    // Searched no further than such a verb can reach: a search through all that follows, for each line, takes quadratic time.
    const length = this.#bytes.subarray(start, start + maxUrgentLineBytes + 1).indexOf(cr);
    const at = start + length;
    if (length < 4 || (end >= 0 && at >= end - 1)) return undefined;
    return /(?:ABOR|STAT|QUIT)$/i.test(this.#bytes.toString('latin1', start, at)) ? at : undefined;
  }

  #skipLineFeed(): void {
    if (!this.#skipsLineFeed || this.#position >= this.#bytes.length) return;
    this.#skipsLineFeed = false;
    if (this.#bytes[this.#position] === lf) this.#position += 1;
  }
}

/**
 * Removes Telnet commands from the stream (RFC 854, RFC 959 5.3). The DM of a Synch is sent as urgent data and lost, so the
 * first letter of a command can follow the IAC: only a byte from 0xF0 on belongs to an IAC.
 */
class TelnetFilter {
  #state: 'text' | 'after-iac' | 'option' = 'text';

  filter(chunk: Buffer): Buffer {
    if (this.#state === 'text' && chunk.indexOf(iac) < 0) return chunk;
    let length = 0;
    // In place, which is possible because the result is never longer.
    for (const byte of chunk) {
      if (this.#keeps(byte)) chunk[length++] = byte;
    }
    return chunk.subarray(0, length);
  }

  #keeps(byte: number): boolean {
    switch (this.#state) {
      case 'text':
        if (byte !== iac) return true;
        this.#state = 'after-iac';
        return false;
      case 'after-iac':
        // WILL, WONT, DO and DONT name an option in one more byte; a doubled IAC is the byte itself.
        this.#state = byte >= 0xfb && byte !== iac ? 'option' : 'text';
        return byte < 0xf0 || byte === iac;
      case 'option':
        this.#state = 'text';
        return false;
    }
  }
}
