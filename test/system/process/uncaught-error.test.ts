import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('failing-process.ts', import.meta.url));

describe('an uncaught error', () => {
  for (const kind of ['exception', 'rejection']) {
    it(`An uncaught error is logged, gives transfers ten seconds, and ends the process with 1 (${kind})`, async () => {
      const child = spawn(process.execPath, [program, kind], { stdio: ['ignore', 'pipe', 'inherit'] });
      const [output, [code]] = await Promise.all([
        text(child.stdout),
        once(child, 'close') as Promise<[number]>,
      ]);
      const lines = output.trimEnd().split('\n');
      assert.deepEqual(
        lines.map((line) => JSON.parse(line) as unknown),
        ['unexpected-error', { reason: 'unexpected error', drainMs: 10_000 }],
      );
      assert.equal(code, 1);
    });
  }
});
