/**
 * S3's answer to one request: status and headers, then the body as it comes in, held in a queue of bounded length that
 * stops the connection when nobody takes from it.
 */
import type { Dispatcher } from 'undici';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';

/** Read from the socket before anybody asks; the kernel holds as much again. */
const minQueueBytes = 256 * 1024;

/** More than any answer that is wanted whole: a page of a listing, a head of a file that is read back, an error. */
const maxBufferedBytes = 32 * 1024 * 1024;

// Made once: an error costs more than many an answer, for its stack.
const notWanted = new Error('the rest of the answer is not wanted');

export class S3Response {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly #exchange: ResponseHandler;

  constructor(exchange: ResponseHandler, status: number, headers: Record<string, string | undefined>) {
    this.#exchange = exchange;
    this.status = status;
    this.headers = headers;
  }

  /** What has come of the body since the last call; undefined after its end. Rejects with what broke the connection. */
  read(): Promise<Uint8Array[] | undefined> {
    return this.#exchange.take();
  }

  /** Whether `take` would have to wait. */
  get isEmpty(): boolean {
    return this.#exchange.isDry;
  }

  /** From now on the body comes in whether it is taken or not. */
  bufferAll(): void {
    this.#exchange.holdAll();
  }

  /** Ends a request whose body nobody wants. */
  destroy(): void {
    this.#exchange.abort(notWanted);
  }

  /** The whole body. Rejects also where it is absurdly long. */
  async bytes(): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    let sizeBytes = 0;
    for (let batch = await this.read(); batch; batch = await this.read()) {
      for (const bytes of batch) {
        pieces.push(bytes);
        sizeBytes += bytes.byteLength;
      }
      if (sizeBytes > maxBufferedBytes) {
        this.destroy();
        throw new FilesystemError('unavailable', `an answer of more than ${maxBufferedBytes} bytes`);
      }
    }
    return Buffer.concat(pieces, sizeBytes);
  }

  /** The whole body in UTF-8. */
  async text(): Promise<string> {
    return (await this.bytes()).toString();
  }
}

/** The HTTP client's side of an answer. */
export class ResponseHandler implements Dispatcher.DispatchHandler {
  /** Rejects where no answer came. */
  readonly response: Promise<S3Response>;
  readonly #signal: AbortSignal | undefined;
  readonly #onClosed: () => void;
  #controller: Dispatcher.DispatchController | undefined;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #limitBytes = minQueueBytes;
  #isOver = false;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;
  #turn: NodeJS.Immediate | undefined;
  #resolveAnswered!: (answer: S3Response) => void;
  #rejectAnswered!: (error: unknown) => void;

  /** @param onClosed called when the request is over, whichever way: nothing more comes of it. */
  constructor(signal: AbortSignal | undefined, onClosed: () => void) {
    this.#signal = signal;
    this.#onClosed = onClosed;
    this.response = new Promise((resolve, reject) => {
      this.#resolveAnswered = resolve;
      this.#rejectAnswered = reject;
    });
    signal?.addEventListener('abort', this.#onAbort, { once: true });
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
    // Preliminary ones say nothing that matters here.
    if (status < 200) return;
    for (const [name, value] of Object.entries(headers)) {
      if (Array.isArray(value)) headers[name] = value.join(', ');
    }
    this.#resolveAnswered(new S3Response(this, status, headers as Record<string, string | undefined>));
  }

  onResponseData(controller: Dispatcher.DispatchController, bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.byteLength;
    if (this.#queuedBytes >= this.#limitBytes) controller.pause();
    // Servers may send TLS records of 4 KiB, each a call of its own. Those that one look at the socket brings are taken
    // together, and then written together.
    if (this.#turn) return;
    this.#turn = setImmediate(() => {
      this.#turn = undefined;
      this.#wakeTaker();
    });
  }

  onResponseEnd(): void {
    this.#end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#failure ??= { error };
    this.#end();
  }

  async take(): Promise<Uint8Array[] | undefined> {
    while (this.#queue.length === 0) {
      if (this.#failure) throw this.#failure.error;
      if (this.#isOver) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const taken = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    if (!this.#isOver) this.#controller?.resume();
    return taken;
  }

  get isDry(): boolean {
    return this.#queue.length === 0 && !this.#isOver;
  }

  holdAll(): void {
    this.#limitBytes = Number.POSITIVE_INFINITY;
    if (!this.#isOver) this.#controller?.resume();
  }

  abort(reason: unknown): void {
    if (this.#isOver) return;
    this.#failure ??= { error: reason };
    this.#queue = [];
    // Before it has a connection there is nothing to abort; it will be as soon as it gets one.
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
    // After an answer this has no effect.
    if (this.#failure) this.#rejectAnswered(this.#failure.error);
    this.#wakeTaker();
    this.#onClosed();
  }

  #wakeTaker(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
