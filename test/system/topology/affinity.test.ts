/** A data connection reaches the slot of its session, always: counted over thousands of transfers on 12 slots. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { Client } from 'basic-ftp';
import { missing, type Server } from '../clients/client.ts';
import { clients } from '../clients/clients.ts';
import { LocalDeployment, unsupported } from './deployment.ts';
import { assertAffinity, assertNoStrays, transfer } from './transfers.ts';

const curl = clients.find(({ name }) => name === 'curl')!;
const skip = unsupported ?? (await missing(curl)) ?? false;

// CI counts 10,000.
const sessions = 40;
// As many down as up.
const transfersPerSession = 2 * Math.ceil(Number(process.env['TOPOLOGY_TRANSFERS'] ?? 1000) / sessions / 2);

describe('12 slots with 48 passive ports', { skip }, () => {
  let deployment: LocalDeployment;
  let local: string;

  before(async () => {
    deployment = await LocalDeployment.start({ passivePorts: '50000-50047', portsPerSlot: 4, slots: 12 });
    local = join(deployment.folder, 'small.txt');
    await writeFile(local, 'small');
  });
  after(() => deployment.close());

  it(`12 slots with 48 passive ports take ${sessions * transfersPerSession} transfers of ${sessions} clients, each data connection to the slot of its session`, async () => {
    const half = transfersPerSession / 2;
    const batches = Array.from({ length: sessions }, (_, number) => ({
      clientAddress: deployment.clientAddress(number),
      server: deployment.server('plain', deployment.nodes[number % 2]),
      uploads: half,
      downloads: half,
      local,
      name: `affinity-${number}`,
      ...(number % 4 === 0 && { passive: 'PASV' as const }),
    }));
    // Eight at a time: enough to keep every core busy, and slots serve several sessions at once.
    const queue = batches.values();
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (const batch of queue) await transfer(deployment, batch);
      }),
    );
    assert.equal(assertAffinity(deployment), sessions * transfersPerSession);
    assertNoStrays(deployment);
    const used = new Set(deployment.loadBalancer.flows.map(({ target }) => target));
    assert.ok(used.size >= 10, `the flows spread over ${used.size} slots`);
  });
});

describe('2 slots with 4 passive ports each', { skip }, () => {
  let deployment: LocalDeployment;

  before(async () => {
    deployment = await LocalDeployment.start({ portsPerSlot: 4 });
  });
  after(() => deployment.close());

  it('2 slots with 8 passive ports take 200 parallel transfers from one address, as a port is occupied only until its client has connected', async () => {
    // Not curl: with 200 transfers at a time it connects so slowly that sessions wait over 10 s for a port.
    const sessions = Array.from({ length: 200 }, (_, index) => index);
    await Promise.all(sessions.map((index) => moveThereAndBack(deployment.server(), `parallel-${index}`)));
    assertNoStrays(deployment);
    assert.deepEqual(deployment.events('passive-ports-exhausted'), []);
    const control = deployment.loadBalancer.flows.filter(({ listenerPort }) => listenerPort < 1024);
    assert.ok(control.length >= 200, `${control.length} sessions`);
  });
});

/** Uploads 200 kB in a session of its own, downloads them again, and compares. */
async function moveThereAndBack({ host, port, username, password }: Server, name: string): Promise<void> {
  const content = Buffer.alloc(200_000, name);
  const client = new Client(60_000);
  try {
    await client.access({ host, port, user: username, password });
    await client.uploadFrom(Readable.from([content]), name);
    const received: Buffer[] = [];
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        received.push(chunk);
        done();
      },
    });
    await client.downloadTo(sink, name);
    assert.ok(Buffer.concat(received).equals(content), `${name} came back changed`);
  } finally {
    client.close();
  }
}
