import { statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { variables } from '../../src/config/variables.ts';
import type { Peer } from '../support/peer.ts';
import type { BenchS3 } from '../support/s3-server.ts';
import { markdownTable } from '../support/statistics.ts';
import { storeManyAtOnce } from '../support/transfers.ts';
import { attempt } from '../support/attempt.ts';

const mebibyte = 1024 * 1024;

/** Uploads at once, one server after the other; what each has stored is deleted before the next one's turn. */
export async function many(
  peers: readonly Peer[],
  s3: BenchS3,
  { uploads, uploadMiB }: { readonly uploads: number; readonly uploadMiB: number },
): Promise<void> {
  // While VersityGW puts an object together, it has the parts as well.
  const neededMiB = 2 * uploads * uploadMiB;
  const { bavail, bsize } = await statfs(tmpdir());
  const freeMiB = Math.floor((bavail * bsize) / mebibyte);
  if (freeMiB < neededMiB) {
    console.log(
      `Left out: ${uploads} uploads of ${uploadMiB} MiB at once need ${neededMiB} MiB in ${tmpdir()}`,
    );
    console.log(`(parts and whole objects for a moment), and ${freeMiB} MiB are free\n`);
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
          Number.isNaN(figures.peakMemoryMiB) ? 'it ended' : figures.peakMemoryMiB.toFixed(0),
          peer.name === 'this gateway' ? (transferMemoryBytes() / mebibyte).toFixed(0) : '-',
        ]);
      } finally {
        await s3.empty();
      }
    });
  }
  console.log(`${uploads} uploads of ${uploadMiB} MiB at once; the budget is TRANSFER_MEMORY_MIB\n`);
  console.log(markdownTable(rows));
  console.log();
}

/** As the gateway reads it: from the environment that it inherits, else its default. */
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
