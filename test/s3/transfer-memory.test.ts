import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { UploadClient } from '../../src/s3/silent-uploads.ts';
import { TransferMemory, type UploadMemory } from '../../src/s3/transfer-memory.ts';

const mib = 1024 * 1024;
const signal = new AbortController().signal;

/** An upload of that user whose parts may be sent from 5 MiB on. */
function open(memory: TransferMemory, user: string, claimBytes = 5 * mib): UploadMemory {
  return memory.openUpload({ user, claimBytes });
}

/** Holds that much in flight: none of it depends on a client, so that no share limits it. */
function occupy(memory: TransferMemory, bytes: number): () => void {
  const releases: (() => void)[] = [];
  const upload = open(memory, 'occupant');
  for (let held = 0; held < bytes; held += mib) {
    assert.ok(upload.tryReserve(mib));
    releases.push(upload.send(5 * mib));
  }
  return () => releases.forEach((release) => release());
}

describe('transfer memory', () => {
  it('TransferMemory refuses a budget that cannot hold two parts', () => {
    assert.throws(() => new TransferMemory(16 * mib - 1), RangeError);
    assert.throws(() => new TransferMemory(NaN), RangeError);
  });

  it('TransferMemory counts filled and in-flight bytes, and releases them once', () => {
    const memory = new TransferMemory(16 * mib);
    const upload = open(memory, 'alice');
    assert.ok(upload.tryReserve(5 * mib));
    const release = upload.send(5 * mib);
    assert.ok(upload.tryReserve(2 * mib));
    assert.equal(memory.heldBytes, 7 * mib);
    release();
    release();
    assert.equal(memory.heldBytes, 2 * mib);
    upload.close();
    upload.close();
    assert.equal(memory.heldBytes, 0);
  });

  it('TransferMemory charges a buffer when it is taken, and refuses one that does not fit', () => {
    const memory = new TransferMemory(16 * mib);
    const upload = open(memory, 'alice');
    const buffer = upload.tryTakeBuffer();
    assert.equal(memory.heldBytes, buffer!.length);
    occupy(memory, 15 * mib);
    while (upload.tryTakeBuffer());
    assert.equal(memory.heldBytes, 16 * mib);
  });

  it('TransferMemory keeps idle buffers only as far as transfers leave the budget to them', () => {
    const memory = new TransferMemory(64 * mib);
    const upload = open(memory, 'alice');
    const buffers = Array.from({ length: 80 }, () => upload.tryTakeBuffer()!);
    const release = upload.send(5 * mib);
    release();
    for (const buffer of buffers) memory.giveBackBuffer(buffer);
    assert.equal(memory.idleBytes, 20 * mib);
    const releaseAll = occupy(memory, 50 * mib);
    assert.equal(memory.idleBytes, 14 * mib);
    assert.equal(buffers.filter(({ length }) => length === 0).length, 24, 'the others are freed');
    releaseAll();
  });

  it('TransferMemory keeps at most 16 MiB of idle buffers when no upload is open', () => {
    const memory = new TransferMemory(64 * mib);
    const upload = open(memory, 'alice');
    const buffers = Array.from({ length: 80 }, () => upload.tryTakeBuffer()!);
    upload.send(5 * mib)();
    for (const buffer of buffers) memory.giveBackBuffer(buffer);
    upload.close();
    assert.equal(memory.idleBytes, 16 * mib);
  });

  it('TransferMemory leaves to the next part what is not sent with this one', () => {
    const memory = new TransferMemory(16 * mib);
    const upload = open(memory, 'alice');
    assert.ok(upload.tryReserve(6 * mib));
    const release = upload.send(5 * mib, mib);
    assert.equal(memory.heldBytes, 6 * mib);
    release();
    assert.equal(memory.heldBytes, mib);
    upload.close();
    assert.equal(memory.heldBytes, 0);
  });

  it('TransferMemory makes an upload wait while a part in flight holds the rest', async () => {
    const memory = new TransferMemory(16 * mib);
    const other = open(memory, 'alice');
    const release = occupy(memory, 12 * mib);
    assert.equal(other.tryReserve(5 * mib), false);
    let granted = false;
    const waiting = other.reserve(5 * mib, signal).then(() => (granted = true));
    await Promise.resolve();
    assert.equal(granted, false);
    assert.equal(memory.waitingUploads, 1);
    release();
    await waiting;
    assert.equal(memory.heldBytes, 5 * mib);
  });

  it('TransferMemory reserves the last bytes for a part that can be completed, so half-filled parts never block each other', async () => {
    const memory = new TransferMemory(16 * mib);
    const uploads = [1, 2, 3, 4].map((user) => open(memory, `user ${user}`));
    for (const upload of uploads) upload.tryReserve(4 * mib);
    // Four times 4 MiB would fill the budget, and none could ever reach 5 MiB.
    assert.ok(memory.heldBytes < 16 * mib);
    const [first] = uploads as [UploadMemory];
    await first.reserve(mib, signal);
    first.send(5 * mib)();
    assert.ok(memory.heldBytes <= 12 * mib);
  });

  it('TransferMemory serves the oldest part first', async () => {
    const memory = new TransferMemory(16 * mib);
    const release = occupy(memory, 16 * mib);
    const order: number[] = [];
    const waiting = [0, 1, 2].map(async (index) => {
      const upload = open(memory, 'alice');
      await upload.reserve(5 * mib, signal);
      order.push(index);
      upload.send(5 * mib)();
    });
    release();
    await Promise.all(waiting);
    assert.deepEqual(order, [0, 1, 2]);
  });

  it('TransferMemory removes an upload that gives up from its queue', async () => {
    const memory = new TransferMemory(16 * mib);
    const release = occupy(memory, 16 * mib);
    const transfer = new AbortController();
    const upload = open(memory, 'alice');
    const waiting = upload.reserve(mib, transfer.signal);
    const reason = new Error('ABOR');
    transfer.abort(reason);
    await assert.rejects(waiting, reason);
    await assert.rejects(upload.reserve(mib, transfer.signal), reason);
    assert.equal(memory.waitingUploads, 0);
    release();
    assert.equal(memory.heldBytes, 0);
  });

  it('TransferMemory gives downloads at most half of the budget, and nothing while an upload waits', async () => {
    const memory = new TransferMemory(32 * mib);
    const first = memory.tryReadAhead('carol', 8 * mib);
    const second = memory.tryReadAhead('dave', 8 * mib);
    assert.ok(first && second);
    assert.equal(memory.tryReadAhead('erin', 1), undefined);
    const upload = open(memory, 'alice');
    const release = occupy(memory, 16 * mib);
    const waiting = upload.reserve(mib, signal);
    first();
    await waiting;
    assert.equal(memory.tryReadAhead('carol', 8 * mib), undefined);
    second();
    second();
    upload.close();
    release();
    assert.equal(memory.heldBytes, 0);
  });

  it('TransferMemory limits what the parts and downloads of one user hold to half of the budget', () => {
    const memory = new TransferMemory(64 * mib);
    const uploads = Array.from({ length: 32 }, () => open(memory, 'alice'));
    for (const upload of uploads) for (let held = 0; held < 4; held++) upload.tryReserve(mib);
    assert.ok(memory.heldBytes > 24 * mib && memory.heldBytes <= 32 * mib, `${memory.heldBytes}`);
    assert.equal(memory.tryReadAhead('alice', 8 * mib), undefined, 'a download counts as well');
    const other = open(memory, 'bob');
    assert.ok(other.tryReserve(5 * mib), 'the other half is free');
    other.close();
    uploads.forEach((upload) => upload.close());
    assert.equal(memory.heldBytes, 0);
  });

  it('TransferMemory serves other users at once while uploads wait for the share of one user', async () => {
    const memory = new TransferMemory(64 * mib);
    const uploads = Array.from({ length: 20 }, () => open(memory, 'alice'));
    const ended = new AbortController();
    const waiting = uploads.flatMap((upload) =>
      upload.tryReserve(4 * mib) ? [] : [assert.rejects(upload.reserve(4 * mib, ended.signal))],
    );
    assert.ok(waiting.length > 0);
    const other = open(memory, 'bob');
    assert.ok(other.tryReserve(5 * mib));
    other.close();
    const release = memory.tryReadAhead('bob', mib);
    assert.ok(release, 'downloads of other users still read ahead');
    release();
    ended.abort(new Error('over'));
    await Promise.all(waiting);
    uploads.forEach((upload) => upload.close());
  });

  it('TransferMemory makes silent uploads send what is a part already, as long as others wait', async () => {
    const memory = new TransferMemory(16 * mib, 300);
    const clients = ['alice', 'bob'].map((user) => {
      const client = new SilentClient(memory, user, 5 * mib);
      client.fill(7 * mib);
      return client;
    });
    const started = performance.now();
    await open(memory, 'carol').reserve(5 * mib, signal);
    assert.ok(performance.now() - started < 300, 'before the limit of silence');
    assert.deepEqual(clients.map(({ outcome }) => outcome).sort(), ['open', 'sent']);
  });

  it('TransferMemory ends the longest silent uploads, as many as the waiting ones need, and no others', async () => {
    const memory = new TransferMemory(32 * mib, 90);
    const names = ['alice', 'bob', 'carol', 'fred'] as const;
    const clients = names.map((user) => new SilentClient(memory, user, 7 * mib));
    for (const client of clients) client.fill(6 * mib);
    const busy = new SilentClient(memory, 'dave', 7 * mib);
    busy.fill(6 * mib);
    const timer = setInterval(() => (busy.receivedBytes += mib), 1);
    await open(memory, 'erin').reserve(7 * mib, signal);
    clearInterval(timer);
    assert.equal(busy.outcome, 'open');
    assert.equal(clients.filter(({ outcome }) => outcome === 'ended').length, 1);
  });

  it('TransferMemory does not count a client as active that sends a byte now and then', async () => {
    const memory = new TransferMemory(16 * mib, 90);
    const clients = ['alice', 'bob'].map((user) => new SilentClient(memory, user, 7 * mib));
    for (const client of clients) client.fill(6 * mib);
    const timer = setInterval(() => clients.forEach((client) => client.receivedBytes++), 1);
    await open(memory, 'carol').reserve(5 * mib, signal);
    clearInterval(timer);
    assert.ok(clients.some(({ outcome }) => outcome === 'ended'));
  });

  it('TransferMemory leaves silent uploads alone while nothing waits, or only what their memory cannot help', async () => {
    const memory = new TransferMemory(16 * mib, 30);
    const silent = new SilentClient(memory, 'bob', 7 * mib);
    silent.fill(mib);
    await new Promise((resolve) => setTimeout(resolve, 45));
    const blocked = [1, 2].map(() => open(memory, 'alice', 7 * mib));
    for (const upload of blocked) upload.tryReserve(4 * mib);
    const ended = new AbortController();
    const waiting = assert.rejects(blocked[1]!.reserve(4 * mib, ended.signal));
    await new Promise((resolve) => setTimeout(resolve, 45));
    assert.equal(silent.outcome, 'open');
    ended.abort(new Error('over'));
    await waiting;
  });

  it('TransferMemory never exceeds its budget and always lets some upload continue, whatever the uploads do', async () => {
    const step = fc.record({ upload: fc.nat({ max: 11 }), kib: fc.integer({ min: 1, max: 64 }) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 5, max: 7 }), { minLength: 12, maxLength: 12 }),
        fc.array(step, { minLength: 2000, maxLength: 3000 }),
        fc.integer({ min: 1, max: 4 }),
        async (claims, steps, users) => {
          const memory = new TransferMemory(16 * mib);
          const slack = 64 * 1024;
          const uploads = claims.map((claim, index) => {
            const claimBytes = claim * mib;
            const user = `user ${index % users}`;
            const upload = open(memory, user, claimBytes + slack);
            return { user, claimBytes, filled: 0, waiting: false, memory: upload };
          });
          type Simulated = (typeof uploads)[number];
          const add = (upload: Simulated, bytes: number): void => {
            upload.filled += bytes;
            if (upload.filled < upload.claimBytes) return;
            upload.filled = 0;
            // S3 confirms at once: what is waited for is only ever a part being filled.
            upload.memory.send(upload.claimBytes + slack)();
          };
          for (const { upload: index, kib } of steps) {
            const upload = uploads[index]!;
            if (upload.waiting) continue;
            const bytes = kib * 16 * 1024 > slack ? slack : kib * 16 * 1024;
            if (upload.memory.tryReserve(bytes)) add(upload, bytes);
            else {
              upload.waiting = true;
              void upload.memory.reserve(bytes, signal).then(() => {
                upload.waiting = false;
                add(upload, bytes);
              });
            }
            assert.ok(memory.heldBytes <= memory.budgetBytes);
            for (let user = 0; user < users; user++) {
              const own = uploads.filter((other) => other.user === `user ${user}`);
              assert.ok(own.reduce((sum, { filled }) => sum + filled, 0) <= memory.shareBytes);
            }
          }
          // Everybody goes on at full speed: everybody must be able to finish a part.
          const finished = uploads.map(async (upload) => {
            while (upload.waiting) await Promise.resolve();
            for (let sent = 0; sent < upload.claimBytes; sent += slack) {
              await upload.memory.reserve(slack, signal);
              add(upload, slack);
            }
            upload.memory.close();
          });
          await Promise.all(finished);
          assert.equal(memory.heldBytes, 0);
        },
      ),
      { numRuns: 15 },
    );
  });
});

/** An upload whose client has sent something, and then nothing. */
class SilentClient implements UploadClient {
  receivedBytes = 0;
  isAwaited = true;
  outcome: 'open' | 'sent' | 'ended' = 'open';
  readonly #claimBytes: number;
  readonly #memory: UploadMemory;

  constructor(memory: TransferMemory, user: string, claimBytes: number) {
    this.#claimBytes = claimBytes;
    this.#memory = memory.openUpload({ user, claimBytes, client: this });
  }

  fill(bytes: number): void {
    assert.ok(this.#memory.tryReserve(bytes));
    this.receivedBytes = bytes;
  }

  sendEarly(): void {
    if (this.receivedBytes < this.#claimBytes) return;
    this.outcome = 'sent';
    this.#memory.send(this.#claimBytes)();
  }

  endSilent(): void {
    this.outcome = 'ended';
    this.#memory.close();
  }
}
