/**
 * The memory budget for the transfers of the process. Uploads hold a part until S3 has confirmed it; downloads read ahead with the
 * memory that uploads do not use. An upload that cannot reserve memory blocks, and TCP backpressure slows its client. No transfer
 * fails for lack of memory, except an upload whose client sends next to nothing while others wait.
 *
 * No upload may wait forever, so memory is granted only if afterwards the parts being filled can still be completed one after
 * another, within the budget and within the share of their user. See docs/decisions/0003-transfer-memory.md.
 */
import { addAbortListener } from 'node:events';
import { MemoryPool, type FillingPart } from './memory-pool.ts';
import { partBufferBytes, PartBuffers } from './part-buffers.ts';
import { SilenceWatch, type UploadClient } from './silent-uploads.ts';

/** An upload, and its part that is being filled. */
type Account = FillingPart & {
  /** The limit of its user. */
  readonly share: MemoryPool;
  readonly client: UploadClient | undefined;
  /** Orders the parts being filled by the time of their first byte; the oldest has the smallest number. */
  order: number;
  isWaiting: boolean;
};

type Waiter = {
  readonly account: Account;
  readonly bytes: number;
  readonly grant: () => void;
  /** The limit that the last attempt to serve it has met. */
  blockedBy: MemoryPool | undefined;
};

/** The memory of one upload. One part is filled at a time; any number may be in flight. */
export type UploadMemory = {
  /** Reserves memory for the part being filled, if it is available now. */
  tryReserve(bytes: number): boolean;
  /** Waits for the memory; the oldest part is served first. Rejects with the signal's reason. */
  reserve(bytes: number, signal: AbortSignal): Promise<void>;
  /** A buffer, and its memory as by `tryReserve`; undefined if that is not available now. */
  tryTakeBuffer(): Buffer | undefined;
  /** Releases memory of the part being filled that it does not use. */
  release(bytes: number): void;
  /**
   * Ends the filling of a part: its memory is in flight until the returned, idempotent function releases it.
   * @param keptBytes what is not sent with the part, and belongs to the next one.
   */
  send(nextClaimBytes: number, keptBytes?: number): () => void;
  /** Releases the memory of the part being filled. Parts in flight are released by their own functions. */
  close(): void;
};

export type UploadMemoryOptions = {
  /** Whose share holds the memory. */
  readonly user: string;
  /** What the first part must be able to hold before it may be sent, in bytes; at most half of the budget. */
  readonly claimBytes: number;
  /** Where memory is taken back from if the client falls silent; an upload without a client is left alone. */
  readonly client?: UploadClient | undefined;
};

/** Smallest budget in bytes that can hold one part being filled and one in flight. */
export const minBudgetBytes = 16 * 1024 * 1024;

/** How long a client may send next to nothing while other uploads wait for the memory that its upload holds. */
export const maxSilenceMs = 30_000;

/** Idle buffers that are kept while nothing is uploaded. */
const maxIdleBytes = 16 * 1024 * 1024;

export class TransferMemory {
  readonly budgetBytes: number;
  readonly #buffers = new PartBuffers();
  #openUploads = 0;
  readonly #total: MemoryPool;
  /** By user, while they have uploads or downloads. */
  readonly #shares = new Map<string, MemoryPool>();
  readonly #silence: SilenceWatch<Account>;
  #inFlightBytes = 0;
  #nextOrder = 0;
  #largestClaimBytes = 0;
  /** Oldest part first. */
  #waiters: Waiter[] = [];

  /** @throws RangeError for a budget below 16 MiB. */
  constructor(budgetBytes: number, silenceMs = maxSilenceMs) {
    if (!(budgetBytes >= minBudgetBytes)) {
      throw new RangeError(`transfer memory of ${budgetBytes} bytes; at least ${minBudgetBytes} are needed`);
    }
    this.budgetBytes = budgetBytes;
    this.#total = new MemoryPool(budgetBytes);
    this.#silence = new SilenceWatch(silenceMs, () => this.#pressure());
  }

  /** Bytes held by all transfers now; 0 when none runs. */
  get heldBytes(): number {
    return this.#total.fillingBytes + this.#inFlightBytes + this.#total.readAheadBytes;
  }

  /** Bytes of buffers that no transfer uses at the moment. Together with `heldBytes` at most the budget. */
  get idleBytes(): number {
    return this.#buffers.idleBytes;
  }

  /** Takes back a buffer from `tryTakeBuffer` whose memory is released. Nothing may read from it or write to it any more. */
  giveBackBuffer(buffer: Buffer): void {
    this.#buffers.giveBack(buffer);
    this.#limitIdleBuffers();
  }

  /** Uploads that wait for memory now, their clients slowed by TCP backpressure. */
  get waitingUploads(): number {
    return this.#waiters.length;
  }

  /**
   * What parts being filled and downloads of one user may hold together: half of the budget. Parts in flight do not count, because
   * they are released without the client.
   */
  get shareBytes(): number {
    return Math.floor(this.budgetBytes / 2);
  }

  openUpload({ user, claimBytes, client }: UploadMemoryOptions): UploadMemory {
    const share = this.#openShare(user);
    this.#openUploads += 1;
    const closeShare = once(() => {
      this.#openUploads -= 1;
      this.#closeShare(user, share);
    });
    const account: Account = {
      share,
      client,
      fillingBytes: 0,
      claimBytes: this.#checkedClaim(claimBytes),
      order: 0,
      isWaiting: false,
    };
    const tryReserve = (bytes: number): boolean => {
      this.#startPart(account);
      if (this.#mustQueue(account) || this.#limitMetBy(account, bytes)) return false;
      this.#grant(account, bytes);
      return true;
    };
    return {
      tryReserve,
      tryTakeBuffer: () => (tryReserve(partBufferBytes) ? this.#buffers.take() : undefined),
      reserve: (bytes, signal) => {
        this.#startPart(account);
        return this.#wait(account, bytes, signal);
      },
      release: (bytes) => {
        const keptBytes = this.#emptyPart(account) - bytes;
        if (keptBytes > 0) this.#grant(account, keptBytes);
        this.#serve();
      },
      send: (nextClaimBytes, keptBytes = 0) => {
        const bytes = this.#emptyPart(account) - keptBytes;
        this.#inFlightBytes += bytes;
        account.claimBytes = this.#checkedClaim(nextClaimBytes);
        if (keptBytes > 0) {
          this.#startPart(account);
          this.#grant(account, keptBytes);
        }
        // Memory in flight is released without the client, so it counts as free when safety is checked.
        this.#serve();
        return once(() => {
          this.#inFlightBytes -= bytes;
          this.#serve();
        });
      },
      close: () => {
        this.#emptyPart(account);
        closeShare();
        this.#limitIdleBuffers();
        this.#serve();
      },
    };
  }

  /**
   * Reserves memory for reading ahead, which a download can do without and never waits for. It is available while all transfers
   * together hold at most half of the budget, no upload waits for the budget, and any part of the same user could still be
   * completed within their share. Returns the function that releases it; undefined where none is available.
   */
  tryReadAhead(user: string, bytes: number): (() => void) | undefined {
    if (this.#isBudgetAwaited) return undefined;
    if (this.heldBytes + bytes > this.budgetBytes / 2) return undefined;
    const share = this.#openShare(user);
    if (share.availableBytes - bytes < this.#largestClaimBytes) {
      this.#closeShare(user, share);
      return undefined;
    }
    for (const pool of [share, this.#total]) pool.readAheadBytes += bytes;
    this.#limitIdleBuffers();
    return once(() => {
      for (const pool of [share, this.#total]) pool.readAheadBytes -= bytes;
      this.#closeShare(user, share);
      this.#serve();
    });
  }

  #checkedClaim(claimBytes: number): number {
    // Downloads may hold the other half for as long as their clients are slow.
    if (claimBytes > this.shareBytes) {
      throw new RangeError(`a part of ${claimBytes} bytes in ${this.budgetBytes} bytes of transfer memory`);
    }
    this.#largestClaimBytes = Math.max(this.#largestClaimBytes, claimBytes);
    return claimBytes;
  }

  #openShare(user: string): MemoryPool {
    const share = this.#shares.get(user) ?? new MemoryPool(this.shareBytes);
    this.#shares.set(user, share);
    share.references += 1;
    return share;
  }

  #closeShare(user: string, share: MemoryPool): void {
    share.references -= 1;
    if (share.references === 0) this.#shares.delete(user);
  }

  // The age of a part is that of its first byte: an upload that sent nothing for long has not waited.
  #startPart(account: Account): void {
    if (account.fillingBytes === 0) account.order = this.#nextOrder++;
  }

  #grant(account: Account, bytes: number): void {
    account.fillingBytes += bytes;
    account.share.filled(account, bytes);
    this.#total.filled(account, bytes);
    this.#limitIdleBuffers();
  }

  #limitIdleBuffers(): void {
    if (this.#buffers.idleBytes === 0) return;
    const freeBytes = this.budgetBytes - this.heldBytes;
    this.#buffers.limitIdle(this.#openUploads > 0 ? freeBytes : Math.min(freeBytes, maxIdleBytes));
  }

  #emptyPart(account: Account): number {
    const bytes = account.fillingBytes;
    account.share.emptied(account);
    this.#total.emptied(account);
    account.fillingBytes = 0;
    return bytes;
  }

  /** Whether an older part must be served before this one. Those that only wait for another user's share need not be. */
  #mustQueue(account: Account): boolean {
    return this.#waiters.some(
      ({ blockedBy, account: { share } }) => blockedBy === this.#total || share === account.share,
    );
  }

  get #isBudgetAwaited(): boolean {
    return this.#waiters.some(({ blockedBy }) => blockedBy === this.#total);
  }

  /** The limit because of which the bytes cannot be granted now. */
  #limitMetBy(account: Account, bytes: number): MemoryPool | undefined {
    if (!account.share.isSafe(account, bytes, this.#largestClaimBytes)) return account.share;
    const isFree = this.budgetBytes - this.heldBytes >= bytes;
    return isFree && this.#total.isSafe(account, bytes, this.#largestClaimBytes) ? undefined : this.#total;
  }

  async #wait(account: Account, bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const abortListener = addAbortListener(signal, () => {
      this.#remove(waiter);
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
      blockedBy: undefined,
    };
    const place = this.#waiters.findLastIndex((other) => other.account.order <= account.order) + 1;
    this.#waiters.splice(place, 0, waiter);
    account.isWaiting = true;
    // The others were not served when memory was last released, and it has not become more.
    this.#tryToServe(waiter);
    this.#silence.watch(this.#waiters.length > 0);
    await promise;
  }

  #remove(waiter: Waiter): void {
    this.#waiters = this.#waiters.filter((other) => other !== waiter);
    waiter.account.isWaiting = false;
    this.#silence.watch(this.#waiters.length > 0);
  }

  // The oldest part first; a younger one is served before it only where serving the older one would be unsafe.
  #serve(): void {
    let hasServed = this.#waiters.length > 0;
    while (hasServed) {
      hasServed = false;
      for (const waiter of [...this.#waiters]) hasServed = this.#tryToServe(waiter) || hasServed;
    }
  }

  #tryToServe(waiter: Waiter): boolean {
    const { account, bytes, grant } = waiter;
    waiter.blockedBy = this.#limitMetBy(account, bytes);
    if (waiter.blockedBy) return false;
    this.#remove(waiter);
    this.#grant(account, bytes);
    grant();
    return true;
  }

  /** For the silence watch: the parts whose memory would help an upload that waits, and how much each limit lacks. */
  #pressure() {
    const missingBytes = new Map<MemoryPool, number>();
    for (const { account, bytes, blockedBy } of this.#waiters) {
      if (!blockedBy) continue;
      const need = Math.max(bytes, account.claimBytes - account.fillingBytes);
      missingBytes.set(blockedBy, (missingBytes.get(blockedBy) ?? -blockedBy.availableBytes) + need);
    }
    return { holders: this.#total.parts as Iterable<Account>, missingBytes, total: this.#total };
  }
}

function once(release: () => void): () => void {
  let isReleased = false;
  return () => {
    if (isReleased) return;
    isReleased = true;
    release();
  };
}
