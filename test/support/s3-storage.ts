/** What the S3 filesystem stands on, on the test's S3 server, with the gateway's own client. */
import type { GatewayEvent } from '../../src/observability/event.ts';
import type { SilenceLimits } from '../../src/s3/active-uploads.ts';
import { createS3Client } from '../../src/s3/client/s3-client.ts';
import { S3Storage } from '../../src/s3/s3-storage.ts';
import { TransferMemory } from '../../src/s3/transfer-memory.ts';
import { onEmulator, type S3Server, startS3Server } from './s3-server.ts';

/** A storage as the gateway has it, with everything that it has observed so far, in order. */
export type ObservedStorage = S3Storage & { readonly events: GatewayEvent[] };

export type StorageOptions = {
  /** 128 MiB by default. */
  readonly budgetBytes?: number;
  /** The gateway's own by default, like the next one. */
  readonly idleTimeoutMs?: number;
  readonly retryTimeoutMs?: number;
  /** Short by default, so that tests do not wait for silent clients. */
  readonly silenceMs?: SilenceLimits;
};

/** The caller destroys its client. */
export function storageOn(endpoint: string, options: StorageOptions = {}): ObservedStorage {
  const events: GatewayEvent[] = [];
  const storage = new S3Storage({
    client: createS3Client({
      endpoint,
      forcePathStyle: true,
      region: process.env['AWS_REGION'] ?? 'us-east-1',
      ...(onEmulator && { credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }),
      idleTimeoutMs: options.idleTimeoutMs,
      retryTimeoutMs: options.retryTimeoutMs,
    }),
    memory: new TransferMemory(options.budgetBytes ?? 128 * 1024 ** 2),
    observe: (event) => events.push(event),
    silenceMs: options.silenceMs ?? { here: 20, elsewhere: 0 },
  });
  return Object.assign(storage, { events });
}

export type TestStorage = {
  readonly server: S3Server;
  readonly storage: ObservedStorage;
  readonly close: () => Promise<void>;
};

/** A storage on an S3 server of its own. */
export async function openTestStorage(): Promise<TestStorage> {
  const server = await startS3Server();
  const storage = storageOn(server.endpoint, { budgetBytes: 64 * 1024 ** 2 });
  return {
    server,
    storage,
    async close() {
      storage.client.destroy();
      await server.close();
    },
  };
}
