/**
 * A document that operators change while the gateway runs (users, certificate), kept in a file or a secret. It is read
 * again and again; what cannot be used is reported, and the last good version stays in force.
 */
import { readFile } from 'node:fs/promises';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { isOutOfDescriptors } from './descriptors.ts';

export type DocumentSource = {
  /** For messages: what is read from where. */
  readonly description: string;
  read(): Promise<string>;
  close(): void;
};

export function fileSource(path: string): DocumentSource {
  return {
    description: `the file ${path}`,
    read: () => readFile(path, 'utf8'),
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
      if (SecretString === undefined) throw new Error('it is binary, and should be text');
      return SecretString;
    },
    close: () => client.destroy(),
  };
}

export type WatchedDocumentOptions = {
  readonly source: DocumentSource;
  readonly intervalMs: number;
  /** Takes a version into force, or throws an Error that says why it cannot. Called for every change, and at first. */
  load(text: string): void;
  /** A later version could not be read or loaded. Told once for each different reason until it works again. */
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

  /** Resolves when the first version is in force; rejects, naming the source, where it cannot be. */
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

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#options.source.close();
  }

  #schedule(): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => void this.#refreshLater(), this.#options.intervalMs);
  }

  async #refreshLater(): Promise<void> {
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
    // It says nothing about the document, which is read again after the interval.
    if (isOutOfDescriptors(error.cause)) return;
    this.#lastFailure = error.message;
    this.#options.failed(error);
  }

  async #refresh(): Promise<void> {
    const { source } = this.#options;
    try {
      const text = await source.read();
      if (text === this.#lastText || this.#isClosed) return;
      this.#options.load(text);
      this.#lastText = text;
    } catch (error) {
      throw new Error(`${source.description} cannot be used: ${(error as Error).message}`, { cause: error });
    }
  }
}
