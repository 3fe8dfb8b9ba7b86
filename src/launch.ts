/** Starts the gateway as one process, or as a primary with worker processes (`WORKERS`). */
import { availableParallelism } from 'node:os';
import type { Config } from './config/variables.ts';
import { type Primary, type PrimaryOptions, startPrimary } from './primary.ts';
import { type ServiceLog, startService } from './service.ts';
import { workerCount } from './workers/shares.ts';

/** The running gateway. `failed` resolves if it cannot go on, which a single process never finds out by itself. */
export type Launched = Omit<Primary, 'failed'> & { readonly failed?: Promise<Error> };

/** Rejects with what `startService` and `startPrimary` reject with, and leaves nothing open. */
export async function launch(
  config: Config,
  log: ServiceLog,
  worker: Pick<PrimaryOptions, 'program' | 'environment'>,
): Promise<Launched> {
  const workers = workerCount(config.workers, availableParallelism(), config);
  return workers === 1
    ? await startService(config, log)
    : await startPrimary(config, log, { workers, ...worker });
}
