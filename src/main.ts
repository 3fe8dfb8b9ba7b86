/**
 * The process: environment in, exit code out. 0 stopped by a signal, 1 failed while running,
 * 2 could not start; 143 or 130 after a second signal.
 */
import cluster from 'node:cluster';
import { parseArgs } from 'node:util';
import { parseConfig } from './config/config.ts';
import type { Config } from './config/variables.ts';
import { misspeltVariables } from './config/misspelt.ts';
import { helpText } from './config/help.ts';
import { drainOnSignals } from './shutdown.ts';
import { openLog } from './observability/log.ts';
import { requireReadiness, startWatchdog } from './watchdog.ts';
import { type Launched, launch } from './launch.ts';
import { WorkerStartError } from './primary.ts';
import { describeStartError } from './config/start-error.ts';
import { version } from './version.ts';
import { runWorker } from './worker.ts';

const couldNotStart = 2;

async function serve(config: Config): Promise<void> {
  const log = openLog({ level: config.logLevel, commands: config.logCommands });
  const exit = (code: number) => void log.close().finally(() => process.exit(code));
  for (const misspelt of misspeltVariables(process.env)) {
    log.observe({ event: 'variable-misspelt', ...misspelt });
  }
  startWatchdog();
  let gateway: Launched | undefined = undefined;
  requireReadiness(
    () => gateway?.isReady ?? false,
    (seconds) => {
      log.observe({ event: 'readiness-timeout', seconds });
      exit(1);
    },
  );
  gateway = await launch(config, log, { program: process.argv[1] ?? import.meta.filename });
  const { drainMs } = config;
  const shutdown = drainOnSignals({ service: gateway, drainMs, observe: log.observe, exit });
  void gateway.failed?.then(shutdown.fail);
}

async function main(): Promise<void> {
  let config: Config | undefined = undefined;
  try {
    const { values } = parseArgs({ options: { help: { type: 'boolean' }, version: { type: 'boolean' } } });
    if (values.help === true) process.stdout.write(helpText(version));
    else if (values.version === true) process.stdout.write(`${version}\n`);
    else await serve((config = parseConfig(process.env)));
  } catch (error) {
    const text =
      error instanceof WorkerStartError
        ? error.message
        : describeStartError(error, config, misspeltVariables(process.env));
    process.stderr.write(`${text}\n`);
    process.exitCode = couldNotStart;
  }
}

if (cluster.isWorker) runWorker();
else await main();
