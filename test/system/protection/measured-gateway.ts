/**
 * A gateway in a process of its own, in front of the test's S3 server, that measures what clients do to its event loop and memory.
 * The parent sends `measure` and gets what happened since the last time.
 */
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { S3Filesystem } from '../../../src/s3/filesystem/s3-filesystem.ts';
import { storageOn } from '../../support/s3-storage.ts';
import { startTestGateway, type TestGatewayOptions } from '../../support/gateway.ts';

export type Setting = {
  readonly endpoint: string;
  readonly bucket: string;
  readonly options?: TestGatewayOptions;
};

export type Measurement = {
  /** The longest CPU time of the main thread between two runs of a timer: at least that of the longest turn of the event loop. */
  readonly longestTurnMs: number;
  /** What a timer was late at most, which includes the time for which the machine ran other processes. */
  readonly longestDelayMs: number;
  readonly mainThreadCpuMs: number;
  /** Growth of the resident memory, and its peak since the last measurement. */
  readonly residentMib: number;
  readonly peakResidentMib: number;
  readonly controlPort: number;
};

const timerMs = 2;
const { endpoint, bucket, options } = JSON.parse(process.argv[2] ?? '') as Setting;
const storage = storageOn(endpoint);
const gateway = await startTestGateway({
  filesystemFor: ({ name, home }) => new S3Filesystem(storage, home, { owner: name, windowMs: 0 }),
  ...options,
  users: (options?.users ?? [{ name: 'alice', password: 'secret' }]).map((user) => ({
    ...user,
    home: { bucket, prefix: '' },
  })),
});
const delay = monitorEventLoopDelay({ resolution: timerMs });
delay.enable();

const threadCpuMs = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
};
const residentMib = (): number => {
  const [, kib] = /^VmRSS:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? [];
  return Number(kib) / 1024;
};
let longestTurnMs = 0;
let lastCpuMs = threadCpuMs();
let startCpuMs = lastCpuMs;
let peakResidentMib = 0;
let ticks = 0;
setInterval(() => {
  const nowMs = threadCpuMs();
  longestTurnMs = Math.max(longestTurnMs, nowMs - lastCpuMs);
  lastCpuMs = nowMs;
  if (++ticks % 10 === 0) peakResidentMib = Math.max(peakResidentMib, residentMib());
}, timerMs);

process.on('message', () => {
  const resident = residentMib();
  const measurement: Measurement = {
    longestTurnMs,
    longestDelayMs: delay.max / 1e6,
    mainThreadCpuMs: threadCpuMs() - startCpuMs,
    residentMib: resident,
    peakResidentMib: Math.max(peakResidentMib, resident),
    controlPort: gateway.controlPort,
  };
  process.send?.(measurement);
  // What was measured so far is not this message's own work.
  setImmediate(() => {
    delay.reset();
    longestTurnMs = 0;
    peakResidentMib = 0;
    lastCpuMs = startCpuMs = threadCpuMs();
  });
});
process.on('disconnect', () => process.exit());
