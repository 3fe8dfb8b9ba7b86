import { BareRequests } from '../support/bare-requests.ts';
import type { Peer, S3Target } from '../support/peer.ts';
import { markdownTable, median } from '../support/statistics.ts';
import {
  filesOfEach,
  moveSmallFiles,
  smallFilesFor,
  type SmallFigures,
  type SmallWorkload,
} from '../support/transfers.ts';
import { attempt } from '../support/attempt.ts';

/** A server, or the bare requests. */
type Mover = {
  readonly name: string;
  readonly files: number;
  move(work: SmallWorkload): Promise<SmallFigures>;
};

const directions = ['STOR', 'RETR'] as const;
const unmeasured = { prefix: 'unmeasured', sessions: 16, files: 64 };

/** Files of 4 KiB over one session and over 16, compared with bare requests for the same objects. Repetitions are interleaved. */
export async function small(
  peers: readonly Peer[],
  s3: S3Target,
  { repetitions, files }: { readonly repetitions: number; readonly files: number },
): Promise<void> {
  const bare = await BareRequests.to(s3);
  const movers: Mover[] = [
    { name: 'bare request', files, move: (work) => bare.move(work) },
    ...peers.map((peer) => ({
      name: peer.name,
      files: smallFilesFor(peer, files),
      move: (work: SmallWorkload) => moveSmallFiles(peer, work),
    })),
  ];
  const rows = [
    ['workload', 'server', 'files/s', 'p50 ms', 'p99 ms', 'p50 above the bare request ms', 'CPU ms/file'],
  ];
  // A warm-up, so that compilation and connections are not measured.
  for (const mover of movers) {
    await attempt(mover.name, async () => {
      for (const direction of directions) await mover.move({ ...unmeasured, direction });
    });
  }
  for (const sessions of [1, 16]) {
    const figures = await measure(movers, sessions, repetitions);
    for (const direction of directions) rows.push(...rowsOf(figures[direction], direction, sessions));
  }
  bare.close();
  console.log(`Files of 4 KiB, ${filesOfEach(peers, files)}, median of ${repetitions}`);
  console.log(
    "Bare request: PutObject and GetObject, signed beforehand, 1 and 16 at a time over keep-alive HTTPS; its CPU time is the client's\n",
  );
  console.log(markdownTable(rows));
  console.log();
}

type Figures = Record<'STOR' | 'RETR', Map<string, SmallFigures[]>>;

async function measure(movers: readonly Mover[], sessions: number, repetitions: number): Promise<Figures> {
  const none = (): Map<string, SmallFigures[]> => new Map(movers.map(({ name }) => [name, []]));
  const figures: Figures = { STOR: none(), RETR: none() };
  for (let repetition = 0; repetition < repetitions; repetition++) {
    // New names each time, so that no upload replaces a file, and RETR reads what STOR has just written.
    const prefix = `small-${sessions}-${repetition}`;
    for (const mover of movers) {
      const { name, files } = mover;
      await attempt(name, async () => {
        for (const direction of directions)
          figures[direction].get(name)?.push(await mover.move({ direction, prefix, sessions, files }));
      });
    }
  }
  return figures;
}

function rowsOf(
  figures: ReadonlyMap<string, readonly SmallFigures[]>,
  direction: string,
  sessions: number,
): string[][] {
  const of = (name: string, figure: keyof SmallFigures): number =>
    median((figures.get(name) ?? []).map((each) => each[figure]));
  const floorMs = of('bare request', 'p50Ms');
  return [...figures.keys()].map((name) => [
    `${direction}, ${sessions} session${sessions === 1 ? '' : 's'}`,
    name,
    of(name, 'filesPerSecond').toFixed(0),
    of(name, 'p50Ms').toFixed(2),
    of(name, 'p99Ms').toFixed(2),
    (of(name, 'p50Ms') - floorMs).toFixed(2),
    of(name, 'cpuMsPerFile').toFixed(2),
  ]);
}
