/** What is measured, done to any server that speaks FTP. */
import { LoadSession } from './ftp-client.ts';
import type { Peer } from './peer.ts';
import { measureUsage, peakMemoryMiB, resetPeakMemory, type Usage } from './process-usage.ts';

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

const mostFilesOfStock = 200;

/** How many small files a server is given: stock ftp-srv takes 44 ms for each and need not take minutes to show it. */
export function smallFilesFor({ name }: Peer, files: number): number {
  return name === 'stock ftp-srv' ? Math.min(files, mostFilesOfStock) : files;
}

/** The number of files for the head of a table, with the servers that got fewer. */
export function filesOfEach(peers: readonly Peer[], files: number): string {
  const fewer = peers
    .filter((peer) => smallFilesFor(peer, files) < files)
    .map((peer) => `${peer.name} ${smallFilesFor(peer, files)}`);
  return [`${files} of them`, ...fewer].join(', ');
}

export type ManyFigures = {
  readonly seconds: number;
  readonly completed: number;
  /** What each upload that failed failed with. */
  readonly failures: readonly string[];
  readonly memoryBeforeMiB: number;
  /** Not a number where the server has ended meanwhile. */
  readonly peakMemoryMiB: number;
};

/** `uploads` uploads of `sizeBytes` at once, each in a session of its own; the clock runs when all have logged in. */
export async function storeManyAtOnce(peer: Peer, uploads: number, sizeBytes: number): Promise<ManyFigures> {
  const block = Buffer.alloc(mebibyte, 'one of many ');
  await resetPeakMemory(peer.pid);
  const memoryBeforeMiB = await peakMemoryMiB(peer.pid);
  const logins = await Promise.allSettled(
    Array.from({ length: uploads }, () => LoadSession.open(peer.account)),
  );
  const startedAt = performance.now();
  const outcomes = await Promise.allSettled(
    logins.map(async (login, index) => {
      if (login.status === 'rejected') throw login.reason;
      await login.value.store(`many-${index}.bin`, block, sizeBytes / mebibyte);
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  const sessions = logins.filter((login) => login.status === 'fulfilled');
  await Promise.all(sessions.map(({ value }) => value.quit()));
  const failures = outcomes
    .filter((outcome) => outcome.status === 'rejected')
    .map(({ reason }) => String(reason));
  return {
    seconds,
    completed: uploads - failures.length,
    failures,
    memoryBeforeMiB,
    peakMemoryMiB: await peakMemoryMiB(peer.pid).catch(() => Number.NaN),
  };
}
