import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Semaphore } from '../../src/util/semaphore.ts';

it('A semaphore runs a limited number of tasks in parallel, in the order in which they arrived, even if some fail', async () => {
  const turns = new Semaphore(2);
  const { signal } = new AbortController();
  const started: number[] = [];
  let running = 0;
  let most = 0;
  const work = (number: number) => async (): Promise<number> => {
    started.push(number);
    running += 1;
    most = Math.max(most, running);
    await new Promise(setImmediate);
    running -= 1;
    if (number === 1) throw new Error('one');
    return number;
  };
  const all = await Promise.allSettled([0, 1, 2, 3, 4].map((number) => turns.run(signal, work(number))));
  assert.equal(most, 2);
  assert.deepEqual(started, [0, 1, 2, 3, 4]);
  assert.deepEqual(
    all.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled'],
  );
  await assert.rejects(turns.run(AbortSignal.abort(new Error('over')), work(9)), new Error('over'));
  assert.ok(!started.includes(9));
});
