/** Writes the tables of environment variables into docs/configuration.md (all) and README.md (the important ones). */
import { readFile, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import { markdownTable } from '../src/config/help.ts';
import { type Config, variables } from '../src/config/variables.ts';

type Table = { readonly file: string; readonly name: string; readonly fields: readonly (keyof Config)[] };

/** What almost every deployment sets or asks about. */
const importantFields = [
  'users',
  's3Bucket',
  'passivePorts',
  'advertisedAddress',
  'tls',
  'tlsCertificate',
  'transferMemoryBytes',
  'resumeWindowMs',
] as const satisfies readonly (keyof Config)[];

const tables: readonly Table[] = [
  {
    file: 'docs/configuration.md',
    name: 'all variables',
    fields: Object.keys(variables) as (keyof Config)[],
  },
  { file: 'README.md', name: 'important variables', fields: importantFields },
];

/** Each file as it is and as it should be. Throws where a file lacks the markers around its table. */
export async function renderConfigurationDocs(): Promise<
  { readonly file: string; readonly current: string; readonly wanted: string }[]
> {
  return await Promise.all(tables.map(render));
}

async function render({ file, name, fields }: Table) {
  const url = new URL(`../${file}`, import.meta.url);
  const begin = `<!-- ${name}: written by scripts/configuration-docs.ts -->`;
  const end = `<!-- end of ${name} -->`;
  const current = await readFile(url, 'utf8');
  const [from, to] = [current.indexOf(begin), current.indexOf(end)];
  if (from < 0 || to < from)
    throw new Error(`${file} has no place for the table, between ${begin} and ${end}`);
  const written = `${current.slice(0, from + begin.length)}\n\n${markdownTable(fields)}\n\n${current.slice(to)}`;
  const options = await resolveConfig(new URL(url));
  return { file, current, wanted: await format(written, { ...options, parser: 'markdown' }) };
}

if (import.meta.main) {
  for (const { file, wanted } of await renderConfigurationDocs()) {
    await writeFile(new URL(`../${file}`, import.meta.url), wanted);
  }
}
