/**
 * `node bench/rename.ts [files] [round trip ms]`: a folder of 10,000 files renamed, beside the same copies one after the
 * other. The S3 server is VersityGW over TLS, with Amazon's distance added to each request: on loopback there is next to
 * nothing to be gained from parallelism, and the server's disk is all that is measured.
 */
import { CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { S3Filesystem } from '../src/filesystem/s3-filesystem.ts';
import { rootPathname, resolvePathname } from '../src/filesystem/pathname.ts';
import { copyObject } from '../src/s3/copy.ts';
import { inParallel } from '../src/s3/in-parallel.ts';
import { createS3Client } from '../src/s3/s3-client.ts';
import { TransferMemory } from '../src/s3/transfer-memory.ts';
import { findVersityGw, startVersityGw } from '../test/support/versitygw.ts';
import { measureUsage } from './process-usage.ts';
import { markdownTable } from './statistics.ts';

const files = Number(process.argv[2] ?? 10_000);
/** A copy inside S3 of one region takes tens of milliseconds. */
const roundTripMs = Number(process.argv[3] ?? 30);
const copiedSerially = 200;

const program = await findVersityGw();
if (program === undefined) throw new Error('VersityGW is not installed; see scripts/test-s3.ts');
const versitygw = await startVersityGw(program);
// The variable for another certificate is read at the process's start only.
process.env['NODE_TLS_REJECT_UNAUTHORIZED'] ??= '0';
const bucket = 'bench';
const client = createS3Client({
  endpoint: versitygw.endpoint,
  region: 'us-east-1',
  forcePathStyle: true,
  credentials: {
    accessKeyId: versitygw.environment['AWS_ACCESS_KEY_ID'] ?? '',
    secretAccessKey: versitygw.environment['AWS_SECRET_ACCESS_KEY'] ?? '',
  },
});
try {
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  await inParallel(Array(files).keys(), 64, async (index) => {
    const Key = `from/file-${index}`;
    await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'x'.repeat(4096) }));
  });
  client.middlewareStack.add(
    (next) => async (args) => {
      await new Promise((resolve) => setTimeout(resolve, roundTripMs));
      return await next(args);
    },
    { step: 'finalizeRequest', name: 'distance' },
  );
  const serial = await measureUsage(process.pid, async () => {
    for (let index = 0; index < copiedSerially; index++) {
      await copyObject(client, { bucket, from: `from/file-${index}`, to: `serial/file-${index}` });
    }
  });
  const storage = { client, memory: new TransferMemory(64 * 1024 ** 2), observe: () => undefined };
  const filesystem = new S3Filesystem(storage, { bucket, prefix: '' });
  const { signal } = new AbortController();
  const whole = await measureUsage(process.pid, () =>
    filesystem.rename(resolvePathname(rootPathname, 'from'), resolvePathname(rootPathname, 'to'), { signal }),
  );
  const serialSeconds = (serial.seconds / copiedSerially) * files;
  console.log(
    markdownTable([
      ['rename of', 'round trip ms', 'seconds', 'CPU s', 'one after the other, seconds', 'ratio'],
      [
        `${files} files`,
        String(roundTripMs),
        whole.seconds.toFixed(1),
        whole.cpuSeconds.toFixed(1),
        `${serialSeconds.toFixed(0)} (from ${copiedSerially})`,
        (serialSeconds / whole.seconds).toFixed(1),
      ],
    ]),
  );
} finally {
  client.destroy();
  await versitygw.close();
}
