/** A process with a defect, for drain.test.ts: fails as its argument says, and prints what the drain makes of it. */
import { drainOnSignals } from '../../../src/shutdown.ts';

const say = (what: unknown): void => void process.stdout.write(`${JSON.stringify(what)}\n`);

drainOnSignals({
  service: {
    stop: (reason, drainMs) => {
      say({ reason, drainMs });
      return Promise.resolve();
    },
  },
  drainMs: 110_000,
  observe: (event) => say(event.event),
  exit: (code) => process.exit(code),
});

if (process.argv[2] === 'rejection') void Promise.reject(new Error('a promise that was not awaited'));
else {
  setImmediate(() => {
    throw new Error('a defect');
  });
}
