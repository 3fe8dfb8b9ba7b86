/**
 * `node bench/listing.ts [entries...] [--repetitions N] [--round-trip-ms N]`: LIST and MLSD of 100,000 and 1,000,000 entries
 * through the whole gateway, compared with ListObjectsV2 alone. The S3 server generates its listings (`listing-server.ts`), with
 * an added round trip if given. The time to the first byte starts at EPSV and is compared with that of two bare pages.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { freePort } from '../test/support/loopback-port.ts';
import { LoadSession } from './support/ftp-client.ts';
import { bareTwoPages, sdkListing, type PageTimes } from './support/listing-alone.ts';
import { startDistance, type Distance } from './support/distance.ts';
import { startGatewayPeer } from './peers/gateway.ts';
import { startPeer, type Peer } from './support/peer.ts';
import { measureUsage, peakMemoryMiB, resetPeakMemory } from './support/process-usage.ts';
import { markdownTable, median } from './support/statistics.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    repetitions: { type: 'string', default: '3' },
    'round-trip-ms': { type: 'string', default: '0' },
  },
});
const counts = positionals.length > 0 ? positionals.map(Number) : [100_000, 1_000_000];
const repetitions = Number(values.repetitions);
const roundTripMs = Number(values['round-trip-ms']);

type Figures = {
  readonly firstByteMs: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly memoryBeforeMiB: number;
  readonly peakMiB: number;
};

const port = await freePort();
const server = await startPeer({
  name: 'listing server',
  version: '',
  program: process.execPath,
  arguments: [fileURLToPath(new URL('./peers/listing-server.ts', import.meta.url)), String(port)],
  environment: {},
  account: { host: '127.0.0.1', port, username: '', password: '' },
});
let distance: Distance | undefined;
let gateway: Peer | undefined;
try {
  const near = `http://127.0.0.1:${port}`;
  if (roundTripMs > 0) distance = await startDistance(near, roundTripMs);
  const s3 = {
    endpoint: distance?.endpoint ?? near,
    bucket: 'listing',
    region: 'us-east-1',
    accessKeyId: 'bench',
    secretAccessKey: 'bench',
    caFile: '',
  };
  const peer = (gateway = await startGatewayPeer(s3));
  const workloads = new Map<string, (count: number) => Promise<Figures>>([
    ['LIST', (count) => list(peer, 'LIST', count)],
    ['MLSD', (count) => list(peer, 'MLSD', count)],
    ['ListObjectsV2 by the SDK', (count) => measureListing(process.pid, () => sdkListing(s3, count))],
  ]);
  // A warm-up, so that compilation and connections are not measured.
  for (const work of workloads.values()) await work(20_000);
  await bareTwoPages(s3, 20_000);

  console.log(`Listings, median of ${repetitions}, ${roundTripMs} ms of round trip to S3 added\n`);
  for (const count of counts) {
    const pages: PageTimes[] = [];
    const runs = [...workloads].map(([name, work]) => ({ name, work, figures: [] as Figures[] }));
    for (let repetition = 0; repetition < repetitions; repetition++) {
      for (let time = 0; time < 5; time++) pages.push(await bareTwoPages(s3, count));
      for (const { work, figures } of runs) figures.push(await work(count));
    }
    const oneMs = median(pages.map(({ onePageMs }) => onePageMs));
    const twoMs = median(pages.map(({ twoPagesMs }) => twoPagesMs));
    console.log(
      `${count} entries; ListObjectsV2 by a bare request: one page ${oneMs.toFixed(2)} ms, two pages ${twoMs.toFixed(2)} ms\n`,
    );
    console.log(table(runs, twoMs));
    console.log();
  }
} finally {
  await gateway?.stop();
  await distance?.stop();
  await server.stop();
}

async function list(peer: Peer, verb: string, count: number): Promise<Figures> {
  const session = await LoadSession.open(peer.account);
  const figures = await measureListing(peer.pid, async () => {
    const startedAt = performance.now();
    let firstByteMs = 0;
    await session.list(`${verb} files-${count}`, () => (firstByteMs = performance.now() - startedAt));
    return firstByteMs;
  });
  await session.quit();
  return figures;
}

/** @param listing resolves to the milliseconds until its first byte. */
async function measureListing(pid: number, listing: () => Promise<number>): Promise<Figures> {
  await resetPeakMemory(pid);
  const memoryBeforeMiB = await peakMemoryMiB(pid);
  let firstByteMs = 0;
  const usage = await measureUsage(pid, async () => {
    firstByteMs = await listing();
  });
  return { ...usage, firstByteMs, memoryBeforeMiB, peakMiB: await peakMemoryMiB(pid) };
}

function table(
  runs: readonly { readonly name: string; readonly figures: readonly Figures[] }[],
  twoPagesMs: number,
): string {
  return markdownTable([
    ['workload', 'first byte ms', "of two pages' time", 'seconds', 'CPU s', 'memory before MiB', 'peak MiB'],
    ...runs.map(({ name, figures }) => {
      const of = (figure: keyof Figures): number => median(figures.map((each) => each[figure]));
      return [
        name,
        of('firstByteMs').toFixed(2),
        (of('firstByteMs') / twoPagesMs).toFixed(2),
        of('seconds').toFixed(2),
        of('cpuSeconds').toFixed(2),
        of('memoryBeforeMiB').toFixed(0),
        Math.max(...figures.map(({ peakMiB }) => peakMiB)).toFixed(0),
      ];
    }),
  ]);
}
