/** The data of a comparison, as it is written to `bench/results/`. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { LoadFigures } from '../support/load-client.ts';
import type { Row } from './rows.ts';
import type { ComparedServer, Mode } from './servers.ts';

/** `cold`: the first load of a process. `warm-up` runs are kept, and used for no figure. */
export type Phase = 'cold' | 'warm-up' | 'warm';

type RunKey = {
  readonly server: string;
  readonly mode: Mode;
  readonly row: string;
  readonly phase: Phase;
  readonly repetition: number;
};

export type Run = RunKey &
  (
    | (Omit<LoadFigures, 'checksums'> & {
        /** Files whose checksum was compared. */
        readonly compared: number;
        /** What the idle sessions took, in MiB. */
        readonly idleMiB?: number;
      })
    | { readonly error: string }
  );

/** A large file with curl. */
export type CrossCheck = Pick<RunKey, 'server' | 'mode' | 'row'> &
  ({ readonly seconds: number } | { readonly error: string });

export type Results = {
  readonly startedAt: string;
  readonly minutes: number;
  /** Of the repository, with `-dirty` where files differ from it. */
  readonly commit: string;
  readonly machine: string;
  readonly s3: string;
  readonly client: string;
  /** The CPUs of the load client and of the S3 server, where they were kept from those of the servers. */
  readonly clientCpus?: string;
  readonly repetitions: number;
  readonly diskRepetitions: number;
  readonly servers: readonly (Pick<
    ComparedServer,
    'id' | 'name' | 'storage' | 'settings' | 'ftps' | 'share'
  > & {
    readonly version: string;
  })[];
  readonly rows: readonly Row[];
  readonly runs: readonly Run[];
  readonly crossChecks: readonly CrossCheck[];
};

/** The published results. */
export const resultsFile = fileURLToPath(new URL('../results/comparison.json', import.meta.url));

/** Those of one and of two worker processes, with the load client on a CPU of its own. */
export const coresFile = fileURLToPath(new URL('../results/cores.json', import.meta.url));

export async function readResults(file = resultsFile): Promise<Results> {
  return JSON.parse(await readFile(file, 'utf8')) as Results;
}

/** One line for each run, so that a new measurement can be read as a diff. */
export function textOfResults(results: Results): string {
  const { runs, crossChecks, ...about } = results;
  const lines = (values: readonly object[]): string =>
    values.map((value) => `    ${JSON.stringify(value, rounded)}`).join(',\n');
  const head = JSON.stringify(about, undefined, 2).replace(/\n\}$/, '');
  return `${head},\n  "crossChecks": [\n${lines(crossChecks)}\n  ],\n  "runs": [\n${lines(runs)}\n  ]\n}\n`;
}

function rounded(_name: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toFixed(4)) : value;
}
