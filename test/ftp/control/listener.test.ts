import assert from 'node:assert/strict';
import { Server } from 'node:net';
import { describe, it } from 'node:test';
import { startTestGateway } from '../../support/gateway.ts';

describe('the ports of the gateway', () => {
  it('Every port has its handler of connections when it begins to listen, because a worker process can get one at once', async (t) => {
    // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its server below
    const { listen } = Server.prototype;
    const handlers: number[] = [];
    t.mock.method(Server.prototype, 'listen', function (this: Server, ...args: Parameters<Server['listen']>) {
      handlers.push(this.listenerCount('connection'));
      return Reflect.apply<Server, typeof args, Server>(listen, this, args);
    });
    const gateway = await startTestGateway();
    await gateway.close();
    assert.ok(handlers.length >= 2, 'a control port and a passive port');
    assert.deepEqual(
      handlers,
      handlers.map(() => 1),
    );
  });
});
