import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import {
  ClaimedSessions,
  type CountChanges,
  type CountKey,
  SessionCounts,
} from '../../src/workers/session-counts.ts';

const limits = { all: 5, address: 2, user: 3, unauthenticated: 4 };

function claims(first: number, ...keys: readonly CountKey[]): CountChanges {
  return { claims: keys.map((key, index) => [first + index, key] as const), releases: [] };
}

describe('the session counts of the primary', () => {
  it('A limit holds over all workers, and the claim that is one too many is refused', () => {
    const counts = new SessionCounts(limits);
    assert.deepEqual(counts.apply(1, claims(1, 'all ', 'address 192.0.2.1')), []);
    assert.deepEqual(counts.apply(2, claims(1, 'all ', 'address 192.0.2.1')), []);
    assert.deepEqual(counts.apply(1, claims(3, 'all ', 'address 192.0.2.1')), [4]);
    assert.deepEqual(
      counts.apply(2, claims(3, 'address 192.0.2.2')),
      [],
      'another address has its own limit',
    );
  });

  it('A release makes room in the same message, and a refused claim was never counted', () => {
    const counts = new SessionCounts(limits);
    counts.apply(1, claims(1, 'address a', 'address a'));
    assert.deepEqual(counts.apply(2, claims(1, 'address a')), [1]);
    assert.deepEqual(counts.apply(1, { claims: [[3, 'address a']], releases: ['address a'] }), []);
    assert.deepEqual(counts.apply(1, { claims: [], releases: ['address a', 'address a'] }), []);
    assert.equal(counts.size, 0);
  });

  it('The sessions of a worker that has ended do not count any more', () => {
    const counts = new SessionCounts(limits);
    counts.apply(1, claims(1, 'all ', 'address a', 'all ', 'address a'));
    counts.apply(2, claims(1, 'all ', 'address b'));
    assert.equal(counts.forget(1), 2);
    assert.deepEqual(counts.apply(2, claims(3, 'address a', 'address a')), []);
    assert.equal(counts.forget(2), 1);
    assert.equal(counts.size, 0);
  });
});

/** Workers whose messages the test delivers when it wants to. */
function connectedWorkers(workers: number, counts: SessionCounts) {
  const pending: (() => void)[] = [];
  const sessions = Array.from({ length: workers }, (_, index) => {
    const send = (changes: CountChanges): Promise<readonly number[]> =>
      new Promise((resolve) => pending.push(() => resolve(counts.apply(index + 1, changes))));
    return new ClaimedSessions(send, setImmediate);
  });
  const settle = async (): Promise<void> => {
    for (;;) {
      await nextTurn();
      await nextTurn();
      if (pending.length === 0) return;
      for (const deliver of pending.splice(0)) deliver();
    }
  };
  return { sessions, pending, settle };
}

describe('the claims of a worker', () => {
  it('The claims of one turn travel in one message, and the refused one is revoked', async () => {
    const counts = new SessionCounts(limits);
    const { sessions, pending, settle } = connectedWorkers(2, counts);
    const revoked: string[] = [];
    for (const [worker, name] of [
      [0, 'a'],
      [1, 'b'],
      [1, 'c'],
    ] as const) {
      sessions[worker]!.claim('all', '', () => undefined);
      sessions[worker]!.claim('address', '192.0.2.1', () => revoked.push(name));
    }
    await nextTurn();
    await nextTurn();
    assert.equal(pending.length, 2, 'one message of each worker');
    await settle();
    assert.deepEqual(revoked, ['c']);
  });

  it('A session that ends before its claim was sent costs no message', async () => {
    const { sessions, pending } = connectedWorkers(1, new SessionCounts(limits));
    const [worker] = sessions;
    worker!.claim('all', '', () => undefined)();
    await nextTurn();
    await nextTurn();
    assert.equal(pending.length, 0);
    worker!.claim('all', '', () => undefined);
    await nextTurn();
    await nextTurn();
    assert.equal(pending.length, 1, 'later ones are sent');
  });

  it('Claims and releases in any order, with messages under way, leave exactly what is still claimed', async () => {
    const step = fc.record({
      worker: fc.nat(1),
      release: fc.boolean(),
      key: fc.constantFrom('a', 'b'),
      deliver: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const counts = new SessionCounts(limits);
        const { sessions, pending, settle } = connectedWorkers(2, counts);
        const open = new Map<object, { readonly key: string; readonly release: () => void }>();
        for (const { worker, release, key, deliver } of steps) {
          const [oldest] = open.keys();
          if (release && oldest !== undefined) {
            open.get(oldest)?.release();
            open.delete(oldest);
          } else {
            const session = {};
            open.set(session, {
              key,
              release: sessions[worker]!.claim('address', key, () => open.delete(session)),
            });
          }
          if (deliver) {
            await nextTurn();
            pending.shift()?.();
            await nextTurn();
          }
        }
        await settle();
        for (const key of ['a', 'b']) {
          const left = [...open.values()].filter((session) => session.key === key).length;
          assert.ok(left <= limits.address, `${left} sessions of ${key}`);
          // What is claimed now is counted: the rest of the limit is free, and no more.
          const free = limits.address - left;
          const more = claims(1, ...Array.from({ length: free + 1 }, (): CountKey => `address ${key}`));
          assert.deepEqual(counts.apply(9, more), [free + 1]);
        }
      }),
      { numRuns: 200 },
    );
  });
});
