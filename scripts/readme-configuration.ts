/** Writes the table of environment variables into README.md, from the schema that the gateway reads them by. */
import { readFile, writeFile } from 'node:fs/promises';
import { format } from 'prettier';
import { markdownTable } from '../src/config/help.ts';

const readme = new URL('../README.md', import.meta.url);
const begin = '<!-- configuration: written by scripts/readme-configuration.ts -->';
const end = '<!-- end of configuration -->';

/** The README as it is, and as it should be. */
export async function renderReadme(): Promise<{ readonly current: string; readonly wanted: string }> {
  const current = await readFile(readme, 'utf8');
  const from = current.indexOf(begin);
  const to = current.indexOf(end);
  if (from < 0 || to < from)
    throw new Error(`README.md has no place for the table, between ${begin} and ${end}`);
  const table = await format(markdownTable(), { parser: 'markdown' });
  const wanted = `${current.slice(0, from + begin.length)}\n\n${table}\n${current.slice(to)}`;
  return { current, wanted };
}

if (import.meta.main) {
  const { wanted } = await renderReadme();
  await writeFile(readme, wanted);
}
