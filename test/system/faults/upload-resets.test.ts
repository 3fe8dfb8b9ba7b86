/**
 * Clients that reset both of their connections at a random point of an upload, most of them near the byte with which the
 * multipart upload begins. RESET_RUNS asks for more of them, FAULT_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Dialogue } from '../../support/dialogue.ts';
import { Random } from '../../support/random.ts';
import { type S3Gateway, startS3Gateway } from '../../support/s3-gateway.ts';

const seed = Number(process.env['FAULT_SEED'] ?? Date.now() % 1_000_000);
const runs = Number(process.env['RESET_RUNS'] ?? 20);
const mib = 1024 * 1024;
/** The first part is sent, and so the multipart upload begun, with this byte. */
const firstPartBytes = 8 * mib;
const content = Buffer.alloc(30 * mib, 'reset');

describe('an upload whose client resets its connections', () => {
  let gateway: S3Gateway;

  before(async () => {
    gateway = await startS3Gateway();
  });
  after(() => gateway.close());

  async function resetAt(random: Random, name: string): Promise<void> {
    const { port } = gateway.server('plain');
    const client = await Dialogue.logIn({ port }, 'demo', 'demo');
    await client.says('TYPE I', /^200 /);
    const data = await client.passive();
    data.on('error', () => undefined);
    await client.says(`STOR ${name}`, /^150 /);
    const ended = gateway.nextEvent('transfer', ({ pathname }) => pathname === `/${name}`);
    const sentBytes = random.isIn(0.8)
      ? firstPartBytes + random.below(64 * 1024)
      : random.below(content.length);
    data.write(content.subarray(0, sentBytes));
    // The moments that are looked for lie within the milliseconds that S3 takes to begin an upload.
    await delay(random.below(60));
    data.resetAndDestroy();
    client.socket.resetAndDestroy();
    const { outcome } = await ended;
    assert.notEqual(outcome, 'completed');
  }

  it(
    `An upload that is reset leaves no multipart upload and no object (${runs} random points, seed ${seed})`,
    { timeout: 1_200_000 },
    async () => {
      const random = new Random(seed);
      for (let run = 0; run < runs; run++) await resetAt(random, `reset-${run}.bin`);
      assert.deepEqual(await gateway.unfinishedUploads(), []);
      assert.deepEqual([...(await gateway.readObjects('/')).keys()], []);
    },
  );
});
