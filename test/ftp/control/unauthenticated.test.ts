import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SharedSessionCounts } from '../../../src/ftp/control/session-limits.ts';
import { UnauthenticatedConnections } from '../../../src/ftp/control/unauthenticated.ts';

function scene(
  maxUnauthenticated: number,
  maxUnauthenticatedPerAddress: number,
  maxSessions = 1_000,
  shared?: SharedSessionCounts,
) {
  const dropped: string[] = [];
  const exceeded: string[] = [];
  const connections = new UnauthenticatedConnections(
    {
      maxUnauthenticated,
      maxUnauthenticatedPerAddress,
      maxSessions,
    },
    shared,
  );
  const enter = (source: string, name = source, isFinal = true) =>
    connections.enter(
      source,
      { drop: () => dropped.push(name), exceeded: () => exceeded.push(name) },
      isFinal,
    );
  return { connections, dropped, exceeded, enter };
}

describe('connections without a login', () => {
  it('A source has its own limit, which ends when one of its connections closes or logs in', () => {
    const { connections, enter } = scene(100, 2);
    const first = enter('a');
    const second = enter('a');
    assert.equal(enter('a'), undefined);
    assert.ok(enter('b'));
    first?.leave();
    first?.leave();
    assert.equal(connections.total, 2);
    assert.ok(enter('a'));
    second?.loggedIn();
    assert.equal(connections.total, 2);
  });

  it('A source from which a user has logged in has no limit of its own', () => {
    const { enter } = scene(100, 2);
    enter('a')?.loggedIn();
    for (let count = 0; count < 50; count++) assert.ok(enter('a'));
  });

  it('At the total limit a new connection replaces the oldest of the source with the most', () => {
    const { connections, dropped, enter } = scene(6, 5);
    for (const name of ['a1', 'b1', 'b2', 'b3', 'a2', 'c1']) enter(name[0]!, name);
    enter('d', 'd1');
    enter('e', 'e1');
    assert.deepEqual(dropped, ['b1', 'a1']);
    assert.equal(connections.total, 6);
  });

  it('Of many sources with one connection each, the oldest gives way, and known sources only when no other is left', () => {
    const { dropped, enter } = scene(3, 5);
    enter('partner', 'login')?.loggedIn();
    for (const name of ['partner', 'a', 'b', 'c', 'd']) enter(name);
    assert.deepEqual(dropped, ['a', 'b']);
  });

  it('Connections without a login take at most half of the sessions', () => {
    const { dropped, enter } = scene(500, 200, 10);
    for (let count = 0; count < 8; count++) enter(`s${count}`);
    assert.deepEqual(dropped, ['s0', 's1', 's2']);
  });

  it('A connection behind a proxy counts for its own source as soon as that is known', () => {
    const { connections, enter } = scene(100, 2);
    const places = Array.from({ length: 5 }, () => enter('proxy', 'x', false)!);
    assert.deepEqual(
      places.map((place) => place.identify('a')),
      [true, true, false, false, false],
    );
    assert.equal(connections.total, 2);
    places.forEach((place) => place.leave());
    assert.equal(connections.total, 0);
  });

  it('A session that logs out takes a place again', () => {
    const { connections, enter } = scene(100, 1);
    const place = enter('a');
    place?.loggedIn();
    place?.loggedOut();
    assert.equal(connections.total, 1);
    place?.leave();
    assert.equal(connections.total, 0);
  });

  it('A connection that was dropped takes no place again', () => {
    const { connections, dropped, enter } = scene(1, 5);
    const first = enter('a');
    enter('b');
    assert.deepEqual(dropped, ['a']);
    first?.leave();
    assert.equal(connections.total, 1);
  });

  it('Several processes count the connections of a source that is unknown until it logs in, closes, or gives way', () => {
    const claimed = new Map<string, () => void>();
    const { connections, dropped, exceeded, enter } = scene(2, 5, 1_000, {
      claim(kind, key, isExceeded) {
        assert.equal(kind, 'unauthenticated');
        claimed.set(key, isExceeded);
        return () => void claimed.delete(key);
      },
    });
    enter('a')?.leave();
    assert.deepEqual([...claimed.keys()], []);
    enter('b', 'b1');
    const proxied = enter('proxy', 'c1', false);
    assert.deepEqual([...claimed.keys()], ['b'], 'the address of a proxy has no limit');
    proxied?.identify('c');
    assert.deepEqual([...claimed.keys()], ['b', 'c']);
    claimed.get('c')?.();
    assert.deepEqual(exceeded, ['c1']);
    proxied?.loggedIn();
    enter('d');
    enter('e');
    assert.deepEqual(dropped, ['b1']);
    assert.deepEqual([...claimed.keys()], ['d', 'e']);
    connections.know('f');
    enter('f');
    assert.deepEqual([...claimed.keys()], ['e'], 'f is known, and d has given way');
  });
});
