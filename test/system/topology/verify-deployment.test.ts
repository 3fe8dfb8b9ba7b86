/** The script that operators run against a real deployment: it holds where all is well, and finds what is not. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LocalDeployment, unsupported } from './deployment.ts';

const script = fileURLToPath(new URL('../../../scripts/verify-deployment.ts', import.meta.url));

/** The PassivePortPlan output: two slots that run, of two ports each. */
function plan(first: number): string {
  return JSON.stringify(
    [first, first + 2].map((firstPort) => ({ firstPort, ports: 2, zone: 1, running: true })),
  );
}

describe('verify-deployment', { skip: unsupported ?? false }, () => {
  let deployment: LocalDeployment;

  before(async () => {
    deployment = await LocalDeployment.start({});
  });
  after(() => deployment.close());

  async function verify(
    ...args: readonly string[]
  ): Promise<{ readonly code: number; readonly output: string }> {
    const { host, port, username, password } = deployment.server();
    const child = spawn(
      process.execPath,
      [script, '--host', host, '--port', String(port), '--user', username, ...args],
      { env: { ...process.env, FTP_PASSWORD: password }, stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [output, [code]] = await Promise.all([
      text(child.stdout),
      once(child, 'exit') as Promise<[number]>,
    ]);
    return { code, output };
  }

  it('verify-deployment confirms every claim on a correct deployment', async () => {
    const { code, output } = await verify('--plan', plan(50_000), '--during', '1');
    assert.equal(code, 0, output);
    assert.equal(output.match(/^holds /gm)?.length, 6);
  });

  it('verify-deployment fails and names the claim that does not hold when the passive range differs', async () => {
    const { code, output } = await verify('--plan', plan(51_000));
    assert.equal(code, 1);
    assert.match(output, /^FAILS {3}227 names .*port 5000\d belongs to no slot of the plan$/m);
  });
});
