/** The gateway with workers that block their event loop at SIGUSR2, and are ended after 2 s of that. */
import cluster from 'node:cluster';
import { runWorker } from '../../../src/worker.ts';

if (cluster.isPrimary) {
  await import('../../../src/main.ts');
} else {
  runWorker({ watchdogMs: 2_000 });
  process.on('SIGUSR2', () => {
    for (;;);
  });
}
