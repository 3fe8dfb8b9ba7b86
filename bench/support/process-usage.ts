/** Resource usage of a process, from /proc of Linux. */
import { readFile, writeFile } from 'node:fs/promises';

// Linux reports in clock ticks; USER_HZ is 100 on every architecture that Node runs on (proc(5)).
const ticksPerSecond = 100;

/** CPU seconds, user and system, of a process. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Largest resident memory so far in MiB since the last `resetPeakMemory`. */
export async function peakMemoryMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

/** Resets the peak (proc(5), clear_refs 5). */
export async function resetPeakMemory(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
}

export type Usage = { readonly seconds: number; readonly cpuSeconds: number };

/** Wall-clock seconds of some work, and the CPU seconds that a process spends meanwhile. */
export async function measureUsage(pid: number, work: () => Promise<void>): Promise<Usage> {
  const cpuBefore = await cpuSeconds(pid);
  const startedAt = performance.now();
  await work();
  return { seconds: (performance.now() - startedAt) / 1000, cpuSeconds: (await cpuSeconds(pid)) - cpuBefore };
}
