/**
 * The one budget of buffers of the process. Uploads keep a part here until S3 has confirmed it; downloads read ahead with
 * what uploads leave. Who gets nothing waits, and TCP makes the client wait: nobody fails for want of memory.
 *
 * Waiting must never last for ever, so memory is granted as in Dijkstra's banker's algorithm: only if afterwards the
 * parts being filled can still be filled one after the other. See docs/decisions/0003-transfer-memory.md.
 */

type Account = {
  /** Bytes of the part being filled. */
  fillingBytes: number;
  /** Bytes the part must be able to reach before it may be sent. */
  claimBytes: number;
  /** Age of the part being filled: the smaller, the older. */
  turn: number;
};

type Waiter = {
  readonly account: Account;
  readonly bytes: number;
  readonly grant: () => void;
};

/** What an upload holds. One part is filled at a time; any number may be in flight. */
export type UploadMemory = {
  /** Takes memory for the part being filled, if it can be had at once. */
  tryReserve(bytes: number): boolean;
  /** Takes it when it is this upload's turn; the oldest part comes first. Rejects with the signal's reason. */
  reserve(bytes: number, signal: AbortSignal): Promise<void>;
  /** Ends the filling of a part: its memory is now in flight, until the returned function gives it back. Idempotent. */
  send(nextClaimBytes: number): () => void;
  /** Gives back what the part being filled holds. Parts in flight are given back by their own functions. */
  close(): void;
};

/** Smallest budget in bytes that can hold one part being filled and one in flight. */
export const minBudgetBytes = 16 * 1024 * 1024;

export class TransferMemory {
  readonly budgetBytes: number;
  #uploadBytes = 0;
  #fillingBytes = 0;
  #readAheadBytes = 0;
  #turn = 0;
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

  /** Uploads that wait for memory now, their clients held back by TCP. */
  get waitingUploads(): number {
    return this.#waiters.length;
  }

  /** @param claimBytes what the first part must be able to hold before it may be sent; at most half of the budget. */
  openUpload(claimBytes: number): UploadMemory {
    const account: Account = { fillingBytes: 0, claimBytes: this.#checkedClaim(claimBytes), turn: 0 };
    return {
      tryReserve: (bytes) => {
        this.#takeTurn(account);
        if (this.#waiters.length > 0 || !this.#isSafe(account, bytes)) return false;
        this.#grant(account, bytes);
        return true;
      },
      reserve: (bytes, signal) => {
        this.#takeTurn(account);
        return this.#wait(account, bytes, signal);
      },
      send: (nextClaimBytes) => {
        const bytes = account.fillingBytes;
        this.#emptied(account);
        account.claimBytes = this.#checkedClaim(nextClaimBytes);
        // What is in flight comes back by itself, so it counts as free when safety is judged.
        this.#serve();
        return this.#giveBackOnce(bytes);
      },
      close: () => {
        const bytes = account.fillingBytes;
        this.#emptied(account);
        this.#giveBackOnce(bytes)();
      },
    };
  }

  /**
   * Memory for reading ahead: a download never waits for it and never needs it. At most half of the budget goes to
   * downloads, and none while an upload waits. Undefined where there is none; else the function that gives it back.
   */
  tryReadAhead(bytes: number): (() => void) | undefined {
    if (this.#waiters.length > 0) return undefined;
    if (this.#readAheadBytes + bytes > this.budgetBytes / 2) return undefined;
    if (this.heldBytes + bytes > this.budgetBytes / 2) return undefined;
    this.#readAheadBytes += bytes;
    let given = false;
    return () => {
      if (given) return;
      given = true;
      this.#readAheadBytes -= bytes;
      this.#serve();
    };
  }

  #checkedClaim(claimBytes: number): number {
    // Downloads may hold the other half for as long as their clients please.
    if (claimBytes > this.budgetBytes / 2) {
      throw new RangeError(`a part of ${claimBytes} bytes in ${this.budgetBytes} bytes of transfer memory`);
    }
    this.#largestClaimBytes = Math.max(this.#largestClaimBytes, claimBytes);
    return claimBytes;
  }

  // A part is as old as its first byte; an upload that was silent for long has not waited for its turn.
  #takeTurn(account: Account): void {
    if (account.fillingBytes === 0) account.turn = this.#turn++;
  }

  #grant(account: Account, bytes: number): void {
    account.fillingBytes += bytes;
    this.#filling.add(account);
    this.#fillingBytes += bytes;
    this.#uploadBytes += bytes;
  }

  #emptied(account: Account): void {
    this.#fillingBytes -= account.fillingBytes;
    account.fillingBytes = 0;
    this.#filling.delete(account);
  }

  #giveBackOnce(bytes: number): () => void {
    let given = false;
    return () => {
      if (given) return;
      given = true;
      this.#uploadBytes -= bytes;
      this.#serve();
    };
  }

  #wait(account: Account, bytes: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        reject(signal.reason as Error);
        this.#serve();
      };
      const waiter: Waiter = {
        account,
        bytes,
        grant: () => {
          signal.removeEventListener('abort', leave);
          resolve();
        },
      };
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      signal.addEventListener('abort', leave, { once: true });
      this.#waiters.push(waiter);
      this.#waiters.sort((one, other) => one.account.turn - other.account.turn);
      this.#serve();
    });
  }

  // The oldest part first; a younger one is served before it only where the older would make the state unsafe.
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
   * Whether, after this grant, there is an order in which every part being filled reaches its claim, is sent, and gives
   * its memory back for the next one. With the smallest need first, there is an order if and only if this one works.
   */
  #isSafe(account: Account, bytes: number): boolean {
    const free = this.budgetBytes - this.heldBytes - bytes;
    if (free < 0) return false;
    // Whoever comes next can finish: no need to look for an order.
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
    // Uploads' parts in flight come back; what downloads hold may be held for long.
    let available = this.budgetBytes - this.#readAheadBytes - this.#fillingBytes - bytes;
    for (const { held, need } of needs) {
      if (need > available) return false;
      available += held;
    }
    return true;
  }
}
