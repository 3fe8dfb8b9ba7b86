/** Health checks beside a flood of idle connections. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startOperationsServer } from '../../../src/observability/operations-server.ts';

it('Health checks are answered within a second while 10,000 idle connections come from their own address and another', async (t) => {
  const server = await startOperationsServer({
    listenAddress: '127.0.0.1',
    port: 0,
    proxyProtocol: 'v2',
    isReady: () => true,
    probed: () => true,
    status: () => ({}),
    drain: () => undefined,
    serve: () => true,
    metrics: { contentType: 'text/plain', metrics: () => Promise.resolve('') },
  });
  t.after(() => server.close());
  const idle: Socket[] = [];
  const open = (localAddress: string): void => {
    const socket = connect({ port: server.port, host: '127.0.0.1', localAddress });
    socket.on('error', () => undefined);
    idle.push(socket);
  };
  let slowestMs = 0;
  const check = async (): Promise<void> => {
    const startMs = performance.now();
    const socket = connect({ port: server.port, host: '127.0.0.1' });
    socket.write('GET /healthz HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n');
    assert.match(await text(socket), /^HTTP\/1\.1 200 /);
    slowestMs = Math.max(slowestMs, performance.now() - startMs);
  };
  for (let round = 0; round < 200; round++) {
    for (let count = 0; count < 25; count++) {
      open('127.0.0.1');
      open('127.0.0.2');
    }
    await Promise.all([check(), delay(5)]);
  }
  assert.equal(idle.length, 10_000);
  assert.ok(slowestMs < 1_000, `the slowest answer took ${slowestMs} ms`);
  t.diagnostic(`slowest answer ${Math.round(slowestMs)} ms`);
  const stillOpen = idle.filter(({ destroyed, readyState }) => !destroyed && readyState === 'open');
  assert.ok(stillOpen.length <= 512, `${stillOpen.length} connections are open`);
  idle.forEach((socket) => socket.destroy());
});
