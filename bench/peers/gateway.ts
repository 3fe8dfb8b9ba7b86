import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PasswordHash } from '../../src/users/password.ts';
import { freePort } from '../../test/support/loopback-port.ts';
import { freeRange } from './local-peers.ts';
import { startPeer, type Peer, type S3Target } from '../support/peer.ts';

const thisCheckout = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Starts the gateway as its container does (Dockerfile: ENV and CMD), with its defaults except for these variables; from this
 * checkout, or from another one for comparison.
 */
export async function startGatewayPeer(
  s3: S3Target,
  variables: Readonly<Record<string, string>> = {},
  {
    name = 'this gateway',
    checkout = thisCheckout,
    /** A program with its arguments that runs Node.js: an instrument. */
    wrapper = [] as readonly string[],
    startTimeoutMs = 30_000,
  } = {},
): Promise<Peer> {
  const account = { host: '127.0.0.1', port: await freePort(), username: 'bench', password: 'bench' };
  const passivePorts = await freeRange(4);
  const users = join(await mkdtemp(join(tmpdir(), 'gateway-')), 'users.json');
  const user = {
    name: account.username,
    password: await PasswordHash.create(account.password),
    home: { bucket: s3.bucket, prefix: `${name.replaceAll(' ', '-')}/` },
    permissions: 'read-write',
  };
  await writeFile(users, JSON.stringify({ users: [user] }));
  const { version } = JSON.parse(await readFile(join(checkout, 'package.json'), 'utf8')) as {
    version: string;
  };
  const command = [...wrapper, process.execPath];
  return startPeer({
    name,
    version,
    program: command[0] ?? process.execPath,
    arguments: [...command.slice(1), '--max-semi-space-size=8', join(checkout, 'src/main.ts')],
    startTimeoutMs,
    environment: {
      LISTEN_ADDRESS: account.host,
      CONTROL_PORT: String(account.port),
      PASSIVE_PORTS: `${Math.min(...passivePorts)}-${Math.max(...passivePorts)}`,
      OPERATIONS_PORT: String(await freePort()),
      USERS: `file:${users}`,
      S3_ENDPOINT: s3.endpoint,
      S3_FORCE_PATH_STYLE: 'true',
      AWS_REGION: s3.region,
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
      NODE_EXTRA_CA_CERTS: s3.caFile,
      // Rows of more workers say so; with `auto` the figures would depend on the cores of the machine.
      WORKERS: '1',
      LOG_LEVEL: 'warn',
      MALLOC_ARENA_MAX: '1',
      MALLOC_TRIM_THRESHOLD_: '131072',
      ...variables,
    },
    account,
  });
}
