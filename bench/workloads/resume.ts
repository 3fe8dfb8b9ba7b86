import { crc32 } from 'node:zlib';
import { ListObjectsV2Command, ListPartsCommand } from '@aws-sdk/client-s3';
import { contentBetween, crc32OfContent } from '../support/content.ts';
import { LoadSession } from '../support/ftp-client.ts';
import { startGatewayPeer } from '../peers/gateway.ts';
import type { Peer } from '../support/peer.ts';
import type { BenchS3 } from '../support/s3-server.ts';
import { markdownTable } from '../support/statistics.ts';
import { attempt } from '../support/attempt.ts';

const mebibyte = 1024 * 1024;
const windowMinutes = '60';
const name = 'resume.bin';

/**
 * One upload, its data connection reset at 90 %; a new session asks SIZE and sends the rest from there (REST, STOR), or the
 * whole file where there is nothing. The file is read back.
 */
export async function resume(
  peers: readonly Peer[],
  s3: BenchS3,
  { sizeMiB }: { readonly sizeMiB: number },
): Promise<void> {
  const resuming = await startGatewayPeer(s3.target, { RESUME_WINDOW_MINUTES: windowMinutes });
  const named = { ...resuming, name: `this gateway, RESUME_WINDOW_MINUTES=${windowMinutes}` };
  const rows = [
    [
      'server',
      'file in S3 after the break',
      'SIZE',
      'goes on at',
      'sent again MiB',
      'in parts',
      'first s',
      'second s',
      'read back',
    ],
  ];
  try {
    for (const peer of [named, ...peers]) {
      await attempt(peer.name, async () => {
        try {
          rows.push(await breakAndGoOn(peer, s3, sizeMiB * mebibyte));
        } finally {
          await s3.empty();
        }
      });
    }
  } finally {
    await resuming.stop();
  }
  console.log(`One upload of ${sizeMiB} MiB, its data connection reset at 90 %, in a new session sent on\n`);
  console.log(markdownTable(rows));
  console.log();
}

async function breakAndGoOn(peer: Peer, s3: BenchS3, sizeBytes: number): Promise<string[]> {
  const breakAtBytes = Math.floor(sizeBytes * 0.9);
  const broken = await LoadSession.open(peer.account);
  const startedAt = performance.now();
  await broken.storeAndReset(name, contentBetween(0, breakAtBytes));
  const firstSeconds = (performance.now() - startedAt) / 1000;
  await broken.quit();
  const partBytes = await largestPartBytes(s3);
  const publishedBytes = await publishedBytesIn(s3);

  const session = await LoadSession.open(peer.account);
  const size = await session.ask(`SIZE ${name}`);
  const offsetBytes = size.startsWith('213 ') ? Number(size.slice(4)) : 0;
  const wentOnAt = performance.now();
  const failure = await session.storeFrom(name, contentBetween(offsetBytes, sizeBytes), offsetBytes).then(
    () => undefined,
    (error: unknown) => String(error),
  );
  const secondSeconds = (performance.now() - wentOnAt) / 1000;
  const againBytes = breakAtBytes - offsetBytes;
  const row = [
    peer.name,
    publishedBytes === undefined ? 'none' : `cut off, ${(publishedBytes / mebibyte).toFixed(1)} MiB`,
    size,
    offsetBytes === 0 ? 'starts over' : `${(offsetBytes / mebibyte).toFixed(1)} MiB`,
    failure === undefined ? (againBytes / mebibyte).toFixed(1) : '-',
    failure === undefined && offsetBytes > 0 && partBytes > 0
      ? `${(againBytes / partBytes).toFixed(1)} of ${(partBytes / mebibyte).toFixed(1)} MiB`
      : '-',
    firstSeconds.toFixed(2),
    failure ?? secondSeconds.toFixed(2),
    failure === undefined ? await readBack(session, sizeBytes) : '-',
  ];
  await session.quit();
  return row;
}

/** Size and CRC-32 of what the server gives back. */
async function readBack(session: LoadSession, sizeBytes: number): Promise<string> {
  let value = 0;
  const receivedBytes = await session.retrieve(name, (bytes) => (value = crc32(bytes, value)));
  if (receivedBytes !== sizeBytes) return `WRONG: ${receivedBytes} bytes of ${sizeBytes}`;
  return value === crc32OfContent(sizeBytes) ? 'the same bytes' : 'WRONG: other bytes';
}

/** The size of the published file; undefined if there is none. */
async function publishedBytesIn({ client, target: { bucket } }: BenchS3): Promise<number | undefined> {
  const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
  return Contents.find(({ Key = '' }) => Key.endsWith(name))?.Size;
}

/** Of the uploads that S3 keeps open; what the gateway itself notes in small parts is smaller. 0 where there are none. */
async function largestPartBytes(s3: BenchS3): Promise<number> {
  let largest = 0;
  for (const { Key, UploadId } of await s3.openUploads()) {
    const upload = { Bucket: s3.target.bucket, Key, UploadId };
    const { Parts = [] } = await s3.client.send(new ListPartsCommand(upload));
    largest = Math.max(largest, ...Parts.map(({ Size = 0 }) => Size));
  }
  return largest;
}
