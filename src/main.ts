/**
 * The process: environment in, exit code out. 0 stopped by a signal, 1 failed while running,
 * 2 could not start; 143 or 130 after a second signal.
 */
import { parseArgs } from 'node:util';
import { parseConfig } from './config/config.ts';
import type { Config } from './config/variables.ts';
import { helpText } from './config/help.ts';
import { drainOnSignals } from './shutdown.ts';
import { openLog } from './observability/log.ts';
import { requireReadiness, startWatchdog } from './watchdog.ts';
import { type Service, startService } from './service.ts';
import { describeStartError } from './config/start-error.ts';
import { version } from './version.ts';

const couldNotStart = 2;

async function serve(config: Config): Promise<void> {
  const log = openLog(config.logLevel);
  const exit = (code: number) => void log.close().finally(() => process.exit(code));
  startWatchdog();
  let service: Service | undefined = undefined;
  requireReadiness(
    () => service?.isReady ?? false,
    (seconds) => {
      log.observe({ event: 'readiness-timeout', seconds });
      exit(1);
    },
  );
  service = await startService(config, log);
  drainOnSignals({ service, drainMs: config.drainMs, observe: log.observe, exit });
}

let config: Config | undefined = undefined;
try {
  const { values } = parseArgs({ options: { help: { type: 'boolean' }, version: { type: 'boolean' } } });
  if (values.help === true) process.stdout.write(helpText(version));
  else if (values.version === true) process.stdout.write(`${version}\n`);
  else await serve((config = parseConfig(process.env)));
} catch (error) {
  process.stderr.write(`${describeStartError(error, config)}\n`);
  process.exitCode = couldNotStart;
}
