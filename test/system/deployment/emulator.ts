/** MiniStack, an emulator of AWS APIs, with the extension beside this file, as a process of its own on loopback. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, constants, mkdtemp, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../support/loopback-port.ts';

/** A change that CloudFormation has just made; the stack goes on when the listener's promise resolves. */
export type ResourceChange = {
  readonly operation: 'create' | 'update' | 'delete';
  readonly type: string;
  readonly physicalId: string;
};

export type Emulator = {
  readonly endpoint: string;
  /** What programs need to talk to it. */
  readonly environment: Readonly<Record<string, string>>;
  /** A folder that is removed with it. */
  readonly folder: string;
  onChange: (change: ResourceChange) => Promise<void>;
  close(): Promise<void>;
};

const repository = fileURLToPath(new URL('../../..', import.meta.url));
const extension = fileURLToPath(new URL('ministack_extension.py', import.meta.url));
const dockerStandIn = fileURLToPath(new URL('docker-stand-in.sh', import.meta.url));

/** The interpreter of the virtual environment that `scripts/test-deployment.ts` makes; undefined where there is none. */
export async function findPython(): Promise<string | undefined> {
  const python =
    process.env['MINISTACK_PYTHON'] ??
    fileURLToPath(new URL('../../../.cache/ministack/bin/python', import.meta.url));
  return await access(python, constants.X_OK).then(
    () => python,
    () => undefined,
  );
}

/** `network` is the first two numbers of the loopback addresses that the emulator gives out as Elastic IPs. */
export async function startEmulator(python: string, network: string): Promise<Emulator> {
  const folder = await mkdtemp(join(tmpdir(), 'ftp-gateway-deployment-'));
  // Functions are unpacked below this folder (TMPDIR) and find the AWS SDK here, which Lambda's runtime has.
  await symlink(join(repository, 'node_modules'), join(folder, 'node_modules'));
  const port = await freePort();
  const emulator: Emulator = {
    endpoint: `http://127.0.0.1:${port}`,
    environment: {
      AWS_ENDPOINT_URL: `http://127.0.0.1:${port}`,
      AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${port}`,
      AWS_REGION: 'us-east-1',
      AWS_DEFAULT_REGION: 'us-east-1',
      // The CLI caches the account of an access key in its home, which is the emulator's folder.
      AWS_ACCESS_KEY_ID: 'deployment-test',
      AWS_SECRET_ACCESS_KEY: 'deployment-test',
      AWS_EC2_METADATA_DISABLED: 'true',
      HOME: folder,
      CDK_DOCKER: dockerStandIn,
      CI: '1',
    },
    folder,
    onChange: () => Promise.resolve(),
    close: async () => {
      hook.closeAllConnections();
      hook.close();
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      await rm(folder, { recursive: true, force: true });
    },
  };
  const hook = createServer((request, response) => {
    void (async () => {
      let body = '';
      for await (const chunk of request) body += String(chunk);
      try {
        await emulator.onChange(JSON.parse(body) as ResourceChange);
        response.end('{}');
      } catch (error) {
        response.statusCode = 500;
        response.end((error as Error).message);
      }
    })();
  });
  hook.listen(0, '127.0.0.1');
  await once(hook, 'listening');
  const child = spawn(python, [extension], {
    env: {
      PATH: process.env['PATH'],
      ...emulator.environment,
      GATEWAY_PORT: String(port),
      BIND_HOST: '127.0.0.1',
      MINISTACK_HOST: '127.0.0.1',
      S3_DATA_DIR: join(folder, 's3'),
      TMPDIR: folder,
      LOG_LEVEL: 'WARNING',
      ELASTIC_IP_PREFIX: `${network}.1.`,
      HOOK_URL: `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await untilReady(emulator.endpoint, child);
  return emulator;
}

async function untilReady(endpoint: string, child: ChildProcess): Promise<void> {
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-4000)));
  for (let attempt = 0; attempt < 300; attempt += 1) {
    if (child.exitCode !== null) break;
    const answered = await fetch(`${endpoint}/_ministack/health`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (answered) return;
    await sleep(100);
  }
  throw new Error(`MiniStack did not start:\n${stderr}`);
}
