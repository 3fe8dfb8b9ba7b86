import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TransferMemory, type UploadMemory } from '../../src/s3/transfer-memory.ts';

const mib = 1024 * 1024;
const signal = new AbortController().signal;

describe('transfer memory', () => {
  it('Transfer memory refuses a budget that cannot hold two parts.', () => {
    assert.throws(() => new TransferMemory(16 * mib - 1), RangeError);
    assert.throws(() => new TransferMemory(NaN), RangeError);
  });

  it('Transfer memory counts parts being filled and in flight, and releases each once.', () => {
    const memory = new TransferMemory(16 * mib);
    const upload = memory.openUpload(5 * mib);
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

  it('An upload waits while a part in flight holds the memory, and continues when S3 has confirmed it.', async () => {
    const memory = new TransferMemory(16 * mib);
    const [one, other] = [memory.openUpload(5 * mib), memory.openUpload(5 * mib)];
    assert.ok(one.tryReserve(12 * mib));
    const release = one.send(5 * mib);
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

  it('The last bytes are granted to a part that can be completed, so half-filled parts never block each other.', async () => {
    const memory = new TransferMemory(16 * mib);
    const uploads = [1, 2, 3, 4].map(() => memory.openUpload(5 * mib));
    for (const upload of uploads) upload.tryReserve(4 * mib);
    // Four times 4 MiB would fill the budget, and none could ever reach 5 MiB.
    assert.ok(memory.heldBytes < 16 * mib);
    const [first] = uploads as [UploadMemory];
    await first.reserve(mib, signal);
    first.send(5 * mib)();
    assert.ok(memory.heldBytes <= 12 * mib);
  });

  it('The oldest part is served first.', async () => {
    const memory = new TransferMemory(16 * mib);
    const holder = memory.openUpload(5 * mib);
    assert.ok(holder.tryReserve(16 * mib));
    const release = holder.send(5 * mib);
    const order: number[] = [];
    const waiting = [0, 1, 2].map(async (index) => {
      const upload = memory.openUpload(5 * mib);
      await upload.reserve(5 * mib, signal);
      order.push(index);
      upload.send(5 * mib)();
    });
    release();
    await Promise.all(waiting);
    assert.deepEqual(order, [0, 1, 2]);
  });

  it('An upload whose signal aborts leaves the queue.', async () => {
    const memory = new TransferMemory(16 * mib);
    const holder = memory.openUpload(5 * mib);
    assert.ok(holder.tryReserve(16 * mib));
    const transfer = new AbortController();
    const upload = memory.openUpload(5 * mib);
    const waiting = upload.reserve(mib, transfer.signal);
    const reason = new Error('ABOR');
    transfer.abort(reason);
    await assert.rejects(waiting, reason);
    await assert.rejects(upload.reserve(mib, transfer.signal), reason);
    assert.equal(memory.waitingUploads, 0);
    holder.close();
    assert.equal(memory.heldBytes, 0);
  });

  it('Downloads get at most half of the budget, and nothing while an upload waits.', async () => {
    const memory = new TransferMemory(32 * mib);
    const first = memory.tryReadAhead(8 * mib);
    const second = memory.tryReadAhead(8 * mib);
    assert.ok(first && second);
    assert.equal(memory.tryReadAhead(1), undefined);
    const upload = memory.openUpload(5 * mib);
    assert.ok(upload.tryReserve(16 * mib));
    const waiting = upload.reserve(mib, signal);
    first();
    await waiting;
    assert.equal(memory.tryReadAhead(8 * mib), undefined);
    second();
    second();
    upload.close();
    assert.equal(memory.heldBytes, 0);
  });

  it('For any sequence of uploads the budget is never exceeded and one of them can always continue.', async () => {
    const step = fc.record({ upload: fc.nat({ max: 11 }), kib: fc.integer({ min: 1, max: 64 }) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 5, max: 7 }), { minLength: 12, maxLength: 12 }),
        fc.array(step, { minLength: 2000, maxLength: 3000 }),
        async (claims, steps) => {
          const memory = new TransferMemory(16 * mib);
          const slack = 64 * 1024;
          const uploads = claims.map((claim) => {
            const claimBytes = claim * mib;
            return { claimBytes, filled: 0, waiting: false, memory: memory.openUpload(claimBytes + slack) };
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
