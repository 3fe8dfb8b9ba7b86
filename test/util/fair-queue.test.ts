import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FairQueue } from '../../src/util/fair-queue.ts';

function takeAll(queue: FairQueue<string>, rank: (item: string) => number | undefined = () => 0): string[] {
  const taken: string[] = [];
  for (let item = queue.take(rank); item !== undefined; item = queue.take(rank)) taken.push(item);
  return taken;
}

describe('the fair queue', () => {
  it('The fair queue gives each source its turn, however much the others have', () => {
    const queue = new FairQueue<string>();
    for (const item of ['a1', 'a2', 'a3', 'b1', 'c1', 'c2']) queue.add(item[0]!, item);
    assert.deepEqual(takeAll(queue), ['a1', 'b1', 'c1', 'a2', 'c2', 'a3']);
    assert.equal(queue.size, 0);
  });

  it('The fair queue takes the lowest rank first and leaves items without a rank', () => {
    const queue = new FairQueue<string>();
    for (const item of ['a2', 'a0', 'b1', 'c-']) queue.add(item[0]!, item);
    const rank = (item: string) => (item.endsWith('-') ? undefined : Number(item[1]));
    assert.deepEqual(takeAll(queue, rank), ['a0', 'b1', 'a2']);
    assert.deepEqual([...queue], ['c-']);
  });

  it('The last item is the newest of the source with the most items', () => {
    const queue = new FairQueue<string>();
    for (const item of ['a1', 'b1', 'b2', 'c1']) queue.add(item[0]!, item);
    assert.equal(queue.last, 'b2');
    assert.equal(queue.delete('b', 'b2'), true);
    assert.equal(queue.delete('b', 'b2'), false);
    assert.deepEqual([queue.size, queue.sizeOf('b'), queue.sizeOf('x')], [3, 1, 0]);
  });
});
