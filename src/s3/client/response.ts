/**
 * S3's response to one request: status and headers, then the body as it arrives, in a queue of bounded length that pauses the
 * connection when it is not read.
 */
import type { Dispatcher } from 'undici';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';

/** Queued before a reader asks for it; the kernel's receive buffer holds about as much again. */
const maxQueuedBytes = 256 * 1024;

/** More than any response that is buffered whole: a page of a listing, the prefix of a file, an error. */
const maxBufferedBytes = 32 * 1024 * 1024;

// Preallocated, because capturing a stack trace costs more than reading a small response.
const notNeeded = new Error('the rest of the response is not needed');

export class S3Response {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly #handler: ResponseHandler;

  constructor(handler: ResponseHandler, status: number, headers: Record<string, string | undefined>) {
    this.#handler = handler;
    this.status = status;
    this.headers = headers;
  }

  /** The chunks of the body received since the last call; undefined after its end. Rejects with the connection's error. */
  read(): Promise<Uint8Array[] | undefined> {
    return this.#handler.read();
  }

  /** Whether `read` would wait. */
  get isEmpty(): boolean {
    return this.#handler.isEmpty;
  }

  /** Receives the body from now on whether it is read or not. */
  bufferAll(): void {
    this.#handler.bufferAll();
  }

  /** Ends a request whose body is not needed. */
  destroy(): void {
    this.#handler.abort(notNeeded);
  }

  /** The whole body. @throws FilesystemError `unavailable` where it is longer than 32 MiB. */
  async bytes(): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    let sizeBytes = 0;
    for (let batch = await this.read(); batch; batch = await this.read()) {
      for (const bytes of batch) {
        chunks.push(bytes);
        sizeBytes += bytes.byteLength;
      }
      if (sizeBytes > maxBufferedBytes) {
        this.destroy();
        throw new FilesystemError('unavailable', `a response of more than ${maxBufferedBytes} bytes`);
      }
    }
    return Buffer.concat(chunks, sizeBytes);
  }

  /** The whole body in UTF-8. */
  async text(): Promise<string> {
    return (await this.bytes()).toString();
  }
}

/** The HTTP client's side of a response. */
export class ResponseHandler implements Dispatcher.DispatchHandler {
  readonly #response = Promise.withResolvers<S3Response>();
  readonly #signal: AbortSignal | undefined;
  readonly #onClosed: () => void;
  #controller: Dispatcher.DispatchController | undefined;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #limitBytes = maxQueuedBytes;
  #isOver = false;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;
  #batch: NodeJS.Immediate | undefined;

  /** @param onClosed called once, when the request is over, successful or not. */
  constructor(signal: AbortSignal | undefined, onClosed: () => void) {
    this.#signal = signal;
    this.#onClosed = onClosed;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Rejects where no response comes. */
  get response(): Promise<S3Response> {
    return this.#response.promise;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#failure) controller.abort(this.#failure.error as Error);
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    // Informational responses carry nothing that matters here.
    if (status < 200) return;
    for (const [name, value] of Object.entries(headers)) {
      if (Array.isArray(value)) headers[name] = value.join(', ');
    }
    this.#response.resolve(new S3Response(this, status, headers as Record<string, string | undefined>));
  }

  onResponseData(controller: Dispatcher.DispatchController, bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.byteLength;
    if (this.#queuedBytes >= this.#limitBytes) controller.pause();
    // Chunks that arrive in one event-loop turn are batched, so that they are written together: servers may send TLS records of
    // 4 KiB, and this is called for each.
    if (this.#batch) return;
    this.#batch = setImmediate(() => {
      this.#batch = undefined;
      this.#wakeReader();
    });
  }

  onResponseEnd(): void {
    this.#end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#failure ??= { error };
    this.#end();
  }

  async read(): Promise<Uint8Array[] | undefined> {
    while (this.#queue.length === 0) {
      if (this.#failure) throw this.#failure.error;
      if (this.#isOver) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const chunks = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    if (!this.#isOver) this.#controller?.resume();
    return chunks;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0 && !this.#isOver;
  }

  bufferAll(): void {
    this.#limitBytes = Number.POSITIVE_INFINITY;
    if (!this.#isOver) this.#controller?.resume();
  }

  abort(reason: unknown): void {
    if (this.#isOver) return;
    this.#failure ??= { error: reason };
    this.#queue = [];
    // A request that has no connection yet is aborted as soon as it gets one (`onRequestStart`).
    if (this.#controller) this.#controller.abort(this.#failure.error as Error);
    this.#end();
  }

  readonly #onAbort = (): void => {
    this.abort(this.#signal?.reason);
  };

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    // After a response this has no effect.
    if (this.#failure) this.#response.reject(this.#failure.error);
    this.#wakeReader();
    this.#onClosed();
  }

  #wakeReader(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
