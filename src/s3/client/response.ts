/** S3's response to one request: status and headers, then the body as it arrives. */
import type { Dispatcher } from 'undici';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { BodyQueue } from './body-queue.ts';
import type { PendingRequest, RequestMonitor } from './request-monitor.ts';

/** More than any response that is buffered whole: a page of a listing, the prefix of a file, an error. */
const maxBufferedBytes = 32 * 1024 * 1024;

// Preallocated, because capturing a stack trace costs more than reading a small response.
const notNeeded = new Error('the rest of the response is not needed');

/** A request that has a response, of either HTTP client. */
export type Exchange = {
  readonly body: BodyQueue;
  /** Ends the request, unless it is over. */
  abort(reason: unknown): void;
};

export class S3Response {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly #exchange: Exchange;

  constructor(exchange: Exchange, status: number, headers: Readonly<Record<string, string | undefined>>) {
    this.#exchange = exchange;
    this.status = status;
    this.headers = headers;
  }

  /** The chunks of the body received since the last call; undefined after its end. Rejects with the connection's error. */
  read(): Promise<Uint8Array[] | undefined> {
    return this.#exchange.body.read();
  }

  /** Whether `read` would wait. */
  get isEmpty(): boolean {
    return this.#exchange.body.isEmpty;
  }

  /** Receives the body from now on whether it is read or not. */
  bufferAll(): void {
    this.#exchange.body.bufferAll();
  }

  /** Lets the monitor see when the reader waits for S3, and when the request is over. */
  watch(request: PendingRequest, monitor: RequestMonitor): void {
    this.#exchange.body.watch(request, monitor);
  }

  /** Ends a request whose body is not needed. */
  destroy(): void {
    this.#exchange.abort(notNeeded);
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

/** undici's side of a response. */
export class ResponseHandler implements Dispatcher.DispatchHandler, Exchange {
  readonly #response = Promise.withResolvers<S3Response>();
  readonly #signal: AbortSignal | undefined;
  readonly #onClosed: () => void;
  readonly body = new BodyQueue({
    pause: () => this.#controller?.pause(),
    resume: () => this.#controller?.resume(),
  });
  #controller: Dispatcher.DispatchController | undefined;
  #failure: { readonly error: unknown } | undefined;
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

  onResponseData(_controller: Dispatcher.DispatchController, bytes: Uint8Array): void {
    this.body.push(bytes);
    // Chunks that arrive in one event-loop turn are batched: servers may send TLS records of 4 KiB, and this is called for each.
    if (this.#batch) return;
    this.#batch = setImmediate(() => {
      this.#batch = undefined;
      this.body.wakeReader();
    });
  }

  onResponseEnd(): void {
    this.#end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#failure ??= { error };
    this.#end();
  }

  abort(reason: unknown): void {
    if (this.body.isOver) return;
    this.#failure ??= { error: reason };
    this.body.drop();
    // A request that has no connection yet is aborted as soon as it gets one (`onRequestStart`).
    if (this.#controller) this.#controller.abort(this.#failure.error as Error);
    this.#end();
  }

  readonly #onAbort = (): void => {
    this.abort(this.#signal?.reason);
  };

  #end(): void {
    if (this.body.isOver) return;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    // After a response this has no effect.
    if (this.#failure) this.#response.reject(this.#failure.error);
    this.body.end(this.#failure);
    this.#onClosed();
  }
}
