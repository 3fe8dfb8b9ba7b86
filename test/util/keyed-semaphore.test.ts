import assert from 'node:assert/strict';
import { it } from 'node:test';
import { KeyedSemaphore } from '../../src/util/keyed-semaphore.ts';

it('A keyed semaphore limits work for each key and in total, and no key keeps another waiting behind its own work', async () => {
  const semaphore = new KeyedSemaphore({ perKey: 1, total: 2 });
  const { signal } = new AbortController();
  const finish: (() => void)[] = [];
  const running: string[] = [];
  const run = (key: string): Promise<void> =>
    semaphore.run(key, signal, async () => {
      running.push(key);
      await new Promise<void>((resolve) => finish.push(resolve));
    });
  const all = ['a', 'a', 'a', 'b', 'c'].map(run);
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  await turn();
  assert.deepEqual(running, ['a', 'b']);
  finish.shift()?.();
  await turn();
  assert.deepEqual(running, ['a', 'b', 'c'], 'the first of another key, before the second of this one');
  for (let left = 4; left > 0; left--) {
    finish.shift()?.();
    await turn();
  }
  await Promise.all(all);
  assert.deepEqual(running, ['a', 'b', 'c', 'a', 'a']);
  assert.equal(semaphore.size, 0);
});

it('A keyed semaphore drops work that is aborted while it waits', async () => {
  const semaphore = new KeyedSemaphore({ perKey: 1, total: 1 });
  const { signal } = new AbortController();
  const first = Promise.withResolvers<undefined>();
  const running = semaphore.run('a', signal, () => first.promise);
  const abort = new AbortController();
  const waiting = semaphore.run('a', abort.signal, () => Promise.resolve('never'));
  abort.abort(new Error('ABOR'));
  await assert.rejects(waiting, new Error('ABOR'));
  first.resolve(undefined);
  await running;
  assert.equal(semaphore.size, 0);
});
