/**
 * Takes transfer memory back from uploads whose clients have fallen silent, while other uploads wait for it. Such an upload sends
 * what it holds, if that is enough for a part; one that holds less is ended. An upload whose memory helps no waiting one is left
 * alone, and so is one that waits for S3 or for memory itself.
 */
import type { FillingPart, MemoryPool } from './memory-pool.ts';

/** What the memory budget asks of an upload. */
export type UploadClient = {
  /** Bytes that the client has sent so far. */
  readonly receivedBytes: number;
  /** Whether the upload waits for its client, and for nothing else. */
  readonly isAwaited: boolean;
  /** Sends the part that is being filled, if S3 accepts one of its size. */
  sendEarly(): void;
  /** Ends the upload: its client has sent next to nothing for that long. */
  endSilent(silentMs: number): void;
};

/** A part that is being filled, as the watch sees it. */
export type Holder = FillingPart & {
  readonly share: MemoryPool;
  readonly client: UploadClient | undefined;
  readonly isWaiting: boolean;
};

/** What uploads wait for. */
export type Pressure<Held extends Holder> = {
  readonly holders: Iterable<Held>;
  /** By the limit that blocks them, that of the process or of a user: bytes that the waiting uploads lack. */
  readonly missingBytes: ReadonlyMap<MemoryPool, number>;
  /** The limit of the process. */
  readonly total: MemoryPool;
};

/** A client that sends less than this within the limit of silence counts as silent, or one byte now and then would be enough. */
const minProgressBytes = 64 * 1024;
const checksPerSilence = 30;

type Silence = { readonly sinceMs: number; readonly receivedBytes: number };

export class SilenceWatch<Held extends Holder> {
  readonly #maxSilenceMs: number;
  readonly #pressure: () => Pressure<Held>;
  #silences = new Map<Held, Silence>();
  #timer: NodeJS.Timeout | undefined;

  /** @param pressure what uploads wait for at the time of a check. */
  constructor(maxSilenceMs: number, pressure: () => Pressure<Held>) {
    this.#maxSilenceMs = maxSilenceMs;
    this.#pressure = pressure;
  }

  /** Watches while uploads wait. What happened before does not count. */
  watch(doUploadsWait: boolean): void {
    if (doUploadsWait) {
      this.#timer ??= setInterval(() => this.#check(), this.#maxSilenceMs / checksPerSilence).unref();
      return;
    }
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#silences.clear();
  }

  #check(): void {
    const nowMs = performance.now();
    const pressure = this.#pressure();
    const silences = new Map<Held, Silence>();
    for (const holder of [...pressure.holders]) {
      const silence = this.#silenceOf(holder, pressure, nowMs);
      if (!silence) continue;
      if (silence.sinceMs < nowMs) holder.client?.sendEarly();
      if (holder.fillingBytes > 0) silences.set(holder, silence);
    }
    this.#silences = silences;
    this.#endLongest(pressure, nowMs);
  }

  #silenceOf(holder: Held, { missingBytes, total }: Pressure<Held>, nowMs: number): Silence | undefined {
    const { client } = holder;
    if (!client?.isAwaited || holder.isWaiting) return undefined;
    if (!missingBytes.has(total) && !missingBytes.has(holder.share)) return undefined;
    const { receivedBytes } = client;
    const silence = this.#silences.get(holder);
    if (silence && receivedBytes - silence.receivedBytes < minProgressBytes) return silence;
    return { sinceMs: nowMs, receivedBytes };
  }

  /** Ends the uploads that have been silent for longest, as many as the waiting ones need. */
  #endLongest({ missingBytes, total }: Pressure<Held>, nowMs: number): void {
    const missing = new Map(missingBytes);
    const longestFirst = [...this.#silences]
      .filter(([, { sinceMs }]) => nowMs - sinceMs >= this.#maxSilenceMs)
      .sort(([, one], [, other]) => one.sinceMs - other.sinceMs);
    for (const [holder, { sinceMs }] of longestFirst) {
      const limits = [total, holder.share];
      if (!limits.some((limit) => (missing.get(limit) ?? 0) > 0)) continue;
      for (const limit of limits) missing.set(limit, (missing.get(limit) ?? 0) - holder.fillingBytes);
      this.#silences.delete(holder);
      holder.client?.endSilent(nowMs - sinceMs);
    }
  }
}
