/** The bounded map against a plain array of entries in the order in which they were set. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BoundedMap } from '../../src/util/bounded-map.ts';

describe('A bounded map', () => {
  it('A bounded map evicts the entry that was set longest ago when a new one exceeds its limit', () => {
    const map = new BoundedMap<string, number>(2);
    map.set('a', 1);
    map.set('b', 2);
    map.set('a', 3);
    map.set('c', 4);
    assert.deepEqual([map.get('a'), map.get('b'), map.get('c')], [3, undefined, 4]);
    assert.deepEqual([...map.keys()], ['a', 'c']);
  });

  it('A bounded map holds the latest entries in the order of setting, whatever is set, read and deleted', () => {
    const step = fc.record({
      verb: fc.constantFrom('set', 'get', 'delete'),
      key: fc.nat(6),
      value: fc.nat(),
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 60 }), (maxEntries, steps) => {
        const map = new BoundedMap<number, number>(maxEntries);
        let expected: [number, number][] = [];
        for (const { verb, key, value } of steps) {
          const known = expected.find(([other]) => other === key)?.[1];
          assert.equal(map.get(key), known);
          assert.equal(map.has(key), known !== undefined);
          if (verb === 'get') continue;
          expected = expected.filter(([other]) => other !== key);
          if (verb === 'delete') map.delete(key);
          else {
            map.set(key, value);
            expected = [...expected, [key, value] as [number, number]].slice(-maxEntries);
          }
          assert.deepEqual(
            [...map.keys()],
            expected.map(([other]) => other),
          );
          assert.equal(map.size, expected.length);
        }
      }),
    );
  });

  it('Keys of a bounded map can be deleted while they are iterated, and clear removes all', () => {
    const map = new BoundedMap<number, true>(8);
    for (let key = 0; key < 8; key++) map.set(key, true);
    for (const key of map.keys()) if (key % 2 === 0) map.delete(key);
    assert.deepEqual([...map.keys()], [1, 3, 5, 7]);
    map.clear();
    assert.equal(map.size, 0);
  });
});
