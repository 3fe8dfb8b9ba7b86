import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { type BusyPort, listen } from '../../src/net/listen.ts';

describe('listen', () => {
  it('The listen function resolves to the port that the system chose', async () => {
    const server = createServer();
    const port = await listen(server, { host: '127.0.0.1', port: 0 }, 'Test port');
    assert.ok(port > 0);
    assert.equal((server.address() as AddressInfo).port, port);
    assert.equal(server.listenerCount('error'), 0, 'errors after the start are left to the caller');
    server.close();
    await once(server, 'close');
  });

  it('The listen function rejects with an error that names the purpose, port, host and reason, and keeps its cause', async () => {
    const first = createServer();
    const port = await listen(first, { host: '127.0.0.1', port: 0 }, 'Test port');
    const error = await listen(createServer(), { host: '127.0.0.1', port }, 'Test port').then(
      () => undefined,
      (failure: unknown) => failure as Error,
    );
    assert.equal(
      error?.message,
      `Test port ${port} on 127.0.0.1 cannot be opened: address already in use (EADDRINUSE).`,
    );
    assert.equal((error.cause as NodeJS.ErrnoException).code, 'EADDRINUSE');
    first.close();
    await once(first, 'close');
  });

  it('The listen function waits for a port that an outgoing connection holds, and says what holds it', async () => {
    const remote = createServer();
    const remotePort = await listen(remote, { host: '127.0.0.1', port: 0 }, 'Test port');
    const accepted = once(remote, 'connection') as Promise<[Socket]>;
    const outgoing = connect({ host: '127.0.0.1', port: remotePort });
    await once(outgoing, 'connect');
    const [incoming] = await accepted;
    const port = outgoing.localPort!;

    const server = createServer();
    const busy = Promise.withResolvers<BusyPort>();
    const opened = listen(server, { host: '127.0.0.1', port, onBusy: busy.resolve }, 'Test port');
    assert.deepEqual(await busy.promise, {
      name: 'Test port',
      port,
      remote: `127.0.0.1:${remotePort}`,
      state: 'ESTABLISHED',
    });
    // The side that ends a connection first keeps its port for a minute.
    incoming.end();
    outgoing.resume().end();
    assert.equal(await opened, port);
    for (const each of [server, remote]) each.close();
  });

  it('The listen function rejects for an address that this machine does not have', async () => {
    await assert.rejects(listen(createServer(), { host: '192.0.2.1', port: 0 }, 'Test port'), {
      message: 'Test port 0 on 192.0.2.1 cannot be opened: address not available (EADDRNOTAVAIL).',
    });
  });
});
