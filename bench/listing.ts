/**
 * `node bench/listing.ts [entries...]`: LIST and MLSD of 100,000 and 1,000,000 entries through the whole gateway, beside a
 * loop of ListObjectsV2 alone, which nobody can beat by much. The S3 server makes up its listings (`listing-server.ts`).
 */
import { S3Client, paginateListObjectsV2 } from '@aws-sdk/client-s3';
import { fileURLToPath } from 'node:url';
import { freePort } from '../test/support/loopback-port.ts';
import { LoadSession } from './ftp-load.ts';
import { startGatewayPeer } from './peers/gateway.ts';
import { startPeer, type Peer, type S3Target } from './peers/peer.ts';
import { measureUsage, peakMemoryMiB, resetPeakMemory } from './process-usage.ts';
import { markdownTable } from './statistics.ts';

const counts = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [100_000, 1_000_000];

const port = await freePort();
const s3 = {
  endpoint: `http://127.0.0.1:${port}`,
  bucket: 'listing',
  region: 'us-east-1',
  accessKeyId: 'bench',
  secretAccessKey: 'bench',
  caFile: '',
};
const server = await startPeer({
  name: 'listing server',
  version: '',
  program: process.execPath,
  arguments: [fileURLToPath(new URL('./peers/listing-server.ts', import.meta.url)), String(port)],
  environment: {},
  account: { host: '127.0.0.1', port, username: '', password: '' },
});
let gateway: Peer | undefined;
try {
  gateway = await startGatewayPeer(s3);
  const head = ['work', 'entries', 'first byte ms', 'seconds', 'CPU s', 'memory before MiB', 'peak MiB'];
  const rows = [head];
  // Once unmeasured, so that nothing is compiled or connected on the clock.
  await list(gateway, 'MLSD', 20_000);
  await pages(s3, 20_000);
  for (const count of counts) {
    rows.push(await pages(s3, count), await list(gateway, 'MLSD', count), await list(gateway, 'LIST', count));
  }
  console.log(markdownTable(rows));
} finally {
  await gateway?.stop();
  await server.stop();
}

async function list(peer: Peer, verb: string, count: number): Promise<string[]> {
  const session = await LoadSession.open(peer.account);
  await resetPeakMemory(peer.pid);
  const beforeMiB = await peakMemoryMiB(peer.pid);
  const startedAt = performance.now();
  let firstByteMs = 0;
  const { seconds, cpuSeconds } = await measureUsage(peer.pid, async () => {
    await session.list(`${verb} files-${count}`, () => (firstByteMs = performance.now() - startedAt));
  });
  const peakMiB = await peakMemoryMiB(peer.pid);
  await session.quit();
  return row(verb, count, firstByteMs, seconds, cpuSeconds, beforeMiB, peakMiB);
}

async function pages(target: S3Target, count: number): Promise<string[]> {
  const client = new S3Client({
    endpoint: target.endpoint,
    region: target.region,
    credentials: { accessKeyId: target.accessKeyId, secretAccessKey: target.secretAccessKey },
    forcePathStyle: true,
  });
  await resetPeakMemory(process.pid);
  const beforeMiB = await peakMemoryMiB(process.pid);
  const startedAt = performance.now();
  let firstPageMs = 0;
  let found = 0;
  const { seconds, cpuSeconds } = await measureUsage(process.pid, async () => {
    const listing = { Bucket: target.bucket, Prefix: `gateway/files-${count}/`, Delimiter: '/' };
    for await (const { Contents = [], CommonPrefixes = [] } of paginateListObjectsV2({ client }, listing)) {
      if (found === 0) firstPageMs = performance.now() - startedAt;
      found += Contents.length + CommonPrefixes.length;
    }
  });
  if (found !== count) throw new Error(`${found} entries of ${count}`);
  client.destroy();
  const peakMiB = await peakMemoryMiB(process.pid);
  return row('ListObjectsV2 alone', count, firstPageMs, seconds, cpuSeconds, beforeMiB, peakMiB);
}

function row(work: string, count: number, ...figures: readonly number[]): string[] {
  return [
    work,
    String(count),
    ...figures.map((figure, index) => figure.toFixed(index === 1 || index === 2 ? 2 : 0)),
  ];
}
