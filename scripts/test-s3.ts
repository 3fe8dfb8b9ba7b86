/**
 * `npm run test:s3`: the storage, client, model and process suites on a production S3 server: the one that S3_ENDPOINT names, or a
 * VersityGW started here over TLS. Arguments name test files to run instead of all of them.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { findVersityGw, startVersityGw, type VersityGw } from '../test/support/versitygw.ts';

const suites = [
  'test/filesystem/**/*.test.ts',
  'test/s3/**/*.test.ts',
  'test/system/storage/**/*.test.ts',
  'test/system/clients/**/*.test.ts',
  'test/system/models/**/*.test.ts',
  'test/system/process/{abandoned-uploads,drain,main,secrets}.test.ts',
];

const explanation = `No S3 server to test on. Either set S3_ENDPOINT (credentials and region from the default AWS provider chain,
a self-signed certificate through NODE_EXTRA_CA_CERTS), or install VersityGW, which is then started for the tests:
  go install github.com/versity/versitygw/cmd/versitygw@latest`;

process.exitCode = await main(process.argv.slice(2));

async function main(chosen: readonly string[]): Promise<number> {
  if (process.env['S3_ENDPOINT']) return await runTests(chosen, {});
  const program = await findVersityGw();
  if (!program) {
    console.error(explanation);
    return 1;
  }
  const server = await startVersityGw(program);
  closeOnSignal(server);
  console.log(`VersityGW answers at ${server.endpoint}`);
  try {
    return await runTests(chosen, server.environment);
  } finally {
    await server.close();
  }
}

async function runTests(chosen: readonly string[], environment: Readonly<Record<string, string>>) {
  const files = chosen.length > 0 ? chosen : globSync(suites).sort();
  const tests = spawn(process.execPath, ['--test', '--test-timeout=300000', ...files], {
    stdio: 'inherit',
    env: { ...process.env, ...environment },
  });
  const [code] = (await once(tests, 'exit')) as [number | null];
  return code ?? 1;
}

// The terminal sends Ctrl-C to the tests as well; they end, and then the server is closed above.
function closeOnSignal(server: VersityGw): void {
  process.on('SIGINT', () => undefined);
  process.once('SIGTERM', () => {
    void server.close().then(() => process.exit(1));
  });
}
