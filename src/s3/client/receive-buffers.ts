/**
 * Buffers that sockets receive into, reused as soon as nothing reads from them. Allocating one for each TLS record, as Node.js does by
 * default, makes V8 collect garbage for a third of the CPU time of a download. See docs/decisions/0021-downloads-into-reused-buffers.md.
 *
 * A buffer is handed out in parts, as views. A consumer recycles a view when nothing reads from it any longer; when all views are
 * recycled and the connection has gone on to another buffer, it is used again. What is not recycled is left to the garbage collector.
 */

/** Large ones are for large bodies, small ones for heads and small bodies, and for idle connections. */
export type BufferSize = 'large' | 'small';

export const bufferBytes: Readonly<Record<BufferSize, number>> = { large: 256 * 1024, small: 16 * 1024 };

/** Unused buffers that are retained; enough for the turnover of many parallel downloads. */
const maxRetainedBytes = 16 * 1024 * 1024;

/** A buffer that one connection receives into. */
export type ReceiveBuffer = {
  readonly size: BufferSize;
  readonly bytes: Buffer;
  /** Views that were not recycled. */
  views: number;
  isInUse: boolean;
};

export class ReceiveBuffers {
  readonly #retained: Readonly<Record<BufferSize, Buffer[]>> = { large: [], small: [] };
  #retainedBytes = 0;
  readonly #owners = new WeakMap<Uint8Array, ReceiveBuffer>();

  /** Bytes of unused buffers. */
  get retainedBytes(): number {
    return this.#retainedBytes;
  }

  /** A buffer to receive into, until `close`. Its content is arbitrary. */
  take(size: BufferSize): ReceiveBuffer {
    const reused = this.#retained[size].pop();
    if (reused) this.#retainedBytes -= reused.byteLength;
    return { size, bytes: reused ?? Buffer.allocUnsafeSlow(bufferBytes[size]), views: 0, isInUse: true };
  }

  /** The bytes from `from` up to `to`. The buffer is not reused before the view was recycled. */
  view(buffer: ReceiveBuffer, from: number, to: number): Buffer {
    const view = buffer.bytes.subarray(from, to);
    buffer.views++;
    this.#owners.set(view, buffer);
    return view;
  }

  /** Nothing reads from this view any longer. Ignores what is no view of these buffers, or was recycled already. */
  recycle(view: Uint8Array): void {
    const buffer = this.#owners.get(view);
    if (!buffer) return;
    this.#owners.delete(view);
    buffer.views--;
    this.#retainUnused(buffer);
  }

  /** No socket receives into the buffer any longer. */
  close(buffer: ReceiveBuffer): void {
    buffer.isInUse = false;
    this.#retainUnused(buffer);
  }

  #retainUnused({ size, bytes, views, isInUse }: ReceiveBuffer): void {
    if (views > 0 || isInUse || this.#retainedBytes + bytes.byteLength > maxRetainedBytes) return;
    this.#retained[size].push(bytes);
    this.#retainedBytes += bytes.byteLength;
  }
}
