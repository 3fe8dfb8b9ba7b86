/** The document of a comparison, in Markdown. Pure. */
import type { Results } from '../comparison/results.ts';
import type { Row } from '../comparison/rows.ts';
import type { Mode } from '../comparison/servers.ts';
import { markdownTable, median } from '../support/statistics.ts';
import {
  failureOf,
  type Figures,
  figuresOf,
  isMeasured,
  rowsBehind,
  type Rival,
  type Spread,
} from './figures.ts';
import { type Panel, plotOf } from './plot.ts';
import { severalCoresOf } from './several-cores.ts';

const modes = ['clear', 'FTPS'] as const;

/** `cores`: the run that the section about several cores is made of. */
export function documentOf(results: Results, cores = results): string {
  return [
    behindOf(results),
    methodOf(results),
    ...(['large', 'small', 'login', 'idle'] as const).flatMap((group) => {
      const rows = results.rows.filter((row) => row.group === group);
      return rows.length === 0 ? [] : [sectionOf(results, group, rows)];
    }),
    ...severalCoresOf(cores),
    crossChecksOf(results),
    failuresOf(results),
  ].join('\n\n');
}

/** File names and SVG. */
export function plotsOf(results: Results): [string, string][] {
  const groups = ['large', 'small', 'login'] as const;
  return groups.flatMap((group): [string, string][] => {
    const rows = results.rows.filter((row) => row.group === group);
    if (rows.length === 0) return [];
    const unit = unitOf(group);
    return (['time', 'cpu'] as const).map((figure) => {
      const panels = modes.flatMap((mode) => rows.map((row) => panelOf(results, row, mode, figure)));
      const heading = `${figure === 'time' ? 'Time' : 'CPU time of the server'}, ${unit.printed}; shorter is better`;
      const shown = panels.filter(({ bars }) => bars.length > 0);
      return [`${group}-${figure}.svg`, plotOf(heading, shown, (value) => (value * unit.factor).toFixed(2))];
    });
  });
}

function panelOf(results: Results, row: Row, mode: Mode, figure: 'time' | 'cpu'): Panel {
  const bars = results.servers.flatMap(({ id, name, storage }) => {
    const figures = figuresOf(results, row, mode, id);
    if (!figures) return [];
    return [
      { label: name, isOwn: id.startsWith('gateway'), isLimit: storage === 'disk', spread: figures[figure] },
    ];
  });
  return { title: `${row.title}, ${mode}`, bars };
}

type Group = Row['group'];

function unitOf(group: Group): { readonly factor: number; readonly printed: string } {
  if (group === 'large') return { factor: 1, printed: 's/GiB' };
  return { factor: 1_000, printed: group === 'small' ? 'ms/file' : 'ms/login' };
}

function nameOf(results: Results, id: string): string {
  return results.servers.find((server) => server.id === id)?.name ?? id;
}

function behindOf(results: Results): string {
  const rivals = rowsBehind(results);
  const lines = rivals.map(({ row, mode, figure, server, ratio, overlaps }: Rival) => {
    const what = figure === 'time' ? 'time' : 'CPU time';
    const chance = overlaps ? '; the ranges of the runs overlap' : '';
    return `- ${row.title}, ${mode}: ${nameOf(results, server)} takes ${ratio.toFixed(2)} x the ${what} of this gateway${chance}.`;
  });
  const head = '## Where another server is ahead';
  if (lines.length === 0)
    return `${head}\n\nIn this run no other server in front of S3 has the better median in any row, in time or in CPU time.`;
  return `${head}\n\nBy the median, of the servers in front of S3; in all other rows below this gateway is ahead or level.\n\n${lines.join('\n')}`;
}

function methodOf(results: Results): string {
  const others = results.runs
    .filter(isMeasured)
    .map(({ otherCpuSeconds, seconds }) => otherCpuSeconds / seconds);
  const compared = results.runs.filter(isMeasured).reduce((sum, run) => sum + run.compared, 0);
  const shares = results.servers.filter(({ share }) => share < 1);
  const servers = markdownTable([
    ['server', 'version', 'stores on', 'FTPS', 'settings other than its defaults'],
    ...results.servers.map(({ name, version, storage, ftps, settings }) => [
      name,
      version,
      storage,
      ftps,
      settings,
    ]),
  ]);
  return `## How it was measured

${servers}

- Machine: ${results.machine}. Measured on ${results.startedAt.slice(0, 10)} in ${results.minutes} minutes, commit \`${results.commit}\`.
- S3 server: ${results.s3}. It is the same process for all servers.
- Client: ${results.client}. It takes little CPU time; ${results.clientCpus === undefined ? 'client, server and S3 server share the cores' : `client and S3 server ran on CPU ${results.clientCpus} alone`}. Under FTPS each data connection
  resumes the TLS session of its control connection where the server allows that.
- Each figure is the median of ${results.repetitions} runs (servers on a disk ${results.diskRepetitions}), with the lowest and the highest run behind it. Runs are interleaved: row by row, all servers
  take turns, in another order each time. Before them each server is warmed up with twice the load of each row. The cold figure is the first load of a process
  that was started for it.
- CPU time is that of the server with all its processes. Work outside of the measurement took ${(median(others) * 100).toFixed(0)} % of one core in the median run and ${(Math.max(...others) * 100).toFixed(0)} % in the
  worst; each run has its own figure in the data.
- ${compared.toLocaleString('en')} files were compared by CRC-32: after each upload the stored object with what was sent, after each download what was received with
  what was stored. A run with a difference counts as failed.
- ${shares.map(({ name, share }) => `${name} moves ${share * 100} % of the small files and logins of the others, because it takes tens of milliseconds for each.`).join(' ') || 'All servers move the same number of files.'}
- vsftpd and ProFTPD store on a file system in memory. They are no rivals, but show what an FTP server without S3 takes. They use a process for each session.
- All runs, one line each: [bench/results/comparison.json](../bench/results/comparison.json). To repeat it: \`npm run bench:peers -- peers\` once, then
  \`BENCH_PEERS=peers npm run bench\` and \`npm run bench:report\`.`;
}

const headings: Readonly<Record<Group, string>> = {
  large: '## Large files',
  small: '## Small files',
  login: '## Logins',
  idle: '## Idle sessions',
};

function sectionOf(results: Results, group: Group, rows: readonly Row[]): string {
  const plots =
    group === 'idle'
      ? ''
      : `\n\n![Time](benchmarks/${group}-time.svg)\n\n![CPU time](benchmarks/${group}-cpu.svg)`;
  const tables = rows.map(
    (row) => `### ${row.title}\n\n${group === 'idle' ? idleTable(results, row) : tableOf(results, row)}`,
  );
  return `${headings[group]}${plots}\n\n${tables.join('\n\n')}`;
}

function tableOf(results: Results, row: Row): string {
  const { factor, printed } = unitOf(row.group);
  const rate = (value: number): string =>
    row.group === 'large' ? `${(1024 / value).toFixed(0)} MiB/s` : `${(1 / value).toFixed(0)}/s`;
  const number = ({ median: middle, min, max }: Spread, by = factor): string =>
    `${(middle * by).toFixed(2)} [${(min * by).toFixed(2)}-${(max * by).toFixed(2)}]`;
  const lines = modes.flatMap((mode) =>
    results.servers.flatMap(({ id, name }) => {
      const warm = figuresOf(results, row, mode, id);
      if (!warm)
        return failureOf(results, row, mode, id) === undefined
          ? []
          : [[mode, name, 'failed', '', '', '', '', '']];
      const cold = figuresOf(results, row, mode, id, 'cold');
      const cells = [mode, name, number(warm.time), rate(warm.time.median), number(warm.cpu)];
      if (row.group === 'large') cells.push(warm.peakMemoryMiB.median.toFixed(0));
      else cells.push(`${warm.p50Ms.median.toFixed(2)}, ${warm.p99Ms.median.toFixed(2)}`);
      return [[...cells, ...coldCells(cold, factor)]];
    }),
  );
  const last = row.group === 'large' ? 'peak memory MiB' : 'p50, p99 ms';
  return markdownTable([
    ['', 'server', `time ${printed}`, 'rate', `CPU ${printed}`, last, `cold time`, `cold CPU`],
    ...lines,
  ]);
}

function coldCells(cold: Figures | undefined, factor: number): string[] {
  if (!cold) return ['', ''];
  return [(cold.time.median * factor).toFixed(2), (cold.cpu.median * factor).toFixed(2)];
}

function idleTable(results: Results, row: Row): string {
  const lines = modes.flatMap((mode) =>
    results.servers.flatMap(({ id, name }) => {
      const figures = figuresOf(results, row, mode, id);
      if (!figures?.idleKiBPerSession) return [];
      return [
        [mode, name, figures.idleKiBPerSession.median.toFixed(0), (figures.cpu.median * 1000).toFixed(2)],
      ];
    }),
  );
  return `${markdownTable([['', 'server', 'KiB for each session', 'CPU ms for its login'], ...lines])}

Memory of the server with all its processes (shared memory counted once), after the logins less before them, in a process that was just
started; measured once. What a process allocates once, at its first login, is divided by the sessions as well.`;
}

function crossChecksOf(results: Results): string {
  const lines = results.crossChecks.flatMap((check) => {
    const row = results.rows.find(({ id }) => id === check.row);
    if (!row) return [];
    const own = figuresOf(results, row, check.mode, check.server);
    const ownSeconds = own ? ((own.time.median * row.bytes) / 2 ** 30).toFixed(2) : '';
    const curl = 'error' in check ? `failed: ${check.error}` : check.seconds.toFixed(2);
    return [[check.mode, nameOf(results, check.server), row.operation.toUpperCase(), curl, ownSeconds]];
  });
  return `## Cross-check with curl

One transfer of the large file each, with its login, beside the median of the load client.

${markdownTable([['', 'server', '', 'curl s', 'load client s'], ...lines])}`;
}

function failuresOf(results: Results): string {
  const counts = new Map<string, number>();
  for (const run of results.runs) {
    if (!('error' in run)) continue;
    const text = `${nameOf(results, run.server)}, ${run.mode}, ${run.row}: ${run.error}`;
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  const lines = [...counts].map(
    ([text, count]) => `- ${count} x ${text.replaceAll('\n', ' ').replace(/:\d{4,5}/g, '')}`,
  );
  return `## Runs that failed\n\n${lines.length === 0 ? 'None.' : lines.join('\n')}`;
}
