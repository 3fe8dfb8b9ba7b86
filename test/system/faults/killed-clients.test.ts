/**
 * Clients killed at random moments before, between and behind the ends of their two connections. KILLS says how many
 * (`KILLS=500`), KILL_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import { bytesOf, digest, mib } from '../../s3/transfer.ts';
import { Random } from '../../support/random.ts';
import { startS3Gateway, type S3Gateway } from '../../support/s3-gateway.ts';
import { killPlans, lifeMs } from './killed-clients.ts';

const kills = Number(process.env['KILLS'] ?? 24);
const seed = Number(process.env['KILL_SEED'] ?? Date.now() % 1_000_000);
const program = fileURLToPath(new URL('killed-client.ts', import.meta.url));
const sizes = [100, 5_000, 200_000, 3 * mib, 12 * mib];
const old = Buffer.from('old');

describe('a client that is killed', () => {
  let gateway: S3Gateway;

  before(async () => {
    gateway = await startS3Gateway();
  });
  after(() => gateway.close());

  const timeout = 120_000 + kills * 5_000;
  it(
    `A client that is killed ${kills} times commits its whole file or nothing, seed ${seed}`,
    { timeout },
    async (t) => {
      const found = new Map<string, number>();
      for (let index = 0; index < kills; index++) {
        const random = new Random(seed + index);
        const plan = killPlans[index % killPlans.length]!;
        const isTls = random.isIn(0.5);
        const sizeBytes = random.oneOf(sizes);
        const [least, most] = lifeMs(plan);
        const pathname = `/killed-${index}.bin`;
        const run = `${plan}, ${sizeBytes} bytes, ${isTls ? 'TLS' : 'clear'}, seed ${seed + index}`;
        await gateway.putObject(pathname, old);

        const { port, username, password } = gateway.server('plain');
        const args = [port, username, password, pathname, sizeBytes, plan, isTls ? 'tls' : 'clear'].map(
          String,
        );
        const ended = gateway.nextEvent('transfer', (transfer) => transfer.pathname === pathname);
        const client = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
        const exited = once(client, 'exit');
        await once(client.stdout, 'data');
        await delay(least + random.below(most - least + 1));
        client.kill('SIGKILL');
        const { outcome } = await ended;
        await exited;

        const object = await gateway.getObject(pathname);
        const isWhole = object !== undefined && digest(object) === digest(bytesOf(sizeBytes, 11));
        const isOld = object?.equals(old) === true;
        assert.ok(isWhole || isOld, `${run}: the object has ${object?.length} bytes`);
        assert.equal(isWhole, outcome === 'completed', run);
        const what = `${plan}: ${isWhole ? 'new' : 'old'}`;
        found.set(what, (found.get(what) ?? 0) + 1);
      }
      t.diagnostic([...found].map(([what, times]) => `${what} ${times}`).join(', '));
      // Kills that were all too early or all too late would show nothing.
      const total = (suffix: string): number =>
        [...found].reduce((sum, [what, times]) => sum + (what.endsWith(suffix) ? times : 0), 0);
      assert.ok(
        total('new') > 0 && total('old') > 0,
        'some kills came before the end of the file, and some behind it',
      );
    },
  );
});
