import { statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { variables } from '../../src/config/variables.ts';
import type { Peer } from '../support/peer.ts';
import type { BenchS3 } from '../support/s3-server.ts';
import { markdownTable } from '../support/statistics.ts';
import { storeManyAtOnce } from '../support/transfers.ts';
import { attempt } from '../support/attempt.ts';

const mebibyte = 1024 * 1024;

/** Concurrent uploads, one server after the other. Everything a server has stored is deleted before the next server runs. */
export async function many(
  peers: readonly Peer[],
  s3: BenchS3,
  { uploads, uploadMiB }: { readonly uploads: number; readonly uploadMiB: number },
): Promise<void> {
  // While VersityGW assembles an object, it stores the parts as well.
  const neededMiB = 2 * uploads * uploadMiB;
  const { bavail, bsize } = await statfs(tmpdir());
  const freeMiB = Math.floor((bavail * bsize) / mebibyte);
  if (freeMiB < neededMiB) {
    console.log(
      `Skipped: ${uploads} concurrent uploads of ${uploadMiB} MiB need ${neededMiB} MiB in ${tmpdir()}`,
    );
    console.log(`(parts and whole objects for a moment); ${freeMiB} MiB are free\n`);
    return;
  }
  const rows = [['server', 'completed', 'seconds', 'memory before MiB', 'peak memory MiB', 'its budget MiB']];
  for (const peer of peers) {
    await attempt(peer.name, async () => {
      try {
        const figures = await storeManyAtOnce(peer, uploads, uploadMiB * mebibyte);
        for (const [failure, count] of countsOf(figures.failures))
          console.log(`${peer.name}: ${count} of ${uploads} failed: ${failure}`);
        rows.push([
          peer.name,
          `${figures.completed} of ${uploads}`,
          figures.seconds.toFixed(1),
          figures.memoryBeforeMiB.toFixed(0),
          Number.isNaN(figures.peakMemoryMiB) ? 'exited' : figures.peakMemoryMiB.toFixed(0),
          peer.name === 'this gateway' ? (transferMemoryBytes() / mebibyte).toFixed(0) : '-',
        ]);
      } finally {
        await s3.empty();
      }
    });
  }
  console.log(`${uploads} concurrent uploads of ${uploadMiB} MiB; the budget is TRANSFER_MEMORY_MIB\n`);
  console.log(markdownTable(rows));
  console.log();
}

/** The gateway's own value: from the environment that it inherits, or the default. */
function transferMemoryBytes(): number {
  const variable = variables.transferMemoryBytes;
  const byDefault = typeof variable.presence === 'object' ? variable.presence.default : '';
  return variable.parse(process.env[variable.name] ?? byDefault);
}

function countsOf(texts: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return counts;
}
