/** The works whose figures docs/benchmarks.md shows, done to any server that speaks FTP. */
import { LoadSession } from './ftp-load.ts';
import type { Peer } from './peers/peer.ts';
import { measureUsage, peakMemoryMiB, resetPeakMemory, type Usage } from './process-usage.ts';
import { quantile } from './statistics.ts';

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;
const gibibyte = 1024 * mebibyte;

export type LargeFigures = {
  readonly storSeconds: number;
  readonly storCpuSecondsPerGiB: number;
  readonly retrSeconds: number;
  readonly retrCpuSecondsPerGiB: number;
};

/** One file of `sizeBytes` up and down; seconds count from the command to 226. */
export async function moveLargeFile(peer: Peer, sizeBytes = gibibyte): Promise<LargeFigures> {
  const session = await LoadSession.open(peer.account);
  const block = Buffer.alloc(mebibyte, 'large file ');
  const stor = await measureUsage(peer.pid, () => session.store('large.bin', block, sizeBytes / mebibyte));
  const retr = await measureUsage(peer.pid, async () => {
    const receivedBytes = await session.retrieve('large.bin');
    if (receivedBytes !== sizeBytes)
      throw new Error(`${peer.name} sent ${receivedBytes} of ${sizeBytes} bytes`);
  });
  await session.quit();
  return largeFigures(stor, retr, sizeBytes);
}

/** What was measured, by the GiB where it grows with the file. */
export function largeFigures(stor: Usage, retr: Usage, sizeBytes: number): LargeFigures {
  const gibibytes = sizeBytes / gibibyte;
  return {
    storSeconds: stor.seconds,
    storCpuSecondsPerGiB: stor.cpuSeconds / gibibytes,
    retrSeconds: retr.seconds,
    retrCpuSecondsPerGiB: retr.cpuSeconds / gibibytes,
  };
}

export type SmallFigures = {
  readonly filesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
};

/** `files` files of 4 KiB over `sessions` sessions; each file's time runs from EPSV to 226. */
export async function moveSmallFiles(
  peer: Peer,
  direction: 'STOR' | 'RETR',
  sessions: number,
  files = 1000,
): Promise<SmallFigures> {
  const block = Buffer.alloc(4 * kibibyte, 'small file ');
  const open = await Promise.all(Array.from({ length: sessions }, () => LoadSession.open(peer.account)));
  const timesMs: number[] = [];
  let next = 0;
  const startedAt = performance.now();
  await Promise.all(
    open.map(async (session) => {
      while (next < files) {
        const name = `small-${next++}.bin`;
        const fileStartedAt = performance.now();
        if (direction === 'STOR') await session.store(name, block, 1);
        else await session.retrieve(name);
        timesMs.push(performance.now() - fileStartedAt);
      }
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  await Promise.all(open.map((session) => session.quit()));
  return { filesPerSecond: files / seconds, p50Ms: quantile(timesMs, 0.5), p99Ms: quantile(timesMs, 0.99) };
}

export type ManyFigures = {
  readonly seconds: number;
  readonly completed: number;
  readonly peakMemoryMiB: number;
};

/** `uploads` uploads of `sizeBytes` at once, each in a session of its own. */
export async function storeManyAtOnce(
  peer: Peer,
  uploads = 64,
  sizeBytes = 256 * mebibyte,
): Promise<ManyFigures> {
  const block = Buffer.alloc(mebibyte, 'one of many ');
  await resetPeakMemory(peer.pid);
  const sessions = await Promise.all(Array.from({ length: uploads }, () => LoadSession.open(peer.account)));
  const startedAt = performance.now();
  const outcomes = await Promise.allSettled(
    sessions.map((session, index) => session.store(`many-${index}.bin`, block, sizeBytes / mebibyte)),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  await Promise.allSettled(sessions.map((session) => session.quit()));
  return {
    seconds,
    completed: outcomes.filter(({ status }) => status === 'fulfilled').length,
    peakMemoryMiB: await peakMemoryMiB(peer.pid),
  };
}
