import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { listen } from '../../src/net/listen.ts';

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

  it('The listen function rejects for an address that this machine does not have', async () => {
    await assert.rejects(listen(createServer(), { host: '192.0.2.1', port: 0 }, 'Test port'), {
      message: 'Test port 0 on 192.0.2.1 cannot be opened: address not available (EADDRNOTAVAIL).',
    });
  });
});
