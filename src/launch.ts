/** Starts the gateway as one process, or as a primary with worker processes (`WORKERS`). */
import type { Config } from './config/variables.ts';
import { type Primary, type PrimaryOptions, startPrimary } from './primary.ts';
import { type ServiceLog, startService } from './service.ts';
import { availableCapacity } from './workers/capacity.ts';
import { automaticWorkers } from './workers/shares.ts';

/** The running gateway. `failed` resolves if it cannot go on, which a single process never finds out by itself. */
export type Launched = Omit<Primary, 'failed'> & { readonly failed?: Promise<Error> };

/** Rejects with what `startService` and `startPrimary` reject with, and leaves nothing open. */
export async function launch(
  config: Config,
  log: ServiceLog,
  worker: Pick<PrimaryOptions, 'program' | 'environment'>,
): Promise<Launched> {
  const workers = config.workers === 'auto' ? await chooseWorkers(config, log) : config.workers;
  return workers === 1
    ? await startService(config, log)
    : await startPrimary(config, log, { workers, ...worker });
}

/** The number of workers of `auto`. Logs why it is lower than the number of cores. */
async function chooseWorkers(config: Config, { observe }: ServiceLog): Promise<number> {
  const capacity = await availableCapacity(process.env);
  const { cores, problem } = capacity;
  const { workers, limit } = automaticWorkers(capacity, config);
  if (problem !== undefined)
    observe({ event: 'workers-limited', workers, limit: 'task size', reason: problem });
  else if (limit !== undefined) observe({ event: 'workers-limited', workers, cores, limit });
  return workers;
}
