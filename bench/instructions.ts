/**
 * `npm run bench:instructions -- --baseline DIRECTORY`: instructions of this checkout's hot paths beside those of another checkout, with
 * dependencies installed. Instructions of a process hardly depend on what else the machine does, so a change of a few percent shows
 * where seconds would need a quiet machine and many runs. The kernel's share is not counted.
 *
 * Uses valgrind (callgrind), because virtual machines seldom have the counters that `perf stat` needs. The gateway takes some 30 times as
 * long under it, so the loads are small. Options: `--rows` and `--repetitions N` (3).
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startGatewayPeer } from './peers/gateway.ts';
import { buildLoadClient, type Load, runLoad } from './support/load-client.ts';
import type { Peer } from './support/peer.ts';
import { startBenchS3 } from './support/s3-server.ts';
import { markdownTable } from './support/statistics.ts';

const mebibyte = 1024 * 1024;
const common = { directory: 'instructions', prefix: 'f', sessions: 1, maxSeconds: 600 } as const;
const small = { ...common, files: 40, bytes: 4096 } as const;
const large = { ...common, prefix: 'large', files: 1, bytes: 16 * mebibyte } as const;

/** STOR before RETR of the same files. */
const rows: Readonly<Record<string, Load>> = {
  'small STOR, clear': { ...small, operation: 'stor', security: 'clear' },
  'small RETR, clear': { ...small, operation: 'retr', security: 'clear' },
  'small STOR, FTPS': { ...small, operation: 'stor', security: 'explicit' },
  'small RETR, FTPS': { ...small, operation: 'retr', security: 'explicit' },
  'large STOR, clear': { ...large, operation: 'stor', security: 'clear' },
  'large RETR, clear': { ...large, operation: 'retr', security: 'clear' },
  'large STOR, FTPS': { ...large, operation: 'stor', security: 'explicit' },
  'large RETR, FTPS': { ...large, operation: 'retr', security: 'explicit' },
  'login, clear': { ...small, operation: 'login', security: 'clear', directory: '' },
  'login, FTPS': { ...small, operation: 'login', security: 'explicit', directory: '' },
};

const { values } = parseArgs({
  options: {
    baseline: { type: 'string' },
    rows: { type: 'string', default: Object.keys(rows).join(';') },
    repetitions: { type: 'string', default: '3' },
  },
});
const chosen = values.rows.split(';');
for (const row of chosen)
  if (!(row in rows)) throw new Error(`unknown row ${row}; known: ${Object.keys(rows).join('; ')}`);

const client = await buildLoadClient();
const s3 = await startBenchS3();
const folder = await mkdtemp(join(tmpdir(), 'instructions-'));
const counts = new Map<string, Map<string, number[]>>();
try {
  const checkouts = [
    ...(values.baseline === undefined ? [] : [['before', resolve(values.baseline)] as const]),
    ['now', join(import.meta.dirname, '..')] as const,
  ];
  for (const [name, checkout] of checkouts) counts.set(name, await countInstructions(name, checkout));
} finally {
  await s3.close();
  await rm(folder, { recursive: true });
}

// The lowest: what came on top was collecting garbage and compiling, at times that differ.
const perUnit = (name: string, row: string): number => Math.min(...(counts.get(name)?.get(row) ?? []));
console.log('Millions of instructions for each file, login or MiB, the lowest of all repetitions\n');
console.log(
  markdownTable([
    ['row', ...(counts.has('before') ? ['before', 'now', 'now / before'] : ['now'])],
    ...chosen.map((row) => {
      const [before, now] = [perUnit('before', row), perUnit('now', row)];
      const cells = [row, ...(counts.has('before') ? [before.toFixed(3)] : []), now.toFixed(3)];
      return counts.has('before') ? [...cells, (now / before).toFixed(3)] : cells;
    }),
  ]),
);

/** For each row the millions of instructions of a unit, in each repetition. */
async function countInstructions(name: string, checkout: string): Promise<Map<string, number[]>> {
  const { caFile } = s3.target;
  const certificate = `file:${caFile},${join(dirname(caFile), 'key.pem')}`;
  const output = join(folder, name);
  const gateway = await startGatewayPeer(
    s3.target,
    { TLS: 'optional', TLS_CERTIFICATE: certificate, WORKERS: '1', MAX_LOGIN_ATTEMPTS: '3' },
    {
      name,
      checkout,
      startTimeoutMs: 300_000,
      // Node.js compiles to memory that it writes again: valgrind must notice that.
      wrapper: [
        'valgrind',
        '--tool=callgrind',
        '--instr-atstart=no',
        '--smc-check=all-non-file',
        `--callgrind-out-file=${output}`,
      ],
    },
  );
  const found = new Map<string, number[]>(chosen.map((row) => [row, []]));
  try {
    // Compiles the code, which is not counted.
    for (const load of Object.values(rows)) await runLoad({ program: client }, gateway, s3.pid, load);
    for (let repetition = 0; repetition < Number(values.repetitions); repetition++) {
      for (const row of chosen) {
        const load = rows[row];
        if (!load) continue;
        const instructions = await counted(gateway, output, () =>
          runLoad({ program: client }, gateway, s3.pid, load),
        );
        const units = load.bytes >= mebibyte ? load.bytes / mebibyte : load.files;
        found.get(row)?.push(instructions / 1e6 / units);
        console.log(`${name}: ${row}: ${(instructions / 1e6 / units).toFixed(3)}`);
      }
    }
  } finally {
    await gateway.stop();
  }
  return found;
}

async function counted({ pid }: Peer, output: string, work: () => Promise<unknown>): Promise<number> {
  const control = (...words: string[]): void => {
    execFileSync('callgrind_control', [...words, String(pid)], { stdio: 'ignore' });
  };
  control('-z');
  control('-i', 'on');
  await work();
  control('-i', 'off');
  control('-d');
  let sum = 0;
  for (const file of await readdir(folder)) {
    if (!join(folder, file).startsWith(`${output}.`)) continue;
    const dump = await readFile(join(folder, file), 'utf8');
    sum += Number(/^totals: (\d+)/m.exec(dump)?.[1] ?? 0);
    await rm(join(folder, file));
  }
  if (sum === 0) throw new Error('callgrind counted nothing');
  return sum;
}
