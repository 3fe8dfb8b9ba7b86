/** Uploads that stop short of a part, and what they cost the uploads of others. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { S3Filesystem } from '../../../src/s3/filesystem/s3-filesystem.ts';
import { S3Storage } from '../../../src/s3/s3-storage.ts';
import { TransferMemory } from '../../../src/s3/transfer-memory.ts';
import { bytesOf, mib } from '../../s3/transfer.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { openTestStorage, type TestStorage } from '../../support/s3-storage.ts';

const silenceMs = 3_000;
const password = 'secret';
const users = ['alice', 'mallory', 'victim'];
const budgetBytes = 64 * mib;
const shortOfAPart = bytesOf(4.95 * mib);

describe('uploads whose clients fall silent', () => {
  let s3: TestStorage;
  let storage: S3Storage;
  let gateway: TestGateway;

  before(async () => {
    s3 = await openTestStorage();
    const memory = new TransferMemory(budgetBytes, silenceMs);
    storage = new S3Storage({ client: s3.storage.client, memory, observe: () => undefined });
    gateway = await startTestGateway({
      users: users.map((name) => ({
        name,
        password,
        home: { bucket: s3.server.bucket, prefix: `${name}/` },
      })),
      filesystemFor: ({ name, home }) => new S3Filesystem(storage, home, { owner: name, windowMs: 0 }),
      passivePorts: [0, 0, 0, 0],
      stallTimeoutMs: 300_000,
    });
  });
  after(async () => {
    await gateway.close();
    assert.equal(storage.memory.heldBytes, 0);
    await s3.close();
  });

  it('60 uploads of one user that stop short of a part leave another user half of the transfer memory', async () => {
    const silent = await stopShort('alice', 60);
    assert.ok(storage.memory.waitingUploads > 30, `${storage.memory.waitingUploads} wait`);
    const startedAtMs = performance.now();
    const victim = await logIn('victim');
    await victim.upload('STOR file', bytesOf(9 * mib));
    const tookMs = performance.now() - startedAtMs;
    assert.ok(tookMs < silenceMs, `the victim's upload of 9 MiB took ${tookMs.toFixed()} ms`);
    victim.destroy();
    silent.end();
  });

  it('Uploads that hold all memory and fall silent end with 426 while others wait, and those complete', async () => {
    const silent = [await stopShort('alice', 12), await stopShort('mallory', 12)];
    assert.ok(storage.memory.waitingUploads > 0);
    const startedAtMs = performance.now();
    const victim = await logIn('victim');
    await victim.upload('STOR file', bytesOf(9 * mib));
    const tookMs = performance.now() - startedAtMs;
    assert.ok(tookMs < 4 * silenceMs, `the victim's upload of 9 MiB took ${tookMs.toFixed()} ms`);
    const { detail } = await gateway.nextEvent('transfer', ({ cause }) => cause === 'DATA-SLOW');
    assert.match(detail!, /^next to no bytes for \d+ s while other uploads waited/);
    const replies = silent.flatMap(({ dialogues }) => dialogues.map((dialogue) => dialogue.reply()));
    assert.equal(
      await Promise.any(replies),
      '426 The client sent too little while other uploads waited for memory; transfer aborted. [DATA-SLOW]',
    );
    victim.destroy();
    for (const each of silent) each.end();
    await Promise.allSettled(replies);
  });

  async function logIn(username: string): Promise<Dialogue> {
    const dialogue = await Dialogue.logIn({ port: gateway.controlPort }, username, password);
    await dialogue.says('TYPE I', /^200 /);
    return dialogue;
  }

  /** Uploads that send a little less than a part and then nothing, when all of it has arrived that ever will. */
  async function stopShort(username: string, count: number): Promise<{ dialogues: Dialogue[]; end(): void }> {
    const dialogues: Dialogue[] = [];
    const sockets: Socket[] = [];
    for (let index = 0; index < count; index++) {
      const dialogue = await logIn(username);
      const data = await dialogue.passive();
      data.on('error', () => undefined);
      await dialogue.says(`STOR silent-${index}`, /^150 /);
      data.write(shortOfAPart);
      dialogues.push(dialogue);
      sockets.push(data);
    }
    await settled();
    return {
      dialogues,
      end: () => [...sockets, ...dialogues].forEach((each) => each.destroy()),
    };
  }

  async function settled(): Promise<void> {
    for (let held = -1; held !== storage.memory.heldBytes || held === 0;) {
      held = storage.memory.heldBytes;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
});
