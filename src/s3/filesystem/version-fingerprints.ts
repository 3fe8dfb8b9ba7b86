/** A set of object versions that takes eight bytes each, for directories of millions of files. */
import { hash } from 'node:crypto';

/**
 * Filled first, queried afterwards. Among ten million versions the probability of two with the same fingerprint is one in 370,000;
 * then the worst case is that an object written during a rename is mistaken for one that was copied.
 */
export class VersionFingerprints {
  #fingerprints = new BigUint64Array(1024);
  #size = 0;
  #sorted = true;

  /** Adds a version; adding one twice is harmless. */
  add(key: string, etag: string): void {
    if (this.#size === this.#fingerprints.length) {
      const larger = new BigUint64Array(this.#size * 2);
      larger.set(this.#fingerprints);
      this.#fingerprints = larger;
    }
    this.#fingerprints[this.#size++] = fingerprintOf(key, etag);
    this.#sorted = false;
  }

  /** Whether the version was added. */
  has(key: string, etag: string): boolean {
    if (!this.#sorted) this.#fingerprints.subarray(0, this.#size).sort();
    this.#sorted = true;
    const wanted = fingerprintOf(key, etag);
    let [low, high] = [0, this.#size];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#fingerprints[middle] ?? 0n) < wanted) low = middle + 1;
      else high = middle;
    }
    return low < this.#size && this.#fingerprints[low] === wanted;
  }
}

function fingerprintOf(key: string, etag: string): bigint {
  return hash('sha1', `${key}\0${etag}`, 'buffer').readBigUInt64LE(0);
}
