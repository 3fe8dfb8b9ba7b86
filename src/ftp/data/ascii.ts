/**
 * TYPE A (RFC 959 3.1.1.1): lines end in CR LF on the wire and in LF in the file. Both directions convert chunk by chunk and
 * remember one byte between chunks; a chunk that needs no change is returned without a copy. Pure.
 */

const cr = 0x0d;
const lf = 0x0a;
const nothing = new Uint8Array(0);

/** Received bytes to file bytes: CR LF becomes LF; a CR without LF is kept. */
export class AsciiDecoder {
  #heldCr = false;

  decode(bytes: Uint8Array): Uint8Array {
    const first = bytes.indexOf(cr);
    if (first === -1 && !this.#heldCr) return bytes;
    const decoded = new Uint8Array(bytes.length + 1);
    let length = 0;
    if (this.#heldCr && bytes[0] !== lf && bytes.length > 0) decoded[length++] = cr;
    else if (bytes.length === 0) return nothing;
    for (let index = 0; index < bytes.length; index += 1) {
      const byte = bytes[index] ?? 0;
      const beforeLf = byte === cr && (index + 1 === bytes.length || bytes[index + 1] === lf);
      if (!beforeLf) decoded[length++] = byte;
    }
    this.#heldCr = bytes[bytes.length - 1] === cr;
    return decoded.subarray(0, length);
  }

  /** A CR at the end of the last chunk, held back until now. */
  end(): Uint8Array {
    const held = this.#heldCr;
    this.#heldCr = false;
    return held ? Uint8Array.of(cr) : nothing;
  }
}

/** File bytes to sent bytes: LF becomes CR LF; an LF after a CR stays as it is. */
export class AsciiEncoder {
  #lastWasCr = false;

  encode(bytes: Uint8Array): Uint8Array {
    if (bytes.length === 0) return bytes;
    const missing = this.#countBareLf(bytes);
    const lastWasCr = this.#lastWasCr;
    this.#lastWasCr = bytes[bytes.length - 1] === cr;
    if (missing === 0) return bytes;
    const encoded = new Uint8Array(bytes.length + missing);
    let length = 0;
    let previous = lastWasCr ? cr : 0;
    for (const byte of bytes) {
      if (byte === lf && previous !== cr) encoded[length++] = cr;
      encoded[length++] = byte;
      previous = byte;
    }
    return encoded;
  }

  #countBareLf(bytes: Uint8Array): number {
    let count = 0;
    for (let at = bytes.indexOf(lf); at !== -1; at = bytes.indexOf(lf, at + 1)) {
      const previousIsCr = at === 0 ? this.#lastWasCr : bytes[at - 1] === cr;
      if (!previousIsCr) count += 1;
    }
    return count;
  }
}

/** Encodes a stream of file bytes. */
export async function* encodeAscii(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const encoder = new AsciiEncoder();
  for await (const bytes of content) yield encoder.encode(bytes);
}
