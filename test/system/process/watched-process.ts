/** A process under the watchdog, whose event loop stands still for so many milliseconds; then it ends with 0. */
import { startWatchdog } from '../../../src/watchdog.ts';

const [timeoutMs = 0, hangMs = 0] = process.argv.slice(2).map(Number);
const watchdog = startWatchdog(timeoutMs);
// The watcher needs a moment to start.
setTimeout(() => {
  const endMs = performance.now() + hangMs;
  while (performance.now() < endMs);
  setTimeout(() => void watchdog.close(), 10);
}, 500);
