/**
 * Throws random and mutated bytes at a gateway in this process: command lines, PROXY headers, ClientHellos. It fails when
 * the gateway stops answering, when a promise or an event goes unheard, or when memory does not come back.
 * `node --expose-gc scripts/fuzz.ts [--lines N] [--headers N] [--hellos N] [--seed N]`; the same seed sends the same bytes.
 */
import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import { fuzz, type FuzzFigures } from '../test/system/fuzz/fuzz.ts';

const { values } = parseArgs({
  options: {
    lines: { type: 'string', default: '1000000' },
    headers: { type: 'string', default: '100000' },
    hellos: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
  },
});

const unheard: unknown[] = [];
process.on('unhandledRejection', (reason) => unheard.push(reason));
process.on('uncaughtException', (error) => unheard.push(error));

const mebibytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
const startMs = performance.now();
const figures: FuzzFigures = await fuzz({
  lines: Number(values.lines),
  headers: Number(values.headers),
  hellos: Number(values.hellos),
  seed: Number(values.seed),
  progress: (text) => console.log(text),
});
assert.deepEqual(unheard, [], 'nothing goes unheard');
console.log(`seed ${values.seed}, ${((performance.now() - startMs) / 1000).toFixed(0)} s`);
console.log(`command lines    ${figures.lines}, replies ${figures.replies}, sessions ${figures.sessions}`);
console.log(`PROXY headers    ${figures.headers}`);
console.log(`ClientHellos     ${figures.hellos}`);
console.log(`unexpected       ${figures.unexpectedErrors} errors inside`);
console.log(
  `heap             ${mebibytes(figures.heapBefore)} before, ${mebibytes(figures.heapAfter)} after`,
);
console.log(
  `resident         ${mebibytes(figures.residentBefore)} before, ${mebibytes(figures.residentAfter)} after`,
);
