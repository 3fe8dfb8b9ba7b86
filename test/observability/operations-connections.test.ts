import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { OperationsConnections } from '../../src/observability/operations-connections.ts';

function scene(maxConnections: number, maxConnectionsPerAddress: number) {
  const connections = new OperationsConnections({ maxConnections, maxConnectionsPerAddress });
  const dropped: string[] = [];
  const add = (name: string) => {
    const address = name[0]!;
    const connection = { destroy: () => dropped.push(name) };
    const isAdded = connections.add(address, connection);
    return {
      isAdded,
      requested: () => connections.requested(address, connection),
      answered: () => connections.answered(address, connection),
      remove: () => connections.remove(address, connection),
    };
  };
  return { add, dropped };
}

describe('connections of the operations port', () => {
  it('At the limit of an address a new connection replaces the oldest that waits, and no connection of another address', () => {
    const { add, dropped } = scene(10, 2);
    for (const name of ['b1', 'a1', 'a2', 'a3']) assert.ok(add(name).isAdded);
    assert.deepEqual(dropped, ['a1']);
  });

  it('At the total limit a new connection replaces one of the address with the most', () => {
    const { add, dropped } = scene(4, 3);
    for (const name of ['b1', 'a1', 'a2', 'a3', 'c1']) add(name);
    assert.deepEqual(dropped, ['a1']);
  });

  it('A connection whose request is being answered is not replaced', () => {
    const { add, dropped } = scene(10, 2);
    const first = add('a1');
    first.requested();
    const second = add('a2');
    add('a3');
    assert.deepEqual(dropped, ['a2']);
    second.remove();
    first.answered();
    add('a4');
    add('a5');
    assert.deepEqual(dropped, ['a2', 'a3', 'a1']);
    const busy = scene(10, 1);
    busy.add('a1').requested();
    assert.equal(busy.add('a2').isAdded, false);
  });
});
