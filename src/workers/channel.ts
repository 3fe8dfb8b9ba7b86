/** Calls between the primary and a worker process over the IPC channel of `node:cluster`. */

/** The calls that one side answers: each takes one argument that survives JSON. */
export type Calls = Readonly<Record<string, (argument: never) => unknown>>;

/** One end of the IPC channel: a `Worker` of the primary, or `process` in a worker. */
export type Peer = {
  send?(message: Message, callback: (error: Error | null) => void): boolean;
  on(event: 'message', listener: (message: unknown) => void): unknown;
};

type Message =
  | { readonly call: number; readonly name: string; readonly argument: unknown }
  | { readonly answer: number; readonly value?: unknown; readonly error?: string };

type Pending = { readonly resolve: (value: never) => void; readonly reject: (error: Error) => void };

/** Calls without an answer; more are rejected, so that a peer that does not read cannot fill the memory. */
const maxPendingCalls = 10_000;

export class Channel<Remote extends Calls> {
  readonly #peer: Peer;
  readonly #local: Calls;
  readonly #pending = new Map<number, Pending>();
  #lastCall = 0;
  #closedBy: Error | undefined;

  constructor(peer: Peer, local: Calls) {
    this.#peer = peer;
    this.#local = local;
    peer.on('message', (message) => this.#receive(message as Message));
  }

  /** Calls without an answer. */
  get pendingCalls(): number {
    return this.#pending.size;
  }

  /** Rejects with the message of the error that the other side threw, or because the channel is closed or full. */
  call<Name extends keyof Remote & string>(
    name: Name,
    argument: Parameters<Remote[Name]>[0],
  ): Promise<Awaited<ReturnType<Remote[Name]>>> {
    return new Promise((resolve, reject) => {
      if (this.#closedBy !== undefined) throw this.#closedBy;
      if (this.#pending.size >= maxPendingCalls)
        throw new Error(`too many calls of ${name} wait for an answer`);
      const call = ++this.#lastCall;
      this.#pending.set(call, { resolve, reject });
      this.#send({ call, name, argument }, (error) => this.#settle(call)?.reject(error));
    });
  }

  /** Rejects the pending calls and all later ones. */
  close(error: Error): void {
    this.#closedBy = error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  #receive(message: Message): void {
    if ('call' in message) void this.#answer(message);
    else if ('answer' in message) {
      const pending = this.#settle(message.answer);
      if (message.error === undefined) pending?.resolve(message.value as never);
      else pending?.reject(new Error(message.error));
    }
  }

  async #answer({ call, name, argument }: Extract<Message, { call: number }>): Promise<void> {
    let answer: Message;
    try {
      const handle = this.#local[name] as ((argument: unknown) => unknown) | undefined;
      if (handle === undefined) throw new Error(`no call has the name ${name}`);
      answer = { answer: call, value: await handle(argument) };
    } catch (error) {
      answer = { answer: call, error: error instanceof Error ? error.message : String(error) };
    }
    this.#send(answer, () => undefined);
  }

  // A peer that has ended reports an error to the callback, or throws.
  #send(message: Message, failed: (error: Error) => void): void {
    try {
      this.#peer.send?.(message, (error) => {
        if (error !== null) failed(error);
      });
    } catch (error) {
      failed(error as Error);
    }
  }

  #settle(call: number): Pending | undefined {
    const pending = this.#pending.get(call);
    this.#pending.delete(call);
    return pending;
  }
}
