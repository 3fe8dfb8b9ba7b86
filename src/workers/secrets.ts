/**
 * Secrets that the primary reads once for all worker processes: AWS bills each read, and all workers have the same version.
 */
import type { Observe } from '../observability/event.ts';
import { type DocumentSource, secretSource, WatchedDocument } from '../util/watched-document.ts';
import type { PrimaryCalls, SecretVersion } from './calls.ts';
import type { Channel } from './channel.ts';

/** How often a worker calls the primary for a new version, which costs nothing where there is none. */
export const secretIntervalMs = 1_000;

type Secret = { version: number; text: string; readonly document: WatchedDocument };

/** The primary's secrets. */
export class SharedSecrets {
  readonly #secrets = new Map<string, Secret>();

  /**
   * Reads a secret, and reads it again at each interval. Rejects if the first version cannot be read.
   * @param config what the secret holds, for the event of a failure
   */
  async open(
    arn: string,
    {
      config,
      intervalMs,
      observe,
    }: { config: 'users' | 'certificate'; intervalMs: number; observe: Observe },
  ): Promise<void> {
    const current = { version: 0, text: '' };
    const document = await WatchedDocument.open({
      variable: config === 'users' ? 'USERS' : 'TLS_CERTIFICATE',
      source: secretSource(arn),
      intervalMs,
      load(text) {
        current.version += 1;
        current.text = text;
      },
      failed: ({ message }) => observe({ event: 'config-reload-failed', config, reason: message }),
    });
    this.#secrets.set(arn, Object.assign(current, { document }));
  }

  /** @throws Error for a secret that was not opened. */
  read(arn: string, known: number): SecretVersion {
    const secret = this.#secrets.get(arn);
    if (secret === undefined) throw new Error('the primary has not opened this secret');
    const { version, text } = secret;
    return version === known ? { version } : { version, text };
  }

  close(): void {
    for (const { document } of this.#secrets.values()) document.close();
  }
}

/** A secret in a worker, read from the primary. */
export function relayedSecret(arn: string, primary: Channel<PrimaryCalls>): DocumentSource {
  let known: Required<SecretVersion> = { version: 0, text: '' };
  return {
    description: `the secret ${arn}`,
    async read() {
      const { version, text } = await primary.call('secret', { arn, known: known.version });
      if (text !== undefined) known = { version, text };
      return known.text;
    },
    close: () => undefined,
  };
}
