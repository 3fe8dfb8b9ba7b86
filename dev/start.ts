/**
 * `npm start`: the gateway on this machine alone, with an S3-compatible server on a local folder and a demo user, for
 * a trial. The gateway is that of production; only the environment differs.
 */
import cluster from 'node:cluster';
import { parseArgs } from 'node:util';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { type Environment, parseConfig } from '../src/config/config.ts';
import { helpText } from '../src/config/help.ts';
import { misspeltVariables } from '../src/config/misspelt.ts';
import { version } from '../src/version.ts';
import type { Config } from '../src/config/variables.ts';
import { drainOnSignals } from '../src/shutdown.ts';
import type { Observe } from '../src/observability/event.ts';
import { type Launched, launch } from '../src/launch.ts';
import { WorkerStartError } from '../src/primary.ts';
import { runWorker } from '../src/worker.ts';
import { describeStartError } from '../src/config/start-error.ts';
import { PasswordHash } from '../src/users/password.ts';
import { narrate } from './narrate.ts';
import { type LocalS3, startLocalS3 } from './s3-server.ts';

const demo = { name: 'demo', password: 'demo' } as const;
const demoBucket = 'demo-bucket';

/** Kept between starts. */
const folder = resolve('.data');
const s3Folder = join(folder, 's3');
const usersFile = join(folder, 'users.json');

/** Defaults of a trial; variables that are set take precedence. */
const localDefaults = {
  LISTEN_ADDRESS: '127.0.0.1',
  CONTROL_PORT: '2121',
  S3_BUCKET: demoBucket,
  USERS: `file:${usersFile}`,
  DRAIN_SECONDS: '5',
} as const;

const trialHelp = `npm start runs the gateway with a local S3 server and the user ${demo.name}, with these defaults instead:

${Object.entries(localDefaults)
  .map(([name, value]) => `  ${name}=${value}`)
  .join('\n')}
`;

/** What a trial runs with; without `s3` the gateway uses the server that S3_ENDPOINT names. */
type LocalSetup = {
  readonly config: Config;
  /** From which worker processes read the same configuration. */
  readonly environment: Environment;
  readonly s3: LocalS3 | undefined;
};

async function prepare(environment: NodeJS.ProcessEnv): Promise<LocalSetup> {
  const isSet = ([, value]: readonly [string, string | undefined]): boolean => (value ?? '').trim() !== '';
  const set = Object.fromEntries(Object.entries(environment).filter(isSet));
  const given: Environment = { ...localDefaults, ...set };
  // Configuration errors are reported before anything is started or written.
  const config = parseConfig(given);
  if (config.s3Endpoint !== undefined) return { config, environment: given, s3: undefined };
  await mkdir(s3Folder, { recursive: true });
  if (given['USERS'] === localDefaults.USERS) await writeUsersFile();
  const s3 = await startLocalS3({ directory: s3Folder, buckets: [config.s3Bucket ?? demoBucket], port: 0 });
  // The AWS credential provider chain looks here first: credentials of this machine never reach the local server.
  process.env['AWS_ACCESS_KEY_ID'] = s3.credentials.accessKeyId;
  process.env['AWS_SECRET_ACCESS_KEY'] = s3.credentials.secretAccessKey;
  process.env['AWS_REGION'] ??= 'us-east-1';
  delete process.env['AWS_SESSION_TOKEN'];
  const local: Environment = { ...given, S3_ENDPOINT: s3.endpoint, S3_FORCE_PATH_STYLE: 'true' };
  return { config: parseConfig(local), environment: local, s3 };
}

/** Written once, so that added users persist. */
async function writeUsersFile(): Promise<void> {
  const password = await PasswordHash.create(demo.password);
  const users = [{ name: demo.name, password, permissions: 'read-write' }];
  try {
    await writeFile(usersFile, `${JSON.stringify({ users }, undefined, 2)}\n`, { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    await readFile(usersFile);
  }
}

function instructions({ config, s3 }: LocalSetup, gateway: Launched): string {
  const { listenAddress, s3Bucket = 'the homes of the users', tls } = config;
  const host = listenAddress === '0.0.0.0' || listenAddress === '::' ? '127.0.0.1' : listenAddress;
  const isDemo = config.users.kind === 'file' && config.users.path === usersFile;
  const user = isDemo ? demo : { name: 'USER', password: 'PASSWORD' };
  const port = gateway.controlPort;
  // The certificate of a trial is seldom one that curl trusts.
  const curl = tls === 'off' ? 'curl' : 'curl --ssl-reqd --insecure';
  const lftpSettings = tls === 'off' ? '' : 'set ssl:verify-certificate no; ';
  const url = `ftp://${user.name}:${user.password}@${host.includes(':') ? `[${host}]` : host}:${port}`;
  const bucketFolder = relative('.', join(s3Folder, s3Bucket));
  return `
FTP gateway on ${host}, port ${port} (data connections: ${range(gateway.passivePorts)}).
${tlsText(tls, gateway.implicitTlsPort)}
For a trial only: ${s3 === undefined ? 'it stops within 5 s.' : 'its S3 server is a folder on this machine.'}

  Upload      ${curl} -T README.md ${url}/
  Download    ${curl} -o copy.md ${url}/README.md
  List        ${curl} ${url}/
  A folder    lftp -e '${lftpSettings}mirror -R docs; ls docs; quit' ${url}

  The bucket  ${s3 === undefined ? `${s3Bucket} at ${config.s3Endpoint ?? ''}` : `${bucketFolder}/ (persists; delete .data to start over)`}${s3 === undefined ? '' : `\n  In S3       ${awsCommand(s3)} s3://${s3Bucket}/`}
  Users       ${isDemo ? `${relative('.', usersFile)} (name ${demo.name}, password ${demo.password}); changes take effect within seconds` : 'the document that USERS names'}
  Health      http://${host}:${gateway.operationsPort}/healthz, /readyz, /metrics
  Stop        Ctrl-C
`;
}

function tlsText(tls: Config['tls'], implicitTlsPort: number | undefined): string {
  if (tls === 'off')
    return 'Without TLS; CONTRIBUTING.md shows how to try it with a certificate of your own.';
  const port = implicitTlsPort === undefined ? '' : `; from the first byte on port ${implicitTlsPort}`;
  return tls === 'required' ? `TLS is required (AUTH TLS)${port}.` : `TLS is optional (AUTH TLS)${port}.`;
}

/** The local server checks no signature, but the AWS CLI sends none without credentials. */
function awsCommand({ credentials: { accessKeyId, secretAccessKey }, endpoint }: LocalS3): string {
  const key = `AWS_ACCESS_KEY_ID=${accessKeyId} AWS_SECRET_ACCESS_KEY=${secretAccessKey}`;
  return `${key} AWS_REGION=us-east-1 aws s3 ls --recursive --endpoint-url ${endpoint}`;
}

function range(ports: readonly number[]): string {
  const [first = 0] = ports;
  const last = ports.at(-1) ?? first;
  return last - first + 1 === ports.length && last !== first ? `${first} to ${last}` : ports.join(', ');
}

const observe: Observe = (event) => {
  const words = narrate(event);
  if (words !== undefined) writeLine(words);
};

function writeLine(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function run(setup: LocalSetup): Promise<void> {
  for (const misspelt of misspeltVariables(process.env)) observe({ event: 'variable-misspelt', ...misspelt });
  const { config, environment, s3 } = setup;
  const gateway = await launch(
    config,
    { observe, writeLine },
    { program: import.meta.filename, environment },
  );
  const shutdown = drainOnSignals({
    service: {
      async stop(reason, drainMs) {
        await gateway.stop(reason, drainMs);
        await s3?.close();
      },
    },
    drainMs: config.drainMs,
    observe,
    exit: (code) => process.exit(code),
  });
  void gateway.failed?.then(shutdown.fail);
  writeLine(instructions(setup, gateway));
}

async function main(): Promise<void> {
  let setup: LocalSetup | undefined = undefined;
  try {
    const { values } = parseArgs({ options: { help: { type: 'boolean' } } });
    if (values.help === true) process.stdout.write(`${trialHelp}\n${helpText(version)}`);
    else await run((setup = await prepare(process.env)));
  } catch (error) {
    const text = error instanceof WorkerStartError ? error.message : describeStartError(error, setup?.config);
    process.stderr.write(`${text}\n`);
    await setup?.s3?.close();
    process.exitCode = 2;
  }
}

// The primary writes what its workers narrate.
if (cluster.isWorker) runWorker({ openLog: () => ({ observe, writeLine, close: () => Promise.resolve() }) });
else await main();
