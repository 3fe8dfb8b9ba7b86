/** A buffer that an upload lends to its data connection. */
import type { ReceiveBuffer } from '../../filesystem/filesystem.ts';

/** Records when bytes were received. */
export class LentBuffer implements ReceiveBuffer {
  readonly bytes: Buffer;
  /** `performance.now()` when bytes were last added, or as given. */
  lastReceivedAtMs: number;
  #usedBytes = 0;

  constructor(bytes: Buffer, lastReceivedAtMs: number) {
    this.bytes = bytes;
    this.lastReceivedAtMs = lastReceivedAtMs;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  set usedBytes(usedBytes: number) {
    this.#usedBytes = usedBytes;
    this.lastReceivedAtMs = performance.now();
  }
}
