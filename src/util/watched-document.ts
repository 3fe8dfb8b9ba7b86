/**
 * A document in a file or a secret that operators change while the process runs. It is reloaded at an interval. If a new
 * version cannot be loaded, that is reported, and the last valid version stays in use.
 */
import { open } from 'node:fs/promises';
import { getSystemErrorMap } from 'node:util';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { isOutOfDescriptors } from './descriptors.ts';

/**
 * A document is parsed as JSON in one turn of the event loop, about 3 ms for each MiB. Secrets Manager allows 64 KiB in a secret.
 */
export const maxDocumentBytes = 4 * 1024 * 1024;

export type DocumentSource = {
  /** For messages. */
  readonly description: string;
  read(): Promise<string>;
  close(): void;
};

/** The document in a file. */
export function fileSource(path: string): DocumentSource {
  return {
    description: `the file ${path}`,
    async read() {
      const file = await open(path);
      try {
        const { size } = await file.stat();
        if (size > maxDocumentBytes) throw new Error('it is larger than 4 MiB');
        return await file.readFile('utf8');
      } finally {
        await file.close();
      }
    },
    close: () => undefined,
  };
}

/** Reads the current version of a secret, in the region its ARN names. */
export function secretSource(arn: string): DocumentSource {
  const [, , , region = ''] = arn.split(':');
  const client = new SecretsManagerClient({ region });
  return {
    description: `the secret ${arn}`,
    async read() {
      const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: arn }));
      if (SecretString === undefined) throw new Error('it is binary; expected text');
      return SecretString;
    },
    close: () => client.destroy(),
  };
}

export type WatchedDocumentOptions = {
  /** The variable of the environment that names the source, for messages. */
  readonly variable: string;
  readonly source: DocumentSource;
  readonly intervalMs: number;
  /**
   * Applies a version, or fails with an Error that says why. Called for the first version, for every change, and for the first version
   * after a failure, even if it is the last valid one.
   */
  load(text: string): void | Promise<void>;
  /** A later version could not be read or loaded. Called once per distinct reason until the next success. */
  failed(error: Error): void;
};

export class WatchedDocument {
  readonly #options: WatchedDocumentOptions;
  #lastText: string | undefined;
  #lastFailure: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  private constructor(options: WatchedDocumentOptions) {
    this.#options = options;
  }

  /** Resolves when the first version is loaded. Rejects with an error that names the source if it cannot be loaded. */
  static async open(options: WatchedDocumentOptions): Promise<WatchedDocument> {
    const document = new WatchedDocument(options);
    try {
      await document.#refresh();
    } catch (error) {
      options.source.close();
      throw error;
    }
    document.#schedule();
    return document;
  }

  /** Stops reloading. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#options.source.close();
  }

  #schedule(): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => void this.#refreshAndReschedule(), this.#options.intervalMs);
  }

  async #refreshAndReschedule(): Promise<void> {
    try {
      await this.#refresh();
      this.#lastFailure = undefined;
    } catch (error) {
      this.#report(error as Error);
    }
    this.#schedule();
  }

  #report(error: Error): void {
    if (this.#isClosed || error.message === this.#lastFailure) return;
    // A lack of file descriptors says nothing about the document, which is read again after the interval.
    if (isOutOfDescriptors(error.cause)) return;
    this.#lastFailure = error.message;
    this.#options.failed(error);
  }

  async #refresh(): Promise<void> {
    const { source, variable } = this.#options;
    try {
      const text = await source.read();
      const isKnown = text === this.#lastText && this.#lastFailure === undefined;
      if (isKnown || this.#isClosed) return;
      await this.#options.load(text);
      this.#lastText = text;
    } catch (error) {
      const reason = readableReason(error as Error);
      throw new Error(`${variable}: ${source.description} cannot be used: ${reason}`, { cause: error });
    }
  }
}

/** The reason of a failed read or load; of a system error without the name of the call and the path. */
export function readableReason(error: NodeJS.ErrnoException): string {
  const { errno, code, message } = error;
  const meaning = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1];
  return meaning === undefined ? message : `${meaning} (${code})`;
}
