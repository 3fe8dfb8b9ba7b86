/**
 * `npm run bench`: the gateway beside its peers and the floor, in one run, in front of one S3 server (VersityGW over TLS).
 * Repetitions are interleaved, so that a noisy moment of the machine hits everybody. Options: the names of the works to run
 * (`large`, `small`, `many`), `--repetitions N`. Peers that are not installed are named and left out.
 */
import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { findVersityGw, startVersityGw, type VersityGw } from '../test/support/versitygw.ts';
import { startGatewayPeer } from './peers/gateway.ts';
import type { Peer, S3Target } from './peers/peer.ts';
import { measurePipe } from './peers/pipe.ts';
import { startRclone } from './peers/rclone.ts';
import { startSftpgo } from './peers/sftpgo.ts';
import { startStockFtpSrv } from './peers/stock-ftp-srv.ts';
import { markdownTable, median } from './statistics.ts';
import { moveLargeFile, moveSmallFiles, storeManyAtOnce, type LargeFigures } from './transfers.ts';

const works = ['large', 'small', 'many'] as const;
type Work = (typeof works)[number];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { repetitions: { type: 'string', default: '3' } },
});
const repetitions = Number(values.repetitions);
const chosen = positionals.length === 0 ? works : positionals.map(workNamed);

const program = await findVersityGw();
if (program === undefined) throw new Error('VersityGW is not installed; see scripts/test-s3.ts');
const versitygw = await startVersityGw(program);
// The SDK of this process, too, must trust the server; the variable is read at start only, so the bench asks for it here.
process.env['NODE_TLS_REJECT_UNAUTHORIZED'] ??= '0';
const s3 = await makeBucket(versitygw);
const peers = await startPeers(s3);
try {
  describeMachine(peers, program);
  if (chosen.includes('large')) await large(peers, s3);
  if (chosen.includes('small')) await small(peers);
  if (chosen.includes('many')) await many(peers);
} finally {
  for (const peer of peers) await peer.stop();
  await versitygw.close();
}

function workNamed(name: string): Work {
  const work = works.find((known) => known === name);
  if (work === undefined) throw new Error(`no work is called ${name}; there are ${works.join(', ')}`);
  return work;
}

async function makeBucket({ endpoint, environment }: VersityGw): Promise<S3Target> {
  const bucket = 'bench';
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    credentials: credentialsOf(environment),
    forcePathStyle: true,
  });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  const caFile = environment['NODE_EXTRA_CA_CERTS'] ?? '';
  return { endpoint, bucket, region: 'us-east-1', ...credentialsOf(environment), caFile };
}

function credentialsOf(
  environment: VersityGw['environment'],
): Pick<S3Target, 'accessKeyId' | 'secretAccessKey'> {
  return {
    accessKeyId: environment['AWS_ACCESS_KEY_ID'] ?? '',
    secretAccessKey: environment['AWS_SECRET_ACCESS_KEY'] ?? '',
  };
}

async function startPeers(target: S3Target): Promise<Peer[]> {
  const starters = [startGatewayPeer, startSftpgo, startRclone, startStockFtpSrv];
  const started: Peer[] = [];
  for (const start of starters) {
    try {
      started.push(await start(target));
    } catch (error) {
      console.log(`Left out (${start.name}): ${String(error)}`);
    }
  }
  return started;
}

function describeMachine(started: readonly Peer[], versityGw: string): void {
  const cpu = cpus();
  console.log(
    `Machine: ${cpu.length} x ${cpu[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.version}`,
  );
  console.log(`S3 server: VersityGW ${moduleVersion(versityGw)} on a local folder, over TLS on loopback`);
  console.log(`Servers: ${started.map(({ name, version }) => `${name} ${version}`).join(', ')}\n`);
}

function moduleVersion(path: string): string {
  const printed = execFileSync('go', ['version', '-m', path], { encoding: 'utf8' });
  return /\tmod\t\S+\t(\S+)/.exec(printed)?.[1] ?? '';
}

async function large(started: readonly Peer[], target: S3Target): Promise<void> {
  const runs = new Map<string, LargeFigures[]>([
    ['pipe', []],
    ...started.map(({ name }) => [name, []] as const),
  ] as [string, LargeFigures[]][]);
  for (let repetition = 0; repetition < repetitions; repetition++) {
    runs.get('pipe')?.push(await measurePipe(target));
    for (const peer of started) {
      await attempt(peer.name, async () => {
        runs.get(peer.name)?.push(await moveLargeFile(peer));
      });
    }
  }
  const of = (name: string, figure: keyof LargeFigures): number =>
    median((runs.get(name) ?? []).map((figures) => figures[figure]));
  const cell = (name: string, figure: keyof LargeFigures): string => {
    const value = of(name, figure);
    return Number.isNaN(value)
      ? 'failed'
      : `${value.toFixed(2)} (${(value / of('pipe', figure)).toFixed(2)} x)`;
  };
  const figures = ['storSeconds', 'storCpuSecondsPerGiB', 'retrSeconds', 'retrCpuSecondsPerGiB'] as const;
  console.log(`1 GiB, median of ${repetitions}, ratio to the pipe\n`);
  console.log(
    markdownTable([
      ['server', 'STOR s', 'STOR CPU s/GiB', 'RETR s', 'RETR CPU s/GiB'],
      ...[...runs.keys()].map((name) => [name, ...figures.map((figure) => cell(name, figure))]),
    ]),
  );
  console.log();
}

async function small(started: readonly Peer[]): Promise<void> {
  const rows = [['work', 'server', 'files/s', 'p50 ms', 'p99 ms']];
  for (const sessions of [1, 16]) {
    for (const direction of ['STOR', 'RETR'] as const) {
      const runs = new Map(
        started.map(({ name }) => [name, [] as Awaited<ReturnType<typeof moveSmallFiles>>[]]),
      );
      for (let repetition = 0; repetition < repetitions; repetition++) {
        for (const peer of started) {
          await attempt(peer.name, async () => {
            runs.get(peer.name)?.push(await moveSmallFiles(peer, direction, sessions));
          });
        }
      }
      for (const [name, figures] of runs) {
        rows.push([
          `${direction}, ${sessions} session${sessions === 1 ? '' : 's'}`,
          name,
          median(figures.map(({ filesPerSecond }) => filesPerSecond)).toFixed(0),
          median(figures.map(({ p50Ms }) => p50Ms)).toFixed(2),
          median(figures.map(({ p99Ms }) => p99Ms)).toFixed(2),
        ]);
      }
    }
  }
  console.log(`1,000 files of 4 KiB, median of ${repetitions}\n`);
  console.log(markdownTable(rows));
  console.log();
}

async function many(started: readonly Peer[]): Promise<void> {
  const rows = [['server', 'completed', 'seconds', 'peak memory MiB']];
  for (const peer of started) {
    await attempt(peer.name, async () => {
      const figures = await storeManyAtOnce(peer);
      rows.push([
        peer.name,
        `${figures.completed} of 64`,
        figures.seconds.toFixed(1),
        figures.peakMemoryMiB.toFixed(0),
      ]);
    });
  }
  console.log('64 uploads of 256 MiB at once\n');
  console.log(markdownTable(rows));
  console.log();
}

/** A peer that fails a work is named and left out of it; the others go on. */
async function attempt(name: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    console.log(`${name} failed: ${String(error)}`);
  }
}
