/** From runs to figures. Pure. */
import type { Results, Run } from '../comparison/results.ts';
import type { Row } from '../comparison/rows.ts';
import type { Mode } from '../comparison/servers.ts';
import { median } from '../support/statistics.ts';

/** Median, and the range of all runs. */
export type Spread = {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly runs: number;
};

export type Measured = Exclude<Run, { error: string }>;

/** What a row is judged by. Small values are better in `time` and `cpu`, whatever unit they are printed in. */
export type Figures = {
  /** Seconds for each file, login or GiB. */
  readonly time: Spread;
  readonly cpu: Spread;
  /** Of the first process alone. */
  readonly firstProcessCpu: Spread;
  readonly p50Ms: Spread;
  readonly p99Ms: Spread;
  readonly peakMemoryMiB: Spread;
  readonly idleKiBPerSession: Spread | undefined;
  readonly resumedShare: number;
};

export function isMeasured(run: Run): run is Measured {
  return !('error' in run);
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values), runs: values.length };
}

/** Undefined where no run succeeded. */
export function figuresOf(
  results: Results,
  row: Row,
  mode: Mode,
  server: string,
  phase: Run['phase'] = 'warm',
): Figures | undefined {
  const runs = runsOf(results, row, mode, server, phase)
    .filter(isMeasured)
    .filter(({ files }) => files > 0);
  if (runs.length === 0) return undefined;
  const units = (run: Measured): number => (row.group === 'large' ? run.bytes / 2 ** 30 : run.files);
  const secured = runs.reduce((sum, run) => sum + run.resumed + run.full, 0);
  return {
    time: spreadOf(runs.map((run) => run.seconds / units(run))),
    cpu: spreadOf(runs.map((run) => run.cpuSeconds / units(run))),
    firstProcessCpu: spreadOf(runs.map((run) => run.firstProcessCpuSeconds / units(run))),
    p50Ms: spreadOf(runs.map((run) => run.p50Ms)),
    p99Ms: spreadOf(runs.map((run) => run.p99Ms)),
    peakMemoryMiB: spreadOf(runs.map((run) => run.peakMemoryMiB)),
    idleKiBPerSession:
      row.group === 'idle' ? spreadOf(runs.map((run) => ((run.idleMiB ?? 0) * 1024) / run.files)) : undefined,
    resumedShare: secured === 0 ? 0 : runs.reduce((sum, run) => sum + run.resumed, 0) / secured,
  };
}

function runsOf(results: Results, row: Row, mode: Mode, server: string, phase: Run['phase']): Run[] {
  return results.runs.filter(
    (run) => run.row === row.id && run.mode === mode && run.server === server && run.phase === phase,
  );
}

/** The error of a row that has no figures; undefined where it was not run. */
export function failureOf(results: Results, row: Row, mode: Mode, server: string): string | undefined {
  for (const run of results.runs) {
    if (run.server !== server || run.mode !== mode || (run.row !== row.id && run.row !== 'start')) continue;
    if ('error' in run) return run.error;
  }
  return undefined;
}

export type Rival = {
  readonly row: Row;
  readonly mode: Mode;
  readonly figure: 'time' | 'cpu';
  readonly server: string;
  /** The other server's figure, as a share of the gateway's: below 1. */
  readonly ratio: number;
  /** Whether the ranges of the runs overlap, so that the order may be chance. */
  readonly overlaps: boolean;
};

const close = 0.995;

/** Where another server on S3 has the better median. */
export function rowsBehind(results: Results, gateway = 'gateway'): Rival[] {
  const rivals: Rival[] = [];
  for (const mode of ['clear', 'FTPS'] as const) {
    for (const row of results.rows.filter(({ group }) => group !== 'idle')) {
      const own = figuresOf(results, row, mode, gateway);
      if (!own) continue;
      for (const { id, storage } of results.servers) {
        const isOther = !id.startsWith(gateway) && storage === 'S3';
        const other = isOther ? figuresOf(results, row, mode, id) : undefined;
        if (!other) continue;
        for (const figure of ['time', 'cpu'] as const) {
          const ratio = other[figure].median / own[figure].median;
          const overlaps = other[figure].max >= own[figure].min;
          if (ratio < close) rivals.push({ row, mode, figure, server: id, ratio, overlaps });
        }
      }
    }
  }
  return rivals;
}
