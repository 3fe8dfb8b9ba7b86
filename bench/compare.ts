/**
 * `npm run bench`: compares the gateway with other servers in front of one S3 server (VersityGW over TLS), and with servers on a disk,
 * in clear and under FTPS. Writes every run to `bench/results/comparison.json`, from which `npm run bench:report` writes
 * docs/benchmarks.md.
 *
 * Options: `--servers gateway,gateway-2,sftpgo,rclone,stock,vsftpd,proftpd`, `--modes clear,FTPS`, `--rows large,small,login,idle`,
 * `--repetitions N` (5), `--disk-repetitions N` (3), `--large-mib N` (512), `--small-files N` (500), `--logins N` (800),
 * `--idle-sessions N` (400), `--no-cold`, `--client-cpus LIST` (the CPUs of the load client and of the S3 server; servers get those of
 * this process: `taskset -c 0,1 npm run bench -- --client-cpus 2,3`), `--baseline DIRECTORY` (another checkout of the gateway), `--output FILE`.
 * `BENCH_PEERS` names a folder with programs that are not on the PATH (`npm run bench:peers -- FOLDER` builds SFTPGo and rclone
 * into it). Servers that are not installed are reported and left out.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { measureMode } from './comparison/measure.ts';
import { resultsFile, textOfResults, type CrossCheck, type Run } from './comparison/results.ts';
import { rowsOf } from './comparison/rows.ts';
import { comparedServers, type ComparedServer, type Mode } from './comparison/servers.ts';
import { buildLoadClient } from './support/load-client.ts';
import { confine } from './support/process-usage.ts';
import { startBenchS3 } from './support/s3-server.ts';

const { values } = parseArgs({
  options: {
    servers: { type: 'string' },
    modes: { type: 'string', default: 'clear,FTPS' },
    rows: { type: 'string', default: 'large,small,login,idle' },
    repetitions: { type: 'string', default: '5' },
    'disk-repetitions': { type: 'string', default: '3' },
    'large-mib': { type: 'string', default: '512' },
    'small-files': { type: 'string', default: '500' },
    logins: { type: 'string', default: '800' },
    'idle-sessions': { type: 'string', default: '400' },
    'no-cold': { type: 'boolean', default: false },
    'client-cpus': { type: 'string' },
    baseline: { type: 'string' },
    output: { type: 'string', default: resultsFile },
  },
});

const programs = process.env['BENCH_PEERS'];
if (programs !== undefined)
  process.env['PATH'] = `${resolve(programs)}${delimiter}${process.env['PATH'] ?? ''}`;

const startedAt = new Date();
const client = await buildLoadClient();
const s3 = await startBenchS3();
const { 'client-cpus': clientCpus } = values;
if (clientCpus !== undefined) await confine(s3.pid, clientCpus);
// Linux keeps this in memory, so that the servers on a disk show their own speed.
const folder = await mkdtemp('/dev/shm/ftp-bench-');
try {
  const baseline = values.baseline === undefined ? undefined : resolve(values.baseline);
  const all = comparedServers({ s3: s3.target, folder, baseline });
  const wanted = values.servers?.split(',') ?? all.map(({ id }) => id);
  refuseUnknown(
    'server',
    wanted,
    all.map(({ id }) => id),
  );
  const modes = values.modes.split(',');
  refuseUnknown('mode', modes, ['clear', 'FTPS']);
  const groups = values.rows.split(',');
  refuseUnknown('row', groups, ['large', 'small', 'login', 'idle']);
  const servers = await installed(all.filter(({ id }) => wanted.includes(id)));
  const rows = rowsOf({
    largeMiB: Number(values['large-mib']),
    smallFiles: Number(values['small-files']),
    logins: Number(values.logins),
    idleSessions: Number(values['idle-sessions']),
  }).filter(({ group }) => groups.includes(group));
  const repetitions = Number(values.repetitions);
  const diskRepetitions = Math.min(repetitions, Number(values['disk-repetitions']));
  const runs: Run[] = [];
  const crossChecks: CrossCheck[] = [];
  for (const mode of modes as Mode[]) {
    const measured = await measureMode(
      {
        client: { program: client, ...(clientCpus !== undefined && { cpus: clientCpus }) },
        s3Pid: s3.pid,
        servers: servers.map(({ server }) => server),
        rows,
        repetitions,
        diskRepetitions,
        maxSeconds: 20,
        isCold: !values['no-cold'],
        log: (line) => console.log(line),
      },
      mode,
    );
    runs.push(...measured.runs);
    crossChecks.push(...measured.crossChecks);
  }
  const results = {
    startedAt: startedAt.toISOString(),
    minutes: Math.round((Date.now() - startedAt.getTime()) / 60_000),
    commit: commit(),
    machine: machine(),
    s3: s3.description,
    client: `bench/client, ${execFileSync('go', ['version'], { encoding: 'utf8' }).trim()}`,
    ...(clientCpus !== undefined && { clientCpus }),
    repetitions,
    diskRepetitions,
    servers: servers.map(({ server: { id, name, storage, settings, ftps, share }, version }) => {
      return { id, name, version, storage, settings, ftps, share };
    }),
    rows,
    crossChecks,
    runs,
  };
  await mkdir(dirname(values.output), { recursive: true });
  await writeFile(values.output, textOfResults(results));
  const failed = runs.filter((run) => 'error' in run).length;
  console.log(
    `${runs.length} runs, ${failed} of them failed, in ${results.minutes} minutes: ${values.output}`,
  );
} finally {
  await rm(folder, { recursive: true, force: true });
  await s3.close();
}

/** Those that start in clear, with their versions. */
async function installed(
  servers: readonly ComparedServer[],
): Promise<{ readonly server: ComparedServer; readonly version: string }[]> {
  const found: { server: ComparedServer; version: string }[] = [];
  for (const server of servers) {
    try {
      const peer = await server.start('clear');
      await peer.stop();
      found.push({ server, version: peer.version });
    } catch (error) {
      console.log(`Left out: ${server.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return found;
}

function refuseUnknown(kind: string, names: readonly string[], known: readonly string[]): void {
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`unknown ${kind} ${unknown}; known: ${known.join(', ')}`);
}

function machine(): string {
  const cpu = cpus();
  const memoryGiB = Math.round(totalmem() / 2 ** 30);
  return `${cpu.length} x ${cpu[0]?.model ?? 'unknown'}, ${memoryGiB} GiB, Linux ${release()}, Node ${process.version}`;
}

function commit(): string {
  const root = join(import.meta.dirname, '..');
  return execFileSync('git', ['describe', '--always', '--dirty', '--abbrev=12'], {
    cwd: root,
    encoding: 'utf8',
  }).trim();
}
