/**
 * Which lines the log still takes while standard output is slower than the events. Lines that an audit needs have half of the buffer
 * for themselves, so that no flood of other lines displaces them. Pure.
 */

export class LineBuffer {
  readonly #maxBytes: number;
  #bytes = 0;
  #dropped = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Counts what is written; returns false for what is to be dropped, so many lines. */
  admit(bytes: number, isAudit: boolean, lines = 1): boolean {
    const limit = isAudit ? this.#maxBytes : this.#maxBytes / 2;
    if (this.#bytes + bytes > limit) {
      this.#dropped += lines;
      return false;
    }
    this.#bytes += bytes;
    return true;
  }

  /** The system has taken so many bytes. */
  written(bytes: number): void {
    this.#bytes = Math.max(0, this.#bytes - bytes);
  }

  /** How many lines were dropped since the last call. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }
}
