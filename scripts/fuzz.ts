/**
 * Sends random and mutated bytes to a gateway in this process: command lines, PROXY headers, ClientHellos. It fails if
 * the gateway stops replying, if a promise rejection or an error is unhandled, or if memory is not released.
 * Usage: npm run fuzz -- [--lines N] [--headers N] [--hellos N] [--seed N]; the same seed sends the same bytes.
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

const unhandled: unknown[] = [];
process.on('unhandledRejection', (reason) => unhandled.push(reason));
process.on('uncaughtException', (error) => unhandled.push(error));

const mebibytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
const startMs = performance.now();
const figures: FuzzFigures = await fuzz({
  lines: Number(values.lines),
  headers: Number(values.headers),
  hellos: Number(values.hellos),
  seed: Number(values.seed),
  progress: (text) => console.log(text),
});
assert.deepEqual(unhandled, [], 'every error is handled');
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
