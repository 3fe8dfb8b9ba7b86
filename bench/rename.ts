/**
 * `node bench/rename.ts [files] [--round-trip-ms N]`: a folder of 10,000 files renamed over FTP, beside a sample of the same
 * copies sent one after the other. The S3 server is VersityGW over TLS, at a distance: a copy inside Amazon S3 takes 20 to
 * 50 ms, while this server answers in one or two and has the same CPU as the gateway, so that on loopback there is next to
 * nothing to be gained from parallelism.
 */
import { parseArgs } from 'node:util';
import { CopyObjectCommand, HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { LoadSession } from './support/ftp-client.ts';
import { startGatewayPeer } from './peers/gateway.ts';
import type { Peer } from './support/peer.ts';
import { measureUsage } from './support/process-usage.ts';
import { s3ClientOf, startBenchS3, type BenchS3 } from './support/s3-server.ts';
import { markdownTable, median } from './support/statistics.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'round-trip-ms': { type: 'string', default: '30' } },
});
const files = Number(positionals[0] ?? 10_000);
const copiedSerially = Math.min(files, 200);

const s3 = await startBenchS3({ roundTripMs: Number(values['round-trip-ms']), countsRequests: true });
let gateway: Peer | undefined;
try {
  gateway = await startGatewayPeer(s3.target);
  await putFiles(s3);
  const serial = await copySerially(s3);
  const session = await LoadSession.open(gateway.account);
  await session.command('RNFR from', 350);
  const requestsBefore = await s3.requestCount();
  const whole = await measureUsage(gateway.pid, async () => {
    await session.command('RNTO to', 250);
  });
  const requests = (await s3.requestCount()) - requestsBefore;
  await session.quit();
  const serialSeconds = (serial.copyMs / 1000) * files;
  console.log(`S3 server: ${s3.description}`);
  console.log(
    `A HeadObject takes ${serial.headMs.toFixed(1)} ms there, a CopyObject ${serial.copyMs.toFixed(1)} ms (each one after the other)\n`,
  );
  console.log(
    markdownTable([
      ['rename of', 'seconds', 'S3 requests', 'requests/s', 'CPU s', 'serial CopyObject s', 'ratio'],
      [
        `${files} files`,
        whole.seconds.toFixed(1),
        String(requests),
        (requests / whole.seconds).toFixed(0),
        whole.cpuSeconds.toFixed(1),
        `${serialSeconds.toFixed(0)} (from ${copiedSerially})`,
        (serialSeconds / whole.seconds).toFixed(1),
      ],
    ]),
  );
} finally {
  await gateway?.stop();
  await s3.close();
}

/** Puts the files where the gateway's user finds them, from nearby. */
async function putFiles({ client, target: { bucket } }: BenchS3): Promise<void> {
  let next = 0;
  const put = async (): Promise<void> => {
    while (next < files) {
      const Key = `gateway/from/file-${next++}`;
      await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'x'.repeat(4096) }));
    }
  };
  await Promise.all(Array.from({ length: 32 }, put));
}

/** A sample of the copies alone, over one persistent connection with the same round trip, and as many requests that copy nothing. */
async function copySerially({ target }: BenchS3): Promise<{ headMs: number; copyMs: number }> {
  const client = await s3ClientOf(target);
  const { bucket } = target;
  const headMs: number[] = [];
  const copyMs: number[] = [];
  const timed = async (times: number[], work: () => Promise<unknown>): Promise<void> => {
    const startedAt = performance.now();
    await work();
    times.push(performance.now() - startedAt);
  };
  for (let index = 0; index < copiedSerially; index++) {
    const from = `gateway/from/file-${index}`;
    await timed(headMs, () => client.send(new HeadObjectCommand({ Bucket: bucket, Key: from })));
    const copy = { Bucket: bucket, CopySource: `${bucket}/${from}`, Key: `serial/file-${index}` };
    await timed(copyMs, () => client.send(new CopyObjectCommand(copy)));
  }
  client.destroy();
  return { headMs: median(headMs), copyMs: copyMs.reduce((sum, ms) => sum + ms, 0) / copyMs.length };
}
