/** The gateway's process: environment in, exit code out. 0 stopped as asked, 1 failed while running, 2 could not start. */
import { parseArgs } from 'node:util';
import { type Config, ConfigError, parseConfig } from './config.ts';
import { helpText } from './config/help.ts';
import { drainOnSignals } from './operations/drain.ts';
import { openLog } from './operations/log.ts';
import { startService } from './service.ts';
import { version } from './version.ts';

const couldNotStart = 2;

async function serve(config: Config): Promise<void> {
  const log = openLog(config.logLevel);
  const service = await startService(config, log);
  drainOnSignals({
    service,
    drainMs: config.drainMs,
    observe: log.observe,
    exit: (code) => void log.close().finally(() => process.exit(code)),
  });
}

/** What an operator can mend is told in sentences; a stack says nothing to them. */
function explain(error: unknown): string {
  if (error instanceof ConfigError) return `${error.message}\nRun with --help for all variables.`;
  return `The gateway cannot start: ${error instanceof Error ? error.message : String(error)}`;
}

try {
  const { values } = parseArgs({ options: { help: { type: 'boolean' }, version: { type: 'boolean' } } });
  if (values.help === true) process.stdout.write(helpText(version));
  else if (values.version === true) process.stdout.write(`${version}\n`);
  else await serve(parseConfig(process.env));
} catch (error) {
  process.stderr.write(`${explain(error)}\n`);
  process.exitCode = couldNotStart;
}
