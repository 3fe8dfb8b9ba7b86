/** Resource usage of a process, from /proc of Linux. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { readdir, readFile, writeFile } from 'node:fs/promises';

// Linux reports in clock ticks; USER_HZ is 100 on every architecture that Node runs on (proc(5)).
const ticksPerSecond = 100;

/** CPU seconds, user and system, of a process. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/**
 * CPU seconds of a process and of all its descendants, those that ended included: a server may use a process for each session.
 */
export async function cpuSecondsOfTree(pid: number): Promise<number> {
  let ticks = 0;
  for (const { own, reaped } of await processTree(pid)) ticks += own + reaped;
  return ticks / ticksPerSecond;
}

/** Memory in MiB of a process and of all its descendants; what processes share is counted once (Pss, proc(5)). */
export async function memoryOfTreeMiB(pid: number): Promise<number> {
  let kibibytes = 0;
  for (const { id } of await processTree(pid)) {
    const rollup = await readFile(`/proc/${id}/smaps_rollup`, 'utf8').catch(() => '');
    kibibytes += Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0);
  }
  return kibibytes / 1024;
}

/** CPU seconds that the whole machine has worked. */
export async function machineCpuSeconds(): Promise<number> {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0] =
    /^cpu .*$/m
      .exec(await readFile('/proc/stat', 'utf8'))?.[0]
      .split(/\s+/)
      .map(Number) ?? [];
  return (user + nice + system + irq + softIrq) / ticksPerSecond;
}

/** Ticks of a process, and those of its children that ended and that it has waited for (cutime and cstime, proc(5)). */
type ProcessTicks = { readonly id: number; readonly own: number; readonly reaped: number };

async function processTree(root: number): Promise<ProcessTicks[]> {
  const all = new Map<number, ProcessTicks & { readonly parent: number }>();
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  await Promise.all(
    ids.map(async (id) => {
      const stat = await readFile(`/proc/${id}/stat`, 'utf8').catch(() => undefined);
      if (stat === undefined) return;
      const fields = stat
        .slice(stat.lastIndexOf(')') + 2)
        .split(' ')
        .map(Number);
      const [parent = 0, user = 0, system = 0, reapedUser = 0, reapedSystem = 0] = [
        fields[1],
        fields[11],
        fields[12],
        fields[13],
        fields[14],
      ];
      all.set(id, { id, parent, own: user + system, reaped: reapedUser + reapedSystem });
    }),
  );
  const tree: ProcessTicks[] = [];
  const found = all.get(root);
  if (found) tree.push(found);
  for (let at = 0; at < tree.length; at++) {
    for (const each of all.values()) if (each.parent === tree[at]?.id) tree.push(each);
  }
  return tree;
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

/** The sum of the peaks of a process and of its descendants that run. */
export async function peakMemoryOfTreeMiB(pid: number): Promise<number> {
  let sum = 0;
  // A process for one session may end meanwhile.
  for (const { id } of await processTree(pid)) sum += await peakMemoryMiB(id).catch(() => 0);
  return sum;
}

/** Resets the peaks of a process and of its descendants. */
export async function resetPeakMemoryOfTree(pid: number): Promise<void> {
  for (const { id } of await processTree(pid)) await resetPeakMemory(id).catch(() => undefined);
}

/** Confines all threads of a running process to CPUs, as `taskset` takes them. */
export async function confine(pid: number, cpus: string): Promise<void> {
  await promisify(execFile)('taskset', ['--all-tasks', '--cpu-list', '--pid', cpus, String(pid)]);
}

export type Usage = { readonly seconds: number; readonly cpuSeconds: number };

/** Wall-clock seconds of some work, and the CPU seconds that a process spends meanwhile. */
export async function measureUsage(pid: number, work: () => Promise<void>): Promise<Usage> {
  const cpuBefore = await cpuSeconds(pid);
  const startedAt = performance.now();
  await work();
  return { seconds: (performance.now() - startedAt) / 1000, cpuSeconds: (await cpuSeconds(pid)) - cpuBefore };
}
