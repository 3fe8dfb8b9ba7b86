/**
 * What the FTP side alone costs: 4 KiB files one after another over one session, and 1 GiB up and down, on a filesystem in
 * memory, beside pyftpdlib and stock ftp-srv on a folder in memory. Repetitions are interleaved. Options: `--files N`,
 * `--repetitions N`; `PYTHON` names a Python that has pyftpdlib.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import {
  freeRange,
  startMemoryGateway,
  startPyftpdlib,
  startStockOnDisk,
  startWhatIsThere,
} from './peers/local-peers.ts';
import type { Peer } from './support/peer.ts';
import { measureUsage } from './support/process-usage.ts';
import { markdownTable, median } from './support/statistics.ts';
import { filesOfEach, moveLargeFile, smallFilesFor, type LargeFigures } from './support/transfers.ts';

const { values } = parseArgs({
  options: {
    files: { type: 'string', default: '2000' },
    repetitions: { type: 'string', default: '5' },
  },
});
const files = Number(values.files);
const repetitions = Number(values.repetitions);
const client = fileURLToPath(new URL('small_files_client.py', import.meta.url));
const run = promisify(execFile);

type SmallFigures = { filesPerSecond: number; cpuMsPerFile: number };

async function moveFiles(peer: Peer, direction: 'STOR' | 'RETR'): Promise<SmallFigures> {
  const count = smallFilesFor(peer, files);
  const { host, port, username, password } = peer.account;
  let seconds = 0;
  const { cpuSeconds } = await measureUsage(peer.pid, async () => {
    const load = [client, host, String(port), username, password, direction, String(count), '4096'];
    seconds = Number((await run(process.env['PYTHON'] ?? 'python3', load)).stdout);
  });
  return { filesPerSecond: count / seconds, cpuMsPerFile: (cpuSeconds * 1000) / count };
}

// Linux keeps this in memory, so that no disk is measured.
const folders = await Promise.all(['a', 'b'].map(() => mkdtemp('/dev/shm/ftp-bench-')));
const peers = await startWhatIsThere([
  async () => startMemoryGateway(await freeRange(4)),
  async () => startPyftpdlib(await freeRange(4), folders[0] ?? ''),
  async () => startStockOnDisk(await freeRange(20), folders[1] ?? ''),
]);
try {
  console.log(
    peers.map(({ name, version }) => `${name} (${version})`).join(', '),
    `\nNode ${process.version}\n`,
  );
  const small = new Map<string, SmallFigures[]>();
  const large = new Map<string, LargeFigures[]>();
  const collect = <Figures>(map: Map<string, Figures[]>, key: string, figures: Figures): void => {
    map.set(key, [...(map.get(key) ?? []), figures]);
  };
  for (let repetition = 0; repetition < repetitions; repetition += 1) {
    for (const peer of peers) {
      for (const direction of ['STOR', 'RETR'] as const) {
        collect(small, `${direction} ${peer.name}`, await moveFiles(peer, direction));
      }
      if (repetition < 3) collect(large, peer.name, await moveLargeFile(peer));
    }
  }
  console.log(`4 KiB files over one session, ${filesOfEach(peers, files)}, medians of ${repetitions}\n`);
  console.log(
    markdownTable([
      ['server', 'up files/s', 'up CPU ms/file', 'down files/s', 'down CPU ms/file'],
      ...peers.map(({ name }) => [
        name,
        ...(['STOR', 'RETR'] as const).flatMap((direction) => {
          const figures = small.get(`${direction} ${name}`) ?? [];
          return [
            median(figures.map(({ filesPerSecond }) => filesPerSecond)).toFixed(0),
            median(figures.map(({ cpuMsPerFile }) => cpuMsPerFile)).toFixed(3),
          ];
        }),
      ]),
    ]),
  );
  console.log(`\n1 GiB, medians of ${Math.min(repetitions, 3)}\n`);
  const figures = ['storSeconds', 'storCpuSecondsPerGiB', 'retrSeconds', 'retrCpuSecondsPerGiB'] as const;
  console.log(
    markdownTable([
      ['server', 'STOR s', 'STOR CPU s/GiB', 'RETR s', 'RETR CPU s/GiB'],
      ...peers.map(({ name }) => [
        name,
        ...figures.map((figure) => median((large.get(name) ?? []).map((each) => each[figure])).toFixed(2)),
      ]),
    ]),
  );
} finally {
  for (const peer of peers) await peer.stop();
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
}
