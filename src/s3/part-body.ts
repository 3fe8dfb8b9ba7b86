/** The bytes of one part as the body of one HTTP request. A retry makes a new body over the same bytes. */
import { Readable } from 'node:stream';

// As much as is handed to the socket at once: enough to fill a send buffer, little enough that the encrypted copy of
// what waits there stays small beside the part itself.
const stepBytes = 256 * 1024;

export class PartBody extends Readable {
  /** Never written to while a request may still send them. */
  readonly pieces: readonly Uint8Array[];
  #next = 0;

  constructor(pieces: readonly Uint8Array[]) {
    super({ highWaterMark: stepBytes });
    this.pieces = pieces;
  }

  override _read(sizeBytes: number): void {
    let pushedBytes = 0;
    while (pushedBytes < sizeBytes) {
      const piece = this.pieces[this.#next];
      if (!piece) {
        this.push(null);
        return;
      }
      this.#next++;
      pushedBytes += piece.byteLength;
      this.push(piece);
    }
  }
}

/** A body over the pieces. What is short is joined: one write for head and body, and the SDK's own quick retries. */
export function bodyOf(pieces: readonly Uint8Array[], sizeBytes: number): Uint8Array | PartBody {
  if (pieces.length === 1 && pieces[0] && sizeBytes <= stepBytes) return pieces[0];
  return sizeBytes <= stepBytes ? Buffer.concat(pieces, sizeBytes) : new PartBody(pieces);
}
