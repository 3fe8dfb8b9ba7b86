/** The program that `cdk synth` starts. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const folder = mkdtempSync(join(tmpdir(), 'ftp-gateway-'));
after(() => rmSync(folder, { recursive: true }));

it('The CDK app prints the problems of its settings without a stack trace and exits with 1', () => {
  const bin = fileURLToPath(new URL('../../../bin/ftp-gateway.ts', import.meta.url));
  const context = { environments: { production: { passivePorts: '50000-50060' } } };
  const { status, stderr } = spawnSync(process.execPath, [bin], {
    encoding: 'utf8',
    env: { ...process.env, CDK_CONTEXT_JSON: JSON.stringify(context), CDK_OUTDIR: join(folder, 'out') },
  });
  assert.equal(status, 1);
  assert.match(stderr, /has 61 ports.*Use at most 49 ports/);
  assert.doesNotMatch(stderr, /\n\s+at /);
});
