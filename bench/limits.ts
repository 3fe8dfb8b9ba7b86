/**
 * `npm run bench:limits`: what servers do beyond single transfers, in front of one S3 server (VersityGW over TLS).
 * `npm run bench:limits -- [workloads] [options]`; workloads are `many` and `resume`, by default both. Options for a
 * short trial: `--size-mib N` (resume), `--uploads N` and `--upload-mib N` (many), `--servers gateway,sftpgo,rclone,stock`.
 * `--round-trip-ms N` adds a round trip to S3 for every server. `--baseline DIRECTORY` adds another checkout of the gateway, with
 * dependencies installed. Servers that are not installed are listed and skipped.
 */
import { cpus, release, totalmem } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startGatewayPeer } from './peers/gateway.ts';
import type { Peer, S3Target } from './support/peer.ts';
import { startRclone } from './peers/rclone.ts';
import { startSftpgo } from './peers/sftpgo.ts';
import { startStockFtpSrv } from './peers/stock-ftp-srv.ts';
import { startBenchS3 } from './support/s3-server.ts';
import { many } from './workloads/many.ts';
import { resume } from './workloads/resume.ts';

const workloads = { many, resume };
const starters = {
  gateway: (target: S3Target) => startGatewayPeer(target),
  sftpgo: (target: S3Target) => startSftpgo(target),
  rclone: (target: S3Target) => startRclone(target),
  stock: startStockFtpSrv,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'size-mib': { type: 'string', default: '1024' },
    uploads: { type: 'string', default: '64' },
    'upload-mib': { type: 'string', default: '256' },
    servers: { type: 'string', default: Object.keys(starters).join(',') },
    'round-trip-ms': { type: 'string', default: '0' },
    baseline: { type: 'string' },
  },
});
const sizeMiB = Number(values['size-mib']);
const chosenWorkloads = positionals.length === 0 ? Object.keys(workloads) : positionals;
const chosenServers = values.servers.split(',');
refuseUnknown('workload', chosenWorkloads, workloads);
refuseUnknown('server', chosenServers, starters);

const s3 = await startBenchS3({ roundTripMs: Number(values['round-trip-ms']) });
const peers = await startPeers(s3.target);
try {
  describeMachine();
  for (const workload of chosenWorkloads) {
    if (workload === 'many') {
      const [uploads, uploadMiB] = [Number(values.uploads), Number(values['upload-mib'])];
      await many(peers, s3, { uploads, uploadMiB });
    }
    if (workload === 'resume') await resume(peers, s3, { sizeMiB });
    await s3.empty();
  }
} finally {
  for (const peer of peers) await peer.stop();
  await s3.close();
}

function refuseUnknown(kind: string, names: readonly string[], known: object): void {
  for (const name of names)
    if (!(name in known)) throw new Error(`unknown ${kind} ${name}; known: ${Object.keys(known).join(', ')}`);
}

async function startPeers(target: S3Target): Promise<Peer[]> {
  const started: Peer[] = [];
  if (values.baseline !== undefined) {
    started.push(
      await startGatewayPeer(target, {}, { name: 'baseline', checkout: resolve(values.baseline) }),
    );
  }
  for (const [name, start] of Object.entries(starters)) {
    if (!chosenServers.includes(name)) continue;
    try {
      started.push(await start(target));
    } catch (error) {
      console.log(`Skipped ${name}: ${String(error)}`);
    }
  }
  return started;
}

function describeMachine(): void {
  const cpu = cpus();
  console.log(
    `Machine: ${cpu.length} x ${cpu[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.version}`,
  );
  console.log(`S3 server: ${s3.description}`);
  console.log(`Servers: ${peers.map(({ name, version }) => `${name} ${version}`).join(', ')}\n`);
}
