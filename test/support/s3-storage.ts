/** What the S3 filesystem stands on, on the test's S3 server, with the gateway's own client. */
import type { GatewayEvent } from '../../src/observability/event.ts';
import { createS3Client } from '../../src/s3/client/s3-client.ts';
import { S3Storage } from '../../src/s3/s3-storage.ts';
import { TransferMemory } from '../../src/s3/transfer-memory.ts';
import { type S3Server, startS3Server } from './s3-server.ts';

export type TestStorage = {
  readonly server: S3Server;
  readonly storage: S3Storage;
  /** Everything observed so far, in order. */
  readonly events: GatewayEvent[];
  readonly close: () => Promise<void>;
};

export async function openTestStorage(): Promise<TestStorage> {
  const server = await startS3Server();
  const events: GatewayEvent[] = [];
  const client = createS3Client({ endpoint: server.endpoint, forcePathStyle: true, region: 'us-east-1' });
  const storage = new S3Storage({
    client,
    memory: new TransferMemory(64 * 1024 ** 2),
    observe: (event) => events.push(event),
    // Tests do not wait for clients that are silent.
    silenceMs: { here: 20, elsewhere: 0 },
  });
  return {
    server,
    storage,
    events,
    async close() {
      client.destroy();
      await server.close();
    },
  };
}
