/** What this process may use of its machine, which in a container is often less than the machine has. */
import { availableParallelism, totalmem } from 'node:os';

export type Capacity = {
  /** Whole cores, at least 1. */
  readonly cores: number;
  readonly memoryBytes: number;
  /** Why the size of the ECS task is unknown; `cores` is then 1. */
  readonly problem?: string;
};

/** What ECS reports about the task: vCPUs and MiB. Absent where the task has no limit. */
type TaskLimits = { readonly CPU?: number; readonly Memory?: number };

const metadataTimeoutMs = 2_000;

/**
 * The cores and the memory that are available. Never rejects.
 *
 * `availableParallelism` respects the CPU affinity and, on Linux, the quota of the cgroup (v2: `cpu.max`, rounded down). Fargate limits the
 * cgroup above that of the container, which the container does not see: a task of 0.25 vCPU sees all cores of its machine. So in an ECS
 * task the limits come from the task metadata endpoint
 * (https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate.html).
 */
export async function availableCapacity(environment: NodeJS.ProcessEnv): Promise<Capacity> {
  const cores = availableParallelism();
  // Without a limit it is 0, or far more than there is.
  const memoryBytes = Math.min(process.constrainedMemory() || Infinity, totalmem());
  const endpoint = environment['ECS_CONTAINER_METADATA_URI_V4'];
  if (endpoint === undefined) return { cores, memoryBytes };
  try {
    return within({ cores, memoryBytes }, await taskLimits(endpoint));
  } catch (error) {
    const { message, cause } = error as Error;
    const problem = cause instanceof Error ? `${message}: ${cause.message}` : message;
    return { cores: 1, memoryBytes, problem };
  }
}

async function taskLimits(endpoint: string): Promise<TaskLimits> {
  const response = await fetch(`${endpoint}/task`, { signal: AbortSignal.timeout(metadataTimeoutMs) });
  if (!response.ok) throw new Error(`the task metadata endpoint responded with ${response.status}`);
  const { Limits = {} } = (await response.json()) as { readonly Limits?: TaskLimits };
  return Limits;
}

function within({ cores, memoryBytes }: Capacity, { CPU = cores, Memory }: TaskLimits): Capacity {
  return {
    cores: Math.max(1, Math.min(cores, Math.floor(CPU))),
    memoryBytes: Math.min(memoryBytes, (Memory ?? Infinity) * 1024 ** 2),
  };
}
