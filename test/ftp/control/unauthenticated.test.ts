import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UnauthenticatedConnections } from '../../../src/ftp/control/unauthenticated.ts';

function scene(maxUnauthenticated: number, maxUnauthenticatedPerAddress: number, maxSessions = 1_000) {
  const dropped: string[] = [];
  const connections = new UnauthenticatedConnections({
    maxUnauthenticated,
    maxUnauthenticatedPerAddress,
    maxSessions,
  });
  const enter = (source: string, name = source, isFinal = true) =>
    connections.enter(source, () => dropped.push(name), isFinal);
  return { connections, dropped, enter };
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
});
