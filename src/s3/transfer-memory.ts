/**
 * The memory budget for the transfers of the process. Uploads hold a part until S3 has confirmed it; downloads read ahead with the
 * memory that uploads do not use. An upload that cannot reserve memory blocks, and TCP backpressure slows its client. No transfer
 * fails for lack of memory.
 *
 * No upload may wait forever, so memory is granted as in Dijkstra's banker's algorithm: only if afterwards the parts being
 * filled can still be completed one after another. See docs/decisions/0003-transfer-memory.md.
 */
import { addAbortListener } from 'node:events';

type Account = {
  /** Bytes of the part being filled. */
  fillingBytes: number;
  /** Bytes the part must be able to reach before it may be sent. */
  claimBytes: number;
  /** Orders the parts being filled by the time of their first byte; the oldest has the smallest number. */
  order: number;
};

type Waiter = {
  readonly account: Account;
  readonly bytes: number;
  readonly grant: () => void;
};

/** The memory of one upload. One part is filled at a time; any number may be in flight. */
export type UploadMemory = {
  /** Reserves memory for the part being filled, if it is available now. */
  tryReserve(bytes: number): boolean;
  /** Waits for the memory; the oldest part is served first. Rejects with the signal's reason. */
  reserve(bytes: number, signal: AbortSignal): Promise<void>;
  /** Ends the filling of a part: its memory is in flight until the returned, idempotent function releases it. */
  send(nextClaimBytes: number): () => void;
  /** Releases the memory of the part being filled. Parts in flight are released by their own functions. */
  close(): void;
};

/** Smallest budget in bytes that can hold one part being filled and one in flight. */
export const minBudgetBytes = 16 * 1024 * 1024;

export class TransferMemory {
  readonly budgetBytes: number;
  #uploadBytes = 0;
  #fillingBytes = 0;
  #readAheadBytes = 0;
  #nextOrder = 0;
  #largestClaimBytes = 0;
  readonly #filling = new Set<Account>();
  #waiters: Waiter[] = [];

  /** @throws RangeError for a budget below 16 MiB. */
  constructor(budgetBytes: number) {
    if (!(budgetBytes >= minBudgetBytes)) {
      throw new RangeError(`transfer memory of ${budgetBytes} bytes; at least ${minBudgetBytes} are needed`);
    }
    this.budgetBytes = budgetBytes;
  }

  /** Bytes held by all transfers now; 0 when none runs. */
  get heldBytes(): number {
    return this.#uploadBytes + this.#readAheadBytes;
  }

  /** Uploads that wait for memory now, their clients slowed by TCP backpressure. */
  get waitingUploads(): number {
    return this.#waiters.length;
  }

  /** @param claimBytes what the first part must be able to hold before it may be sent; at most half of the budget. */
  openUpload(claimBytes: number): UploadMemory {
    const account: Account = { fillingBytes: 0, claimBytes: this.#checkedClaim(claimBytes), order: 0 };
    return {
      tryReserve: (bytes) => {
        this.#startPart(account);
        if (this.#waiters.length > 0 || !this.#isSafe(account, bytes)) return false;
        this.#grant(account, bytes);
        return true;
      },
      reserve: (bytes, signal) => {
        this.#startPart(account);
        return this.#wait(account, bytes, signal);
      },
      send: (nextClaimBytes) => {
        const bytes = account.fillingBytes;
        this.#emptyPart(account);
        account.claimBytes = this.#checkedClaim(nextClaimBytes);
        // Memory in flight is released without the client, so it counts as free when safety is checked.
        this.#serve();
        return this.#releaseOnce(bytes);
      },
      close: () => {
        const bytes = account.fillingBytes;
        this.#emptyPart(account);
        this.#releaseOnce(bytes)();
      },
    };
  }

  /**
   * Reserves memory for reading ahead, which a download can do without and never waits for. It is available while all transfers
   * together hold at most half of the budget and no upload waits. Returns the function that releases it; undefined where none
   * is available.
   */
  tryReadAhead(bytes: number): (() => void) | undefined {
    if (this.#waiters.length > 0) return undefined;
    if (this.heldBytes + bytes > this.budgetBytes / 2) return undefined;
    this.#readAheadBytes += bytes;
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.#readAheadBytes -= bytes;
      this.#serve();
    };
  }

  #checkedClaim(claimBytes: number): number {
    // Downloads may hold the other half for as long as their clients are slow.
    if (claimBytes > this.budgetBytes / 2) {
      throw new RangeError(`a part of ${claimBytes} bytes in ${this.budgetBytes} bytes of transfer memory`);
    }
    this.#largestClaimBytes = Math.max(this.#largestClaimBytes, claimBytes);
    return claimBytes;
  }

  // The age of a part is that of its first byte: an upload that sent nothing for long has not waited.
  #startPart(account: Account): void {
    if (account.fillingBytes === 0) account.order = this.#nextOrder++;
  }

  #grant(account: Account, bytes: number): void {
    account.fillingBytes += bytes;
    this.#filling.add(account);
    this.#fillingBytes += bytes;
    this.#uploadBytes += bytes;
  }

  #emptyPart(account: Account): void {
    this.#fillingBytes -= account.fillingBytes;
    account.fillingBytes = 0;
    this.#filling.delete(account);
  }

  #releaseOnce(bytes: number): () => void {
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.#uploadBytes -= bytes;
      this.#serve();
    };
  }

  async #wait(account: Account, bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const abortListener = addAbortListener(signal, () => {
      this.#waiters = this.#waiters.filter((other) => other !== waiter);
      reject(signal.reason);
      this.#serve();
    });
    const waiter: Waiter = {
      account,
      bytes,
      grant: () => {
        abortListener[Symbol.dispose]();
        resolve(undefined);
      },
    };
    this.#waiters.push(waiter);
    this.#waiters.sort((one, other) => one.account.order - other.account.order);
    this.#serve();
    await promise;
  }

  // The oldest part first; a younger one is served before it only where serving the older one would be unsafe.
  #serve(): void {
    for (let index = 0; index < this.#waiters.length;) {
      const { account, bytes, grant } = this.#waiters[index] as Waiter;
      if (this.#isSafe(account, bytes)) {
        this.#waiters.splice(index, 1);
        this.#grant(account, bytes);
        grant();
        index = 0;
      } else index++;
    }
  }

  /**
   * Whether, after this grant, there is an order in which every part being filled reaches its claim, is sent, and releases its
   * memory for the next one. If there is any such order, the one by need, smallest first, is one.
   */
  #isSafe(account: Account, bytes: number): boolean {
    const free = this.budgetBytes - this.heldBytes - bytes;
    if (free < 0) return false;
    // Enough for any part to be completed next: no need to look for an order.
    if (free >= this.#largestClaimBytes) return true;
    const needs = [...this.#filling]
      .filter((other) => other !== account)
      .map((other) => ({
        held: other.fillingBytes,
        need: Math.max(0, other.claimBytes - other.fillingBytes),
      }));
    const held = account.fillingBytes + bytes;
    needs.push({ held, need: Math.max(0, account.claimBytes - held) });
    needs.sort((one, other) => one.need - other.need);
    // Parts in flight are released by themselves; downloads may hold their memory for long.
    let available = this.budgetBytes - this.#readAheadBytes - this.#fillingBytes - bytes;
    for (const { held, need } of needs) {
      if (need > available) return false;
      available += held;
    }
    return true;
  }
}
