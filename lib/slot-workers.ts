/** Worker processes of a slot: one for each core of its task, as far as each gets a passive port and its transfer memory. Pure. */
import { maxWorkers } from '../src/workers/shares.ts';

/** A worker uses one core well. */
const cpuUnitsOfCore = 1024;

export type TaskSize = {
  /** CPU units of a task; 1024 is a core. */
  readonly cpu: number;
  readonly transferMemoryBytes: number;
};

/** The value of `WORKERS` of a slot with these ports. */
export function slotWorkers(passivePorts: readonly number[], { cpu, transferMemoryBytes }: TaskSize): number {
  return Math.min(coresOf(cpu), maxWorkers({ passivePorts, transferMemoryBytes }));
}

/** What to set so that slots use all cores of their tasks; undefined if they do. */
export function idleCoresWarning(
  portsPerSlot: number,
  maximumPortsPerSlot: number,
  cpu: number,
): string | undefined {
  const cores = coresOf(cpu);
  if (cores <= portsPerSlot) return undefined;
  const morePorts = cores <= maximumPortsPerSlot ? `portsPerSlot ${cores}, or ` : '';
  // Fargate has task sizes of 1, 2, 4, 8 and 16 vCPUs.
  const usableCpu = cpuUnitsOfCore * 2 ** Math.floor(Math.log2(portsPerSlot));
  return (
    `A task has ${cores} cores (cpu ${cpu}), but a slot of ${portsPerSlot} passive ports runs ${portsPerSlot} worker ` +
    `${portsPerSlot === 1 ? 'process' : 'processes'}, each on one core with a port of its own. ` +
    `Set ${morePorts}cpu ${usableCpu} and more slots.`
  );
}

function coresOf(cpu: number): number {
  return Math.max(1, Math.floor(cpu / cpuUnitsOfCore));
}
