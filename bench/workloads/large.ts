import type { Peer, S3Target } from '../support/peer.ts';
import { measurePipe } from '../peers/pipe.ts';
import { markdownTable, median } from '../support/statistics.ts';
import { moveLargeFile, type LargeFigures } from '../support/transfers.ts';
import { attempt } from '../support/attempt.ts';

const mebibyte = 1024 * 1024;

/** One file up and down, compared with the bare pipe. Repetitions are interleaved. */
export async function large(
  peers: readonly Peer[],
  s3: S3Target,
  { repetitions, sizeMiB }: { readonly repetitions: number; readonly sizeMiB: number },
): Promise<void> {
  const sizeBytes = sizeMiB * mebibyte;
  const pipe: LargeFigures[] = [];
  const runs = new Map([['pipe', pipe], ...peers.map(({ name }) => [name, [] as LargeFigures[]] as const)]);
  for (let repetition = 0; repetition < repetitions; repetition++) {
    await attempt('pipe', async () => void pipe.push(await measurePipe(s3, sizeBytes)));
    for (const peer of peers) {
      await attempt(peer.name, async () => {
        runs.get(peer.name)?.push(await moveLargeFile(peer, sizeBytes));
      });
    }
  }
  const cell = (of: readonly LargeFigures[], figure: keyof LargeFigures): string => {
    const [value, floor] = [of, pipe].map((each) => median(each.map((figures) => figures[figure])));
    if (value === undefined || Number.isNaN(value)) return 'failed';
    return `${value.toFixed(2)} (${(value / (floor ?? Number.NaN)).toFixed(2)} x)`;
  };
  const figures = ['storSeconds', 'storCpuSecondsPerGiB', 'retrSeconds', 'retrCpuSecondsPerGiB'] as const;
  console.log(`One file of ${sizeMiB} MiB, median of ${repetitions}, ratio to the pipe\n`);
  console.log(
    markdownTable([
      ['server', 'STOR s', 'STOR CPU s/GiB', 'RETR s', 'RETR CPU s/GiB'],
      ...[...runs].map(([name, of]) => [name, ...figures.map((figure) => cell(of, figure))]),
    ]),
  );
  console.log();
}
