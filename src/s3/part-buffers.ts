/**
 * Buffers that uploads are received into and parts are sent from, one after another: allocating them for each read would force V8
 * to collect garbage all the time. Buffers in use are charged to the transfer memory; idle ones may be as many as the budget has
 * left, so that both together never exceed it.
 */

/** 32 of them are a part of 8 MiB. Larger ones gained nothing in measurements, smaller ones cost CPU time. */
export const partBufferBytes = 256 * 1024;

export class PartBuffers {
  readonly #idle: Buffer[] = [];

  /** Bytes of the buffers that wait to be used again. */
  get idleBytes(): number {
    return this.#idle.length * partBufferBytes;
  }

  /** A buffer with arbitrary content. */
  take(): Buffer {
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(partBufferBytes);
  }

  /** Takes a buffer back. Nothing may read from it or write to it any more. */
  giveBack(buffer: Buffer): void {
    this.#idle.push(buffer);
  }

  /** Frees idle buffers beyond that many bytes immediately: to the garbage collector each looks like a hundred bytes. */
  limitIdle(maxBytes: number): void {
    while (this.idleBytes > Math.max(0, maxBytes)) (this.#idle.pop()?.buffer as ArrayBuffer).transfer(0);
  }
}
