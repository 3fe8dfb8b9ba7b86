/** What every S3 operation of the process shares: one client, one budget of transfer memory, one place to report to. */
import type { Observe } from '../observability/event.ts';
import type { GatewayS3Client } from './client/s3-client.ts';
import type { PartBytes } from './upload/part-size.ts';
import type { TransferMemory } from './transfer-memory.ts';

export type S3Storage = {
  readonly client: GatewayS3Client;
  readonly memory: TransferMemory;
  readonly observe: Observe;
  /** How long S3 may fail before a transfer does; `defaultPatienceMs` where absent. */
  readonly retryTimeoutMs?: number;
  /** Sizes of parts; those of Amazon S3 where absent. Smaller ones make models of long uploads cheap. */
  readonly partBytes?: PartBytes;
};
