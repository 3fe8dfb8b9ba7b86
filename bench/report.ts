/**
 * `npm run bench:report`: writes the generated part of docs/benchmarks.md, and the plots in docs/benchmarks/, from
 * `bench/results/comparison.json`, or from the file that is its argument. The section about several cores comes from
 * `bench/results/cores.json` where that exists: a run of the gateway alone, with its client on a CPU of its own.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { coresFile, readResults } from './comparison/results.ts';
import { documentOf, plotsOf } from './report/document.ts';

const page = fileURLToPath(new URL('../docs/benchmarks.md', import.meta.url));
const plots = fileURLToPath(new URL('../docs/benchmarks/', import.meta.url));
const begin = '<!-- comparison: written by npm run bench:report -->';
const end = '<!-- end of the comparison -->';

const [file] = process.argv.slice(2);
const results = await readResults(file);
const cores = existsSync(coresFile) ? await readResults(coresFile) : results;
const text = await readFile(page, 'utf8');
const [before, rest] = text.split(begin);
const after = rest?.split(end)[1];
if (before === undefined || after === undefined) throw new Error(`${page} has no place for the comparison`);
const written = `${before}${begin}\n\n${documentOf(results, cores)}\n\n${end}${after}`;
const options = await resolveConfig(page);
await writeFile(page, await format(written, { ...options, parser: 'markdown' }));
await mkdir(plots, { recursive: true });
for (const [name, svg] of plotsOf(results)) await writeFile(`${plots}${name}`, svg);
