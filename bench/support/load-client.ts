/**
 * The load client (`bench/client`, in Go), and what it measures. It is compiled because a client in Node.js takes more CPU time than
 * some of the servers, and would hide their differences on a machine of two cores.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Peer } from './peer.ts';
import {
  cpuSeconds,
  cpuSecondsOfTree,
  machineCpuSeconds,
  peakMemoryOfTreeMiB,
  resetPeakMemoryOfTree,
} from './process-usage.ts';
import { quantile } from './statistics.ts';

const source = fileURLToPath(new URL('../client', import.meta.url));
const target = fileURLToPath(new URL('../../node_modules/.cache/ftp-load-client', import.meta.url));

/** Builds the client; without changes that takes no time. Throws what to install where Go is missing. */
export async function buildLoadClient(): Promise<string> {
  await mkdir(fileURLToPath(new URL('../../node_modules/.cache', import.meta.url)), { recursive: true });
  try {
    await promisify(execFile)('go', ['build', '-o', target, '.'], { cwd: source });
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new Error(
      isMissing ? 'The load client needs Go 1.22 or later: https://go.dev/dl/' : String(cause),
      {
        cause,
      },
    );
  }
  return target;
}

export type Operation = 'stor' | 'retr' | 'login' | 'idle';

export type Load = {
  readonly operation: Operation;
  readonly security: 'clear' | 'explicit' | 'implicit';
  readonly directory: string;
  readonly prefix: string;
  readonly sessions: number;
  /** Over all sessions. */
  readonly files: number;
  readonly bytes: number;
  /** No file is begun after so long. */
  readonly maxSeconds: number;
};

/** What the client prints. */
type ClientFigures = {
  readonly files: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly latenciesMs: readonly number[];
  readonly checksums: Readonly<Record<string, number>>;
  readonly resumed: number;
  readonly full: number;
  readonly errors: readonly string[];
};

export type LoadFigures = Omit<ClientFigures, 'latenciesMs' | 'errors'> & {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of the server with all its processes, of the S3 server, of the client, and of everything else on the machine meanwhile. */
  readonly cpuSeconds: number;
  /** Of the first process of the server alone: the primary of worker processes. */
  readonly firstProcessCpuSeconds: number;
  readonly s3CpuSeconds: number;
  readonly clientCpuSeconds: number;
  readonly otherCpuSeconds: number;
  /** Of all processes of the server, each at its own peak. */
  readonly peakMemoryMiB: number;
};

export type LoadClient = {
  readonly program: string;
  /** The CPUs that the client may use, as `taskset` takes them; all by default. */
  readonly cpus?: string;
};

/**
 * Runs a load against a server. `whileConnected` runs when the load is over and its sessions are still open.
 * @throws the client's first error.
 */
export async function runLoad(
  { program, cpus }: LoadClient,
  peer: Peer,
  s3Pid: number,
  load: Load,
  whileConnected: () => Promise<void> = () => Promise.resolve(),
): Promise<LoadFigures> {
  const { host, port, username, password } = peer.account;
  const [command = program, ...first] = cpus === undefined ? [] : ['taskset', '--cpu-list', cpus, program];
  const child = spawn(
    command,
    [
      ...first,
      ...[
        '-address',
        `${host}:${port}`,
        '-user',
        username,
        '-password',
        password,
        '-security',
        load.security,
      ],
      ...['-operation', load.operation, '-directory', load.directory, '-prefix', load.prefix],
      ...['-sessions', String(load.sessions), '-files', String(load.files), '-bytes', String(load.bytes)],
      ...['-max-seconds', String(load.maxSeconds)],
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  const exited = once(child, 'exit');
  const problems = text(child.stderr);
  const output = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const nextLine = async (): Promise<string> => {
    const { value, done } = await output.next();
    if (done === true) throw new Error((await problems).trim() || 'the load client ended');
    return value;
  };
  try {
    await nextLine();
    await resetPeakMemoryOfTree(peer.pid);
    const usage = async () => ({
      server: await cpuSecondsOfTree(peer.pid),
      firstProcess: await cpuSeconds(peer.pid),
      s3: await cpuSecondsOfTree(s3Pid),
      client: await cpuSecondsOfTree(child.pid ?? 0),
      own: process.cpuUsage(),
      machine: await machineCpuSeconds(),
    });
    const before = await usage();
    child.stdin.write('\n');
    const figures = JSON.parse(await nextLine()) as ClientFigures;
    const after = await usage();
    const { latenciesMs, errors, ...rest } = figures;
    if (errors.length > 0) throw new Error(errors[0]);
    await whileConnected();
    const serverCpuSeconds = after.server - before.server;
    const s3CpuSeconds = after.s3 - before.s3;
    const clientCpuSeconds = after.client - before.client;
    const own = (after.own.user + after.own.system - before.own.user - before.own.system) / 1e6;
    const known = serverCpuSeconds + s3CpuSeconds + clientCpuSeconds + own;
    return {
      ...rest,
      p50Ms: quantile(latenciesMs, 0.5),
      p99Ms: quantile(latenciesMs, 0.99),
      cpuSeconds: serverCpuSeconds,
      firstProcessCpuSeconds: after.firstProcess - before.firstProcess,
      s3CpuSeconds,
      clientCpuSeconds,
      otherCpuSeconds: Math.max(0, after.machine - before.machine - known),
      peakMemoryMiB: await peakMemoryOfTreeMiB(peer.pid),
    };
  } finally {
    child.stdin.end();
    const killer = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await exited;
    clearTimeout(killer);
  }
}
