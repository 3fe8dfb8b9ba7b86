/** A gateway of several worker processes, over the embedded S3 server. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GatewayStatus, WorkerStatus } from '../../src/observability/gateway-status.ts';
import { PasswordHash } from '../../src/users/password.ts';
import { testCertificate } from './certificate.ts';
import { Dialogue, readAll } from './dialogue.ts';
import { GatewayProcess } from './gateway-process.ts';
import { freeRange } from './loopback-port.ts';
import { type S3Server, startS3Server } from './s3-server.ts';

/** What the gateways of one suite share: the S3 server, the users and a certificate. */
export type WorkerSuite = {
  readonly s3: S3Server;
  start(environment?: Readonly<Record<string, string>>, program?: string): Promise<WorkerGateway>;
  close(): Promise<void>;
};

export type WorkerGateway = {
  readonly gateway: GatewayProcess;
  readonly controlPort: number;
  readonly implicitTlsPort: number;
  readonly passivePorts: readonly number[];
  readonly request: (path: string, method?: 'GET' | 'POST') => Promise<Response>;
  readonly status: () => Promise<GatewayStatus & { readonly workers: readonly WorkerStatus[] }>;
  /** A session of the worker of this number, in TYPE I; the sessions of other workers that attempts got are closed. */
  readonly logInTo: (worker: number) => Promise<Dialogue>;
};

/** `alice` with the password `secret`. */
export async function startWorkerSuite(): Promise<WorkerSuite> {
  const s3 = await startS3Server();
  const folder = await mkdtemp(join(tmpdir(), 'ftp-gateway-workers-'));
  const usersPath = join(folder, 'users.json');
  const certificatePath = join(folder, 'certificate.pem');
  const keyPath = join(folder, 'key.pem');
  const password = await PasswordHash.create('secret');
  const users = [{ name: 'alice', password, permissions: 'read-write' }];
  const { chain, key } = await testCertificate();
  await Promise.all([
    writeFile(usersPath, JSON.stringify({ users })),
    writeFile(certificatePath, chain),
    writeFile(keyPath, key),
  ]);
  const common = {
    USERS: `file:${usersPath}`,
    S3_ENDPOINT: s3.endpoint,
    S3_FORCE_PATH_STYLE: 'true',
    S3_BUCKET: s3.bucket,
    TLS: 'optional',
    TLS_CERTIFICATE: `file:${certificatePath},${keyPath}`,
    IMPLICIT_TLS_PORT: '0',
    WORKERS: '2',
  };
  return {
    s3,
    start: async (environment = {}, program = 'src/main.ts') => {
      const range = await freeRange(Number(environment['WORKERS'] || common.WORKERS) * 2);
      const gateway = new GatewayProcess(
        { ...common, PASSIVE_PORTS: range.toString(), ...environment },
        { program },
      );
      return await running(gateway);
    },
    async close() {
      await s3.close();
      await rm(folder, { recursive: true });
    },
  };
}

async function running(gateway: GatewayProcess): Promise<WorkerGateway> {
  const started = await gateway.event('gateway-started');
  const { controlPort, implicitTlsPort = 0, passivePorts, operationsPort } = started;
  const request: WorkerGateway['request'] = (path, method = 'GET') =>
    fetch(`http://127.0.0.1:${operationsPort}${path}`, { method });
  const status: WorkerGateway['status'] = async () =>
    (await (await request('/status')).json()) as Awaited<ReturnType<WorkerGateway['status']>>;
  return {
    gateway,
    controlPort,
    implicitTlsPort,
    passivePorts,
    request,
    status,
    async logInTo(wanted) {
      const { workers } = await status();
      const ports = workers.find(({ worker }) => worker === wanted)?.passivePorts ?? [];
      for (;;) {
        const client = await Dialogue.logIn({ port: controlPort });
        await client.says('TYPE I', /^200 /);
        const data = await client.passive();
        const listing = readAll(data);
        await client.says('NLST', /^150 /, /^226 /);
        await listing;
        if (ports.includes(data.remotePort ?? 0)) return client;
        await client.quit();
      }
    },
  };
}
