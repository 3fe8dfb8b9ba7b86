/** The body of a response between the connection that receives it and its reader: a queue of bounded length that pauses the connection. */

/** Queued before a reader asks for it; the kernel's receive buffer holds about as much again. */
const maxQueuedBytes = 256 * 1024;

/** What a chunk takes besides its bytes, so that many tiny ones are bounded as well. */
const chunkOverheadBytes = 256;

/** The request of a body as `RequestMonitor` sees it. */
export type WatchedRequest = { waitingSinceMs: number };

/** The connection that a body comes from. */
export type BodySource = { pause(): void; resume(): void };

export class BodyQueue {
  readonly #source: BodySource;
  #chunks: Uint8Array[] = [];
  #queuedBytes = 0;
  #limitBytes = maxQueuedBytes;
  #isPaused = false;
  #isOver = false;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;
  #request: WatchedRequest | undefined;
  #onEnd: (() => void) | undefined;

  constructor(source: BodySource) {
    this.#source = source;
  }

  /** Nothing more comes, because the body is complete or because it failed. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether `read` would wait. */
  get isEmpty(): boolean {
    return this.#chunks.length === 0 && !this.#isOver;
  }

  /** Adds a chunk. The reader gets it after `wakeReader`. */
  push(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.#queuedBytes += bytes.byteLength + chunkOverheadBytes;
    if (this.#isPaused || this.#queuedBytes < this.#limitBytes) return;
    this.#isPaused = true;
    this.#source.pause();
  }

  wakeReader(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  /** The body is complete, or failed with `failure`; what is queued can still be read. */
  end(failure?: { readonly error: unknown }): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#failure = failure;
    this.#onEnd?.();
    this.wakeReader();
  }

  /** From now on the request shows since when its reader has been waiting. Ends it with the body, or now. */
  watch<Request extends WatchedRequest>(request: Request, monitor: { end(request: Request): void }): void {
    if (this.#isOver) {
      monitor.end(request);
      return;
    }
    this.#request = request;
    this.#onEnd = () => monitor.end(request);
  }

  /** Drops what is queued. */
  drop(): void {
    this.#chunks = [];
  }

  /** The chunks since the last call; undefined after the end. Rejects with what the body failed with. */
  async read(): Promise<Uint8Array[] | undefined> {
    while (this.#chunks.length === 0) {
      if (this.#failure) throw this.#failure.error;
      if (this.#isOver) return undefined;
      if (this.#request) this.#request.waitingSinceMs = performance.now();
      await new Promise<void>((resolve) => (this.#wake = resolve));
      if (this.#request) this.#request.waitingSinceMs = Number.POSITIVE_INFINITY;
    }
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#queuedBytes = 0;
    this.#resume();
    return chunks;
  }

  /** Receives the body from now on whether it is read or not. */
  bufferAll(): void {
    this.#limitBytes = Number.POSITIVE_INFINITY;
    this.#resume();
  }

  #resume(): void {
    if (!this.#isPaused || this.#isOver) return;
    this.#isPaused = false;
    this.#source.resume();
  }
}
