import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'node:test';
import { type Calls, Channel, type Peer } from '../../src/workers/channel.ts';

/** Two ends of one IPC channel. Messages survive JSON, as those of `node:cluster` do. */
function connectedPeers(): readonly [Peer & EventEmitter, Peer & EventEmitter] {
  const one = new EventEmitter();
  const other = new EventEmitter();
  const sendTo = (target: EventEmitter): NonNullable<Peer['send']> => {
    return (message, callback) => {
      const text = JSON.stringify(message);
      setImmediate(() => {
        callback(null);
        target.emit('message', JSON.parse(text));
      });
      return true;
    };
  };
  return [Object.assign(one, { send: sendTo(other) }), Object.assign(other, { send: sendTo(one) })];
}

type Doubling = {
  double(value: number): number;
  fail(nothing: null): never;
  never(nothing: null): Promise<number>;
};

const doubling: Doubling = {
  double: (value) => 2 * value,
  fail: () => {
    throw new Error('no port is left');
  },
  never: () => new Promise(() => undefined),
};

describe('calls between processes', () => {
  it('A call resolves to what the other side returns, also when answers overtake each other', async () => {
    const [near, far] = connectedPeers();
    const first = Promise.withResolvers<string>();
    const slow: Calls = { first: () => first.promise, second: () => 'two' };
    const channel = new Channel<{ first(nothing: null): Promise<string>; second(nothing: null): string }>(
      near,
      {},
    );
    new Channel(far, slow);
    const pending = channel.call('first', null);
    assert.equal(await channel.call('second', null), 'two');
    first.resolve('one');
    assert.equal(await pending, 'one');
    assert.equal(channel.pendingCalls, 0);
  });

  it('A call rejects with the message of the error that the other side threw', async () => {
    const [near, far] = connectedPeers();
    new Channel(far, doubling);
    await assert.rejects(new Channel<Doubling>(near, {}).call('fail', null), { message: 'no port is left' });
  });

  it('A call of an unknown name is rejected, and the other side goes on', async () => {
    const [near, far] = connectedPeers();
    new Channel(far, doubling);
    const channel = new Channel<Doubling & { halve(value: number): number }>(near, {});
    await assert.rejects(channel.call('halve', 2), { message: 'no call has the name halve' });
    assert.equal(await channel.call('double', 21), 42);
  });

  it('Pending and later calls are rejected when the other process has ended', async () => {
    const [near, far] = connectedPeers();
    new Channel(far, doubling);
    const channel = new Channel<Doubling>(near, {});
    const pending = channel.call('never', null);
    channel.close(new Error('the worker process has ended'));
    await assert.rejects(pending, { message: 'the worker process has ended' });
    await assert.rejects(channel.call('double', 1), { message: 'the worker process has ended' });
  });

  it('A call is rejected when its message cannot be sent', async () => {
    const broken: Peer = {
      send: (_message, callback) => {
        callback(new Error('EPIPE'));
        return false;
      },
      on: () => undefined,
    };
    const channel = new Channel<Doubling>(broken, {});
    await assert.rejects(channel.call('double', 1), { message: 'EPIPE' });
    assert.equal(channel.pendingCalls, 0);
  });

  it('At most 10,000 calls wait for a process that does not answer', async () => {
    const silent: Peer = { send: () => true, on: () => undefined };
    const channel = new Channel<Doubling>(silent, {});
    const calls = Array.from({ length: 10_001 }, () => channel.call('double', 1));
    await assert.rejects(calls.at(-1)!, /too many calls of double/);
    assert.equal(channel.pendingCalls, 10_000);
    channel.close(new Error('the end'));
    const outcomes = await Promise.allSettled(calls);
    assert.ok(outcomes.every(({ status }) => status === 'rejected'));
  });
});
