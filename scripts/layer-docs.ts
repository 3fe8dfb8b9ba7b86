/** Writes the table of layers into CONTRIBUTING.md, from the rules that `npm run lint:layers` enforces. */
import { readFile, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import { layers } from '../.dependency-cruiser.js';

const contributing = new URL('../CONTRIBUTING.md', import.meta.url);
const begin = '<!-- layers: written by scripts/layer-docs.ts -->';
const end = '<!-- end of layers -->';

/** CONTRIBUTING.md as it is and as it should be. Throws where it lacks the markers around the table. */
export async function renderLayerDocs(): Promise<{ readonly current: string; readonly wanted: string }> {
  const current = await readFile(contributing, 'utf8');
  const [from, to] = [current.indexOf(begin), current.indexOf(end)];
  if (from < 0 || to < from)
    throw new Error(`CONTRIBUTING.md has no place for the table, between ${begin} and ${end}`);
  const rows = layers.map(
    ([folder, imports]) => `| ${code(folder)} | ${imports.map(code).join(', ') || 'nothing'} |`,
  );
  const table = ['| Folder | May import |', '| --- | --- |', ...rows].join('\n');
  const written = `${current.slice(0, from + begin.length)}\n\n${table}\n\n${current.slice(to)}`;
  const options = await resolveConfig(contributing);
  return { current, wanted: await format(written, { ...options, parser: 'markdown' }) };
}

function code(path: string): string {
  return `\`${path}\``;
}

if (import.meta.main) await writeFile(contributing, (await renderLayerDocs()).wanted);
