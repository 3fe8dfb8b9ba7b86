/** The gateway as a process with the flags of the image, in front of an S3 server, and what it takes of the machine's memory. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { PasswordHash } from '../../../src/users/password.ts';
import { GatewayProcess } from '../../support/gateway-process.ts';
import { startS3Server, type S3Server } from '../../support/s3-server.ts';

export type ContainerProcess = {
  readonly s3: S3Server;
  readonly port: number;
  readonly gateway: GatewayProcess;
};

/** As Dockerfile has them. */
const imageEnvironment = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_TRIM_THRESHOLD_: '131072',
  NODE_OPTIONS: '--max-semi-space-size=8',
};

/** Starts both, and ends them with the test. */
export async function startContainerProcess(
  test: TestContext,
  environment: Readonly<Record<string, string>>,
): Promise<ContainerProcess> {
  const s3 = await startS3Server();
  test.after(() => s3.close());
  const folder = await mkdtemp(join(tmpdir(), 'ftp-gateway-memory-'));
  test.after(() => rm(folder, { recursive: true }));
  const users = join(folder, 'users.json');
  const password = await PasswordHash.create('secret');
  await writeFile(users, JSON.stringify({ users: [{ name: 'alice', password, permissions: 'read-write' }] }));
  const gateway = new GatewayProcess({
    USERS: `file:${users}`,
    S3_ENDPOINT: s3.endpoint,
    S3_FORCE_PATH_STYLE: 'true',
    S3_BUCKET: s3.bucket,
    ...imageEnvironment,
    ...environment,
  });
  test.after(() => gateway.stop());
  const { controlPort: port } = await gateway.event('gateway-started');
  return { s3, port, gateway };
}

/** Of the gateway's process, from /proc of Linux (proc(5)); `VmHWM` is the peak of `VmRSS`. */
export async function residentMiB(
  { gateway }: Pick<ContainerProcess, 'gateway'>,
  field: 'VmRSS' | 'VmHWM',
): Promise<number> {
  const status = await readFile(`/proc/${gateway.child.pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024;
}
