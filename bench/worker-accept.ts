/**
 * How connections reach several processes that listen on one port: by round robin from the primary of `node:cluster`, on one
 * socket shared by all, or on a socket each (SO_REUSEPORT). Shows the distribution, and the CPU of each process.
 *
 *     node bench/worker-accept.ts [workers] [connections] [concurrency]
 */
import cluster from 'node:cluster';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { table } from '../scripts/table.ts';

const strategies = ['one process', 'round robin', 'shared socket', 'SO_REUSEPORT'] as const;
type Strategy = (typeof strategies)[number];

/** What a process of the measurement reports at its end. */
type Report = { readonly connections: number; readonly cpuMs: number };

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** A listening process: greets, and reports when it receives a message. */
async function listenAs(strategy: Strategy, port: number): Promise<void> {
  let connections = 0;
  const server = createServer({ noDelay: true }, (socket) => {
    connections += 1;
    socket.on('error', () => undefined);
    socket.end('220 ready\r\n');
    socket.resume();
  });
  server.listen({ port, host: '127.0.0.1', backlog: 4096, reusePort: strategy === 'SO_REUSEPORT' });
  await once(server, 'listening');
  process.send?.({ port: (server.address() as AddressInfo).port });
  process.once('message', () => {
    process.send?.({ connections, cpuMs: cpuMs() } satisfies Report, () => process.exit());
  });
}

async function connectAll(port: number, connections: number, concurrency: number): Promise<void> {
  let left = connections;
  const lane = async (): Promise<void> => {
    while (left-- > 0) {
      const socket = connect({ port, host: '127.0.0.1' });
      socket.resume();
      await once(socket, 'close');
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
}

async function reportOf(child: ChildProcess): Promise<Report> {
  const reported = once(child, 'message') as Promise<[Report]>;
  child.send('report');
  const [report] = await reported;
  return report;
}

async function portOf(child: ChildProcess): Promise<number> {
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  return port;
}

/** One run in a primary of its own, because the policy of a cluster cannot change. */
async function measure(strategy: Strategy, workers: number, load: readonly string[]): Promise<void> {
  const count = strategy === 'one process' ? 1 : workers;
  cluster.schedulingPolicy = strategy === 'shared socket' ? cluster.SCHED_NONE : cluster.SCHED_RR;
  const isShared = strategy === 'round robin' || strategy === 'shared socket';
  const children: ChildProcess[] = [];
  let port = 0;
  for (let index = 0; index < count; index += 1) {
    // All workers of a cluster that ask for a free port share one.
    const args = ['listen', strategy, String(isShared ? 0 : port)];
    if (isShared) cluster.setupPrimary({ args });
    const child = isShared ? cluster.fork().process : fork(import.meta.filename, args);
    children.push(child);
    port = await portOf(child);
  }
  const client = fork(import.meta.filename, ['connect', String(port), ...load]);
  const startedAtMs = performance.now();
  await once(client, 'exit');
  const seconds = (performance.now() - startedAtMs) / 1000;
  const reports = await Promise.all(children.map(reportOf));
  const counts = reports.map(({ connections }) => connections).sort((one, other) => one - other);
  const workersMs = reports.reduce((sum, report) => sum + report.cpuMs, 0);
  const connections = counts.reduce((sum, one) => sum + one, 0);
  process.send?.([
    strategy,
    counts.join(', '),
    seconds.toFixed(2),
    ((workersMs * 1000) / connections).toFixed(0),
    ((cpuMs() * 1000) / connections).toFixed(0),
  ]);
}

const [role = '2', first = '20000', second = '64', ...more] = process.argv.slice(2);
if (role === 'listen') await listenAs(first as Strategy, Number(second));
else if (role === 'connect') {
  await connectAll(Number(first), Number(second), Number(more[0]));
  process.exit();
} else if (role === 'measure') await measure(first as Strategy, Number(second), more);
else {
  const rows: string[][] = [];
  for (const strategy of strategies) {
    const run = fork(import.meta.filename, ['measure', strategy, role, first, second]);
    const [row] = (await once(run, 'message')) as [string[]];
    rows.push(row);
    run.disconnect();
    run.kill();
  }
  const head = ['strategy', 'connections of each', 'seconds', 'workers, CPU µs each', 'primary, CPU µs each'];
  process.stdout.write(`${table(head, rows)}\n`);
}
