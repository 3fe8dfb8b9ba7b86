/** What two worker processes cost and give beside one process, and what follows for more cores than were measured. Pure. */
import type { Results } from '../comparison/results.ts';
import { markdownTable } from '../support/statistics.ts';
import { figuresOf } from './figures.ts';

const single = 'gateway';
const double = 'gateway-2';
/** Of the machine that the last column is about. */
const cores = 16;

/** A section, or nothing where there are no figures of both. Rows of one session use one worker, so they show nothing. */
export function severalCoresOf(results: Results): string[] {
  const lines = (['clear', 'FTPS'] as const).flatMap((mode) =>
    results.rows
      .filter(({ group, sessions }) => (group === 'small' || group === 'login') && sessions > 1)
      .flatMap((row) => {
        const one = figuresOf(results, row, mode, single);
        const two = figuresOf(results, row, mode, double);
        if (!one || !two) return [];
        const primarySeconds = two.firstProcessCpu.median;
        const workerSeconds = two.cpu.median - primarySeconds;
        const ofWorkers = (cores - 1) / workerSeconds;
        const ofPrimary = primarySeconds === 0 ? Infinity : 1 / primarySeconds;
        return [
          [
            mode,
            row.title,
            `${rate(1 / one.time.median)}, ${rate(1 / two.time.median)}`,
            `${rate(1 / one.cpu.median)}, ${rate(1 / two.cpu.median)}`,
            (primarySeconds * 1e6).toFixed(0),
            `${rate(Math.min(ofWorkers, ofPrimary))} (${((100 * Math.min(ofWorkers, ofPrimary)) / ofPrimary).toFixed(0)} %)`,
          ],
        ];
      }),
  );
  if (lines.length === 0) return [];
  return [
    `## Several cores

Two worker processes and their primary (\`WORKERS=2\`) beside a single process, files or logins a second. ${placeOf(results)} So the second
column shows what a CPU second gives, whatever it is that limits the first one.

${markdownTable([
  [
    '',
    'load',
    'a second: 1 worker, 2',
    'a CPU second: 1 worker, 2',
    'primary, CPU µs each',
    `arithmetic for ${cores} cores: a second (primary busy)`,
  ],
  ...lines,
])}

To repeat it on two cores: \`taskset -c 0 npm run bench -- --servers gateway,gateway-2 --rows small,login --client-cpus 1 --output bench/results/cores.json\`.

The last column divides ${cores - 1} cores by the CPU time of the workers, and leaves one core to the primary, which no byte and no data
connection passes: it hands over each control connection, counts sessions and logins for the limits, and writes the log. It is arithmetic, not a
measurement: it says what the processes need of each other, and not what the memory bandwidth of ${cores} cores, a network or S3 would give. The
log is left out too, because the servers log warnings only: a line of a worker for each login or transfer is written by the primary.
[Several cores in one task](scale.md#several-cores-in-one-task) has what ends earlier.`,
  ];
}

function placeOf({ clientCpus }: Results): string {
  return clientCpus === undefined
    ? 'Client, S3 server and gateway shared the cores of the machine.'
    : `Client and S3 server ran on CPU ${clientCpus} alone, and the gateway on the others.`;
}

function rate(value: number): string {
  return Math.round(value).toLocaleString('en');
}
