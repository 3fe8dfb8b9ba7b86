/**
 * Ends a process that no longer works, so that its supervisor starts another. Health checks cannot do that: they only route
 * connections, and they fail for hours while a process drains, which must not end it.
 */
import { url as inspectorUrl } from 'node:inspector';
import { Worker } from 'node:worker_threads';

/** How long the event loop may be blocked; no single step of the gateway takes a second. */
export const maxBlockedMs = 60_000;

/** How long a process may take to become ready; loading users and certificates takes seconds. */
export const readinessTimeoutMs = 10 * 60_000;

const tickMs = 1_000;

/** How the line begins that the watchdog writes before it ends the process. */
export const blockedLine = '{"level":"error","event":"event-loop-blocked"';

// A separate thread, because the event loop it watches is blocked. It counts its own ticks instead of reading a clock, so that
// a suspended machine does not look like a blocked loop. As text, because the program is one bundled file.
//
// The first process of a container ignores SIGKILL from within (pid_namespaces(7)), and a thread cannot call `process.abort`. The
// trap of a breakpoint instruction is no signal that was sent, and ends this process too.
const watcher = `
const { setFlagsFromString } = require('node:v8');
const { workerData } = require('node:worker_threads');
const { writeSync } = require('node:fs');
const beats = new Int32Array(workerData.beats);
let last = -1;
let ticks = 0;
setInterval(() => {
  const now = Atomics.load(beats, 0);
  ticks = now === last ? ticks + 1 : 0;
  last = now;
  if (ticks < workerData.ticks) return;
  try {
    writeSync(workerData.output, workerData.line + '\\n');
  } catch {
    // A pipe that is full or closed.
  }
  process.kill(process.pid, 'SIGKILL');
  setFlagsFromString('--allow-natives-syntax');
  new Function('%SystemBreak()')();
}, workerData.tickMs);
`;

/**
 * Kills the process when its event loop has been blocked for `timeoutMs` (SIGKILL: a blocked loop handles no signal; SIGTRAP for the
 * first process of a container). Does nothing under a debugger, which blocks the loop on purpose.
 * @param output the file descriptor of the line that says so
 */
export function startWatchdog(timeoutMs = maxBlockedMs, output = 2): { close(): Promise<void> } {
  if (inspectorUrl() !== undefined) return { close: () => Promise.resolve() };
  const tick = Math.min(tickMs, timeoutMs / 4);
  const beats = new SharedArrayBuffer(4);
  const counter = new Int32Array(beats);
  const beat = setInterval(() => Atomics.add(counter, 0, 1), tick / 2);
  beat.unref();
  const worker = new Worker(watcher, {
    eval: true,
    workerData: {
      beats,
      tickMs: tick,
      ticks: Math.ceil(timeoutMs / tick),
      output,
      line: `${blockedLine},"seconds":${timeoutMs / 1000}}`,
    },
  });
  worker.unref();
  return {
    async close() {
      clearInterval(beat);
      await worker.terminate();
    },
  };
}

/**
 * Calls `giveUp` unless the process becomes ready within `timeoutMs`. If it then exits, the deployment counts a failed start
 * (ECS: the circuit breaker).
 */
export function requireReadiness(
  isReady: () => boolean,
  giveUp: (seconds: number) => void,
  timeoutMs = readinessTimeoutMs,
): { close(): void } {
  const startedAtMs = performance.now();
  const timer = setInterval(
    () => {
      if (isReady()) clearInterval(timer);
      else if (performance.now() - startedAtMs >= timeoutMs) {
        clearInterval(timer);
        giveUp(timeoutMs / 1000);
      }
    },
    Math.min(1000, timeoutMs / 10),
  );
  timer.unref();
  return { close: () => clearInterval(timer) };
}
