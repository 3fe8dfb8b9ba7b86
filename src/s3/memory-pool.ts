/**
 * One limit of transfer memory, that of the process or of one user, and the question on which each grant depends: whether the
 * parts that are being filled could still be completed afterwards (Dijkstra's banker's algorithm). Parts in flight are released
 * without their clients and count as free. Pure.
 */

/** A part that is being filled. */
export type FillingPart = {
  /** Bytes that it holds. */
  fillingBytes: number;
  /** Bytes that it must be able to reach before it may be sent. */
  claimBytes: number;
};

export class MemoryPool {
  readonly limitBytes: number;
  /** Bytes of the parts that are being filled. */
  fillingBytes = 0;
  /** Bytes that downloads have read ahead, held for as long as their clients are slow. */
  readAheadBytes = 0;
  /** Uploads and downloads that count against the limit. */
  references = 0;
  readonly #parts = new Set<FillingPart>();
  /** The same parts by need, smallest first; undefined after a change. */
  #byNeed: FillingPart[] | undefined;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get parts(): Iterable<FillingPart> {
    return this.#parts;
  }

  /** Bytes that neither parts being filled nor downloads hold. */
  get availableBytes(): number {
    return this.limitBytes - this.readAheadBytes - this.fillingBytes;
  }

  /** Call it after the part was granted bytes. */
  filled(part: FillingPart, bytes: number): void {
    this.fillingBytes += bytes;
    this.#parts.add(part);
    this.#byNeed = undefined;
  }

  /** Call it before the part's bytes are reset: it was sent, or its upload is over. */
  emptied(part: FillingPart): void {
    this.fillingBytes -= part.fillingBytes;
    this.#parts.delete(part);
    this.#byNeed = undefined;
  }

  /**
   * Whether, after granting the part these bytes, there is an order in which every part being filled reaches its claim, is sent,
   * and releases its memory for the next one. If there is any such order, the one by need, smallest first, is one.
   * @param largestClaimBytes no claim exceeds it: with that much available any part can be completed next.
   */
  isSafe(part: FillingPart, bytes: number, largestClaimBytes: number): boolean {
    let available = this.availableBytes - bytes;
    if (available < 0) return false;
    if (available >= largestClaimBytes) return true;
    const held = part.fillingBytes + bytes;
    const need = Math.max(0, part.claimBytes - held);
    let isCounted = false;
    for (const other of this.#sorted()) {
      if (other === part) continue;
      const otherNeed = needOf(other);
      if (!isCounted && need <= otherNeed) {
        if (need > available) return false;
        available += held;
        isCounted = true;
      }
      if (otherNeed > available) return false;
      available += other.fillingBytes;
    }
    return isCounted || need <= available;
  }

  #sorted(): readonly FillingPart[] {
    this.#byNeed ??= [...this.#parts].sort((one, other) => needOf(one) - needOf(other));
    return this.#byNeed;
  }
}

function needOf({ claimBytes, fillingBytes }: FillingPart): number {
  return Math.max(0, claimBytes - fillingBytes);
}
