/**
 * The interrupted uploads that this process has left in S3 to be resumed, as long as they can be. One that another process has
 * resumed or removed counts until its time is over, because only S3 knows of that.
 */
import { BoundedMap } from '../util/bounded-map.ts';

/** Far more than are left in one window, except by an attack; then the oldest are not counted any more. */
const maxUploads = 10_000;

export class KeptUploads {
  /** `performance.now()` at which the upload cannot be resumed any more, by upload id. */
  readonly #expiresAtMs = new BoundedMap<string, number>(maxUploads);

  /** @param windowMs how long the upload can be resumed from now on. */
  add(uploadId: string, windowMs: number): void {
    this.#expiresAtMs.delete(uploadId);
    this.#expiresAtMs.set(uploadId, performance.now() + windowMs);
  }

  /** The upload goes on, or was removed. */
  delete(uploadId: string): void {
    this.#expiresAtMs.delete(uploadId);
  }

  get count(): number {
    const nowMs = performance.now();
    let count = 0;
    for (const expiresAtMs of this.#expiresAtMs.values()) if (expiresAtMs > nowMs) count += 1;
    return count;
  }
}
