/** A file being received by the in-memory filesystem: collects the bytes, and stores them at the commit. */
/* eslint-disable @typescript-eslint/require-await -- nothing here waits, but every failure must be a rejection */
import type { Upload } from './filesystem.ts';

/** @param kept bytes in front of the written ones. @param commitContent stores the whole content; may throw. */
export class MemoryUpload implements Upload {
  readonly keptBytes: number;
  readonly #written: Uint8Array[];
  readonly #signal: AbortSignal;
  readonly #commitContent: (content: Uint8Array) => void;
  #state: 'open' | 'prepared' | 'over' = 'open';

  constructor(kept: Uint8Array, signal: AbortSignal, commitContent: (content: Uint8Array) => void) {
    this.keptBytes = kept.length;
    this.#written = kept.length === 0 ? [] : [kept];
    this.#signal = signal;
    this.#commitContent = commitContent;
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#signal.aborted) return Promise.reject(this.#signal.reason as Error);
    if (this.#state !== 'open') return Promise.reject(new Error(`write to an upload that is ${this.#state}`));
    this.#written.push(bytes);
    return undefined;
  }

  async prepare(): Promise<void> {
    if (this.#state === 'over') throw new Error('prepare of an upload that is over');
    this.#signal.throwIfAborted();
    this.#state = 'prepared';
  }

  async commit(): Promise<void> {
    if (this.#state === 'over') throw new Error('commit of an upload that is over');
    this.#state = 'over';
    const [first = Buffer.alloc(0), ...rest] = this.#written.splice(0);
    this.#signal.throwIfAborted();
    this.#commitContent(rest.length === 0 ? first : Buffer.concat([first, ...rest]));
  }

  async abort(): Promise<void> {
    this.#state = 'over';
    this.#written.length = 0;
  }
}
