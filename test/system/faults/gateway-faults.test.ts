/**
 * Every fault that can meet an upload, through the whole gateway as a process of its own. FAULT_SEED repeats a run;
 * FAULT_RUNS asks for more of them (`npm run test:faults`).
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Random } from '../../support/random.ts';
import { FaultyGateway, gatewayFaults } from './gateway-faults.ts';

const seed = Number(process.env['FAULT_SEED'] ?? Date.now() % 1_000_000);
const runs = Number(process.env['FAULT_RUNS'] ?? 18);

describe('an upload through the gateway', () => {
  let gateway: FaultyGateway;

  before(async () => {
    gateway = await FaultyGateway.start();
  });
  after(() => gateway.close());

  for (let index = 0; index < runs; index++) {
    const fault = gatewayFaults[index % gatewayFaults.length]!;
    it(`An upload through the gateway is stored completely or not at all: ${fault}, seed ${seed + index}`, async (t) => {
      const outcome = await gateway.run(fault, new Random(seed + index));
      t.diagnostic(`reply ${outcome.replyCode ?? 'nothing'}, found the ${outcome.found} object`);
    });
  }

  const isLong = runs >= 100;
  it(
    'An upload through the gateway is stored when S3 was down for 20 seconds',
    { skip: !isLong && 'npm run test:faults' },
    async () => {
      const { replyCode, found } = await gateway.outage(20_000);
      assert.deepEqual([replyCode, found], [226, 'new']);
    },
  );

  it(
    'An upload through the gateway fails with 451 when S3 stays down',
    { skip: !isLong && 'npm run test:faults' },
    async () => {
      const { replyCode, found } = await gateway.outage(undefined);
      assert.deepEqual([replyCode, found], [451, 'old']);
    },
  );

  it('Uploads through the gateway leave no session, memory, lease or multipart upload behind', async () => {
    await gateway.assertNothingLeft();
  });
});
