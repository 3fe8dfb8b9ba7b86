import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { DataConnectionError } from '../../../src/ftp/data/data-connection-source.ts';
import type { LeaseHolder } from '../../../src/ftp/data/port-lease.ts';
import { PassivePorts, type PassivePortsOptions } from '../../../src/ftp/data/passive-ports.ts';
import type { GatewayEvent } from '../../../src/observability/event.ts';
import { LeakCheck } from '../../support/leak-check.ts';

const neverAborted = new AbortController().signal;

describe('passive ports', () => {
  const leaks = new LeakCheck();
  let events: GatewayEvent[];
  let opened: PassivePorts[];
  let sockets: Socket[];

  before(() => {
    process.on('uncaughtException', rethrow);
  });
  after(async () => {
    process.off('uncaughtException', rethrow);
    await leaks.assertNothingLeft();
  });
  beforeEach(() => {
    events = [];
    opened = [];
    sockets = [];
  });
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    for (const ports of opened) await ports.close();
  });

  async function open(count: number, options: Partial<PassivePortsOptions> = {}): Promise<PassivePorts> {
    const ports = await PassivePorts.open({
      listenAddress: '127.0.0.1',
      ports: new Array<number>(count).fill(0),
      dataConnectionTimeoutMs: 5_000,
      leaseWaitMs: 5_000,
      observe: (event) => events.push(event),
      ...options,
    });
    opened.push(ports);
    return ports;
  }

  /** A client's connection from its own loopback address. */
  function dial(port: number, localAddress = '127.0.0.1'): Socket {
    const socket = connect({ host: '127.0.0.1', port, localAddress });
    socket.on('error', () => undefined);
    sockets.push(socket);
    return socket;
  }

  it('Passive ports listen on every port of the range from start to stop, and on no other', async () => {
    const ports = await open(3);
    assert.equal(new Set(ports.ports).size, 3);
    await ports.close();
    for (const port of ports.ports) {
      const [error] = (await once(dial(port), 'error')) as [NodeJS.ErrnoException];
      assert.equal(error.code, 'ECONNREFUSED');
    }
  });

  it('Passive ports name the port that cannot be opened and then open none', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    await assert.rejects(open(1, { ports: [0, port] }), {
      message: `Passive port ${port} on 127.0.0.1 cannot be opened: address already in use (EADDRINUSE).`,
    });
    taken.close();
  });

  it('A connection that arrived before the command is passed to the session that holds the lease', async () => {
    const ports = await open(1);
    const lease = await ports.lease(holder('a'), neverAborted);
    const client = dial(lease.port);
    client.end('early bytes');
    await once(client, 'connect');
    const socket = await lease.open(neverAborted);
    sockets.push(socket);
    assert.equal(socket.isPaused() || socket.readableFlowing === false, true);
    const [bytes] = (await once(socket.resume(), 'data')) as [Buffer];
    assert.equal(bytes.toString(), 'early bytes');
  });

  it('Clients of different addresses share one passive port', async () => {
    const ports = await open(1);
    const [one, two] = await Promise.all(
      ['127.0.0.2', '127.0.0.3'].map((clientAddress) =>
        ports.lease(holder(clientAddress, clientAddress), neverAborted),
      ),
    );
    assert.equal(one!.port, two!.port);
    dial(one!.port, '127.0.0.3').write('from three');
    dial(one!.port, '127.0.0.2').write('from two');
    for (const [lease, expected] of [
      [one, 'from two'],
      [two, 'from three'],
    ] as const) {
      const socket = await lease!.open(neverAborted);
      sockets.push(socket);
      const [bytes] = (await once(socket.resume(), 'data')) as [Buffer];
      assert.equal(bytes.toString(), expected);
    }
  });

  it('A passive port is free again as soon as its connection is accepted', async () => {
    const ports = await open(1);
    const running: Socket[] = [];
    for (let index = 0; index < 50; index += 1) {
      const lease = await ports.lease(holder(`s${index}`), neverAborted);
      dial(lease.port);
      running.push(await lease.open(neverAborted));
    }
    sockets.push(...running);
    assert.equal(
      running.every((socket) => !socket.destroyed),
      true,
    );
    assert.deepEqual(ports.usage, { leases: 0, waiting: 0 });
  });

  it('The leases of one address are spread over all ports', async () => {
    const ports = await open(4);
    const leases = [];
    for (let index = 0; index < 4; index += 1) {
      leases.push(await ports.lease(holder(`s${index}`), neverAborted));
    }
    assert.deepEqual(leases.map(({ port }) => port).sort(), [...ports.ports].sort());
  });

  it('Sessions of one address wait for a port in first-come, first-served order', async () => {
    const ports = await open(1);
    const order: string[] = [];
    const lease = await ports.lease(holder('first'), neverAborted);
    const later = ['second', 'third'].map(async (id) => {
      const granted = await ports.lease(holder(id), neverAborted);
      order.push(id);
      dial(granted.port);
      sockets.push(await granted.open(neverAborted));
    });
    assert.deepEqual(ports.usage, { leases: 1, waiting: 2 });
    dial(lease.port);
    sockets.push(await lease.open(neverAborted));
    await Promise.all(later);
    assert.deepEqual(order, ['second', 'third']);
  });

  it('A session that waits for a port for too long is refused, and the refusal is reported', async () => {
    const ports = await open(1, { leaseWaitMs: 20 });
    await ports.lease(holder('holder'), neverAborted);
    await assert.rejects(ports.lease(holder('late'), neverAborted), {
      name: 'DataConnectionError',
      message: 'All passive ports wait for other connections from your address; try again.',
    });
    assert.deepEqual(events, [
      {
        event: 'passive-ports-exhausted',
        sessionId: 'late',
        clientAddress: '127.0.0.1',
        cause: 'PASV-EXHAUSTED',
      },
    ]);
    assert.deepEqual(ports.usage, { leases: 1, waiting: 0 });
  });

  it('A session that ends while it waits for a port is removed from the queue, and the next one is served', async () => {
    const ports = await open(1);
    const held = await ports.lease(holder('holder'), neverAborted);
    const leaving = new AbortController();
    const left = ports.lease(holder('leaving'), leaving.signal);
    const next = ports.lease(holder('next'), neverAborted);
    leaving.abort();
    await assert.rejects(left, DataConnectionError);
    held.close();
    assert.equal((await next).port, ports.ports[0]);
  });

  it('A new lease replaces the previous one of its session', async () => {
    const ports = await open(2);
    const leases = [];
    for (let index = 0; index < 20; index += 1) {
      leases.push(await ports.lease(holder('greedy'), neverAborted));
    }
    assert.deepEqual(ports.usage, { leases: 1, waiting: 0 });
    await assert.rejects(leases[0]!.open(neverAborted), DataConnectionError);
  });

  it('A connection that was not used yet is closed when its lease is replaced', async () => {
    const ports = await open(1);
    const lease = await ports.lease(holder('a'), neverAborted);
    const client = dial(lease.port);
    await once(client, 'connect');
    const gone = closed(client);
    await accepted(ports);
    await ports.lease(holder('a'), neverAborted);
    await gone;
  });

  it('A lease ends with its session', async () => {
    const ports = await open(1);
    const session = new AbortController();
    const lease = await ports.lease(holder('a'), session.signal);
    const opening = lease.open(neverAborted);
    session.abort();
    await assert.rejects(opening, { name: 'DataConnectionError', message: 'The session has ended.' });
    assert.deepEqual(ports.usage, { leases: 0, waiting: 0 });
  });

  it('A lease ends when no connection arrives for it', async () => {
    const ports = await open(1, { dataConnectionTimeoutMs: 20 });
    const lease = await ports.lease(holder('a'), neverAborted);
    await assert.rejects(lease.open(neverAborted), {
      name: 'DataConnectionError',
      message: `No connection from 127.0.0.1 reached port ${lease.port} within 1 s; a firewall may block it. Allow TCP ${lease.port}.`,
      causeCode: 'PASV-NONE',
    });
    assert.deepEqual(ports.usage, { leases: 0, waiting: 0 });
  });

  it('An aborted transfer stops waiting for its connection', async () => {
    const ports = await open(1);
    const lease = await ports.lease(holder('a'), neverAborted);
    const transfer = new AbortController();
    const opening = lease.open(transfer.signal);
    transfer.abort();
    await assert.rejects(opening, DataConnectionError);
    assert.deepEqual(ports.usage, { leases: 0, waiting: 0 });
  });

  it('A connection without a lease is closed and counted and does not affect the lease of another address', async () => {
    const ports = await open(1);
    const lease = await ports.lease(holder('a'), neverAborted);
    const stranger = dial(lease.port, '127.0.0.9');
    stranger.write('GET / HTTP/1.0\r\n\r\n');
    await closed(stranger);
    assert.deepEqual(events, [
      {
        event: 'stray-data-connection',
        port: lease.port,
        clientAddress: '127.0.0.9',
        expectedAddress: '127.0.0.1',
        cause: 'PASV-ADDRESS',
      },
    ]);
    dial(lease.port);
    sockets.push(await lease.open(neverAborted));
  });

  it('A lease accepts only one connection', async () => {
    const ports = await open(1);
    const lease = await ports.lease(holder('a'), neverAborted);
    const first = dial(lease.port);
    await once(first, 'connect');
    const second = dial(lease.port);
    await closed(second);
    const socket = await lease.open(neverAborted);
    sockets.push(socket);
    assert.equal(socket.remotePort, first.localPort);
  });

  it('A passive port survives 2,000 connections without a lease, resets at accept among them, and serves the next client', async () => {
    const ports = await open(4);
    const total = 2_000;
    const atOnce = 200;
    let started = 0;
    const stray = async (): Promise<void> => {
      while (started < total) {
        const index = started++;
        const socket = connect({
          host: '127.0.0.1',
          port: ports.ports[index % 4]!,
          localAddress: '127.0.0.66',
        });
        socket.on('error', () => undefined);
        const gone = closed(socket);
        if (index % 2 === 0) socket.once('connect', () => socket.resetAndDestroy());
        else socket.end('x'.repeat(100));
        await gone;
      }
    };
    await Promise.all(Array.from({ length: atOnce }, stray));
    const lease = await ports.lease(holder('a'), neverAborted);
    dial(lease.port);
    sockets.push(await lease.open(neverAborted));
    // A connection that is reset before it is accepted is sometimes not reported at all.
    assert.ok(events.length > total / 2, `${events.length} strays were counted`);
    assert.ok(events.every(({ event }) => event === 'stray-data-connection'));
  });

  it('A dual-stack listener recognizes an IPv4 client', async (test) => {
    let ports: PassivePorts;
    try {
      ports = await open(1, { listenAddress: '::' });
    } catch {
      test.skip('no IPv6 here');
      return;
    }
    const lease = await ports.lease(holder('a'), neverAborted);
    dial(lease.port);
    sockets.push(await lease.open(neverAborted));
  });

  it('A lease whose transfer waits for the storage does not end, and its timer restarts with the transfer', async (t) => {
    const ports = await open(1, { dataConnectionTimeoutMs: 50 });
    const session = { ...holder('a'), isExecuting: true };
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const lease = await ports.lease(session, neverAborted);
    for (let timeouts = 0; timeouts < 3; timeouts++) t.mock.timers.tick(50);
    assert.deepEqual(ports.usage, { leases: 1, waiting: 0 });
    const opening = lease.open(neverAborted);
    dial(lease.port);
    sockets.push(await opening);
  });

  it('A lease ends after its timeout when its transfer waits only for the client', async () => {
    const ports = await open(1, { dataConnectionTimeoutMs: 50 });
    const lease = await ports.lease({ ...holder('a'), isExecuting: true }, neverAborted);
    await assert.rejects(
      lease.open(neverAborted),
      /^DataConnectionError: No connection from 127\.0\.0\.1 reached port \d+ within 1 s/,
    );
  });

  for (const when of ['before', 'after'] as const) {
    it(`A connection that is reset before it is accepted, ${when} the transfer asks for it, is reported soon and not after the timeout`, async () => {
      const ports = await open(1, { dataConnectionTimeoutMs: 60_000 });
      const lease = await ports.lease(holder('a'), neverAborted);
      let opening = when === 'after' ? lease.open(neverAborted) : undefined;
      await dialAndReset(lease.port);
      if (when === 'before') await seen('stray-data-connection');
      opening ??= lease.open(neverAborted);
      const startedAt = performance.now();
      await assert.rejects(opening, {
        name: 'DataConnectionError',
        message: `The data connection to port ${lease.port} was reset before it was accepted; send PASV or EPSV again.`,
        causeCode: 'PASV-RESET',
      });
      assert.ok(performance.now() - startedAt < 5_000);
      assert.deepEqual(ports.usage, { leases: 0, waiting: 0 });
    });
  }

  it('A connection that follows one that was reset before it was accepted is used', async () => {
    const ports = await open(1);
    const lease = await ports.lease(holder('a'), neverAborted);
    const opening = lease.open(neverAborted);
    await dialAndReset(lease.port);
    await seen('stray-data-connection');
    dial(lease.port);
    sockets.push(await opening);
  });

  it('A connection that is reset before it is accepted ends no lease when several wait on its port', async (t) => {
    const ports = await open(1, { dataConnectionTimeoutMs: 60_000 });
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const one = await ports.lease(holder('a', '127.0.0.2'), neverAborted);
    await ports.lease(holder('b', '127.0.0.3'), neverAborted);
    const opening = one.open(neverAborted);
    await dialAndReset(one.port);
    await seen('stray-data-connection');
    // Longer than a lease waits after a reset of its own connection.
    t.mock.timers.tick(1_200);
    dial(one.port, '127.0.0.2');
    sockets.push(await opening);
  });

  /** Resolves when an event of that kind has been observed. */
  async function seen(name: GatewayEvent['event']): Promise<void> {
    while (!events.some(({ event }) => event === name)) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Resolves when the ports have accepted every pending connection, so that the address holds no lease. */
  async function accepted(ports: PassivePorts): Promise<void> {
    while (ports.usage.leases > 0) await new Promise((resolve) => setImmediate(resolve));
  }
});

/**
 * Connects and resets from another thread while this one, which accepts, is blocked: the kernel then has a connection to accept
 * whose peer is gone.
 */
async function dialAndReset(port: number): Promise<void> {
  const isDone = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(
    `const { connect } = require('node:net');
    const { port, isDone } = require('node:worker_threads').workerData;
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => socket.resetAndDestroy());
    socket.once('close', () => {
      Atomics.store(isDone, 0, 1);
      Atomics.notify(isDone, 0);
    });`,
    { eval: true, workerData: { port, isDone } },
  );
  Atomics.wait(isDone, 0, 0, 10_000);
  await worker.terminate();
}

/** A session that runs no command. */
function holder(id: string, clientAddress = '127.0.0.1'): LeaseHolder {
  return { id, clientAddress, isExecuting: false };
}

/** Resolves when the socket is closed, with or without an error before. */
function closed(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.resume().once('close', resolve));
}

function rethrow(error: Error): never {
  throw error;
}
