/** The stand-in does what AWS says of its load balancer; without that, what passes on it would prove nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { parseProxyHeader } from '../../../src/net/proxy-protocol.ts';
import { takeLoopbackNetwork } from './loopback-network.ts';
import { NetworkLoadBalancer } from './network-load-balancer.ts';
import type { TargetGroup, Topology } from './topology.ts';

const skip =
  process.platform === 'linux' ? false : 'only Linux has all of 127.0.0.0/8 on its loopback interface';
// Held until the process ends.
const network = skip === false ? (await takeLoopbackNetwork()).prefix : '127.16';
const node = { publicAddress: `${network}.1.1`, privateAddress: '10.0.0.11' };
const [first, second] = [`${network}.2.1`, `${network}.2.2`];
const client = `${network}.3.1`;
const listenerPort = 41_000;

/** A target: an HTTP health port, and a server that records what comes and can speak first. */
class Target {
  readonly received: Buffer[] = [];
  readonly peers: string[] = [];
  readonly sockets: Socket[] = [];
  readonly healthRequests: Buffer[] = [];
  healthy = true;
  greeting = '';
  readonly #servers = [
    createServer({ allowHalfOpen: true }, (socket) => this.#serve(socket)),
    createServer((socket) => {
      socket.once('data', (bytes) => {
        this.healthRequests.push(bytes);
        socket.end(`HTTP/1.1 ${this.healthy ? 200 : 503} x\r\n\r\n`);
      });
    }),
  ] as const;
  readonly address: string;

  constructor(address: string) {
    this.address = address;
  }

  async listen(port: number, healthPort: number): Promise<void> {
    const [server, health] = this.#servers;
    server.listen(port, this.address);
    health.listen(healthPort, this.address);
    await Promise.all([once(server, 'listening'), once(health, 'listening')]);
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  #serve(socket: Socket): void {
    socket.on('error', () => undefined);
    this.sockets.push(socket);
    this.peers.push(socket.remoteAddress ?? '');
    if (this.greeting !== '') socket.write(this.greeting);
    socket.on('data', (bytes) => this.received.push(bytes));
    socket.on('end', () => socket.end());
  }
}

function topology(group: Partial<TargetGroup>, idleTimeoutSeconds = 350): Topology {
  const targetGroup: TargetGroup = {
    id: 'group',
    port: listenerPort,
    proxyProtocol: false,
    preserveClientIp: true,
    crossZone: true,
    deregistrationDelaySeconds: 0,
    terminatesOnDeregistration: false,
    terminatesOnUnhealthy: false,
    healthCheck: {
      port: 41_080,
      path: '/healthz',
      intervalSeconds: 1,
      healthyThreshold: 2,
      unhealthyThreshold: 2,
    },
    ...group,
  };
  return {
    nodes: [node],
    listeners: [{ port: listenerPort, targetGroup: 'group', idleTimeoutSeconds }],
    targetGroups: new Map([['group', targetGroup]]),
    services: [],
  };
}

type Scene = {
  readonly balancer: NetworkLoadBalancer;
  readonly targets: readonly [Target, Target];
  close(): void;
};

async function scene(group: Partial<TargetGroup> = {}, idleTimeoutSeconds?: number): Promise<Scene> {
  const targets = [new Target(first), new Target(second)] as const;
  const balancer = new NetworkLoadBalancer(topology(group, idleTimeoutSeconds), 20);
  await balancer.addListeners(topology(group, idleTimeoutSeconds));
  for (const target of targets) {
    await target.listen(listenerPort, 41_080);
    balancer.register('group', target.address);
    await balancer.becomes('healthy', target.address, ['group'], AbortSignal.timeout(5000));
  }
  return {
    balancer,
    targets,
    close() {
      balancer.close();
      for (const target of targets) target.close();
    },
  };
}

async function dial(): Promise<Socket> {
  const socket = connect({
    host: node.publicAddress,
    port: listenerPort,
    localAddress: client,
    allowHalfOpen: true,
  });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

async function hangUp(socket: Socket): Promise<void> {
  socket.end();
  socket.resume();
  await once(socket, 'close');
}

/** How the connection ended for the client: `FIN` or an error code. */
async function ending(socket: Socket): Promise<string> {
  const error = once(socket, 'error').then(([reason]) => (reason as NodeJS.ErrnoException).code ?? '');
  socket.resume();
  return Promise.race([error, once(socket, 'end').then(() => 'FIN')]);
}

describe('the load balancer of the topology tests', { skip }, () => {
  let current: Scene;

  describe('with PROXY headers', () => {
    before(async () => {
      current = await scene({ proxyProtocol: true });
      for (const target of current.targets) target.greeting = '220 Ready\r\n';
    });
    after(() => current.close());

    it('The test load balancer sends the PROXY header only with the first bytes of the client, in front of them', async () => {
      const socket = await dial();
      const [greeting] = (await once(socket, 'data')) as [Buffer];
      assert.equal(greeting.toString(), '220 Ready\r\n');
      const target = current.targets.find(({ peers }) => peers.length > 0)!;
      assert.equal(target.received.length, 0);
      socket.write('USER x\r\n');
      await once(target.sockets[0]!, 'data');
      const bytes = Buffer.concat(target.received);
      const header = parseProxyHeader(bytes);
      assert.equal(header.kind, 'proxied');
      assert.deepEqual(
        [header.source.address, header.destination],
        [client, { address: '10.0.0.11', port: listenerPort }],
      );
      assert.equal(bytes.subarray(header.lengthBytes).toString(), 'USER x\r\n');
      await hangUp(socket);
    });

    it('The test load balancer never sends a PROXY header for a client that sends nothing, as in a download in clear', async () => {
      const before = current.targets.map(({ received }) => received.length);
      await hangUp(await dial());
      assert.deepEqual(
        current.targets.map(({ received }) => received.length),
        before,
      );
    });

    it('The test load balancer sends a PROXY header in front of its HTTP health checks', () => {
      const [request] = current.targets[0].healthRequests;
      const header = parseProxyHeader(request!);
      assert.equal(header.kind, 'local');
      assert.match(request!.subarray(header.lengthBytes).toString(), /^GET \/healthz HTTP\/1\.1\r\n/);
    });
  });

  describe('without PROXY headers', () => {
    before(async () => {
      current = await scene();
    });
    after(() => current.close());

    it('The test load balancer keeps the source address and distributes flows over the targets', async () => {
      for (let flow = 0; flow < 40; flow += 1) await hangUp(await dial());
      for (const { peers } of current.targets) {
        assert.ok(peers.length > 5, `${peers.length} of 40 flows`);
        assert.deepEqual(new Set(peers), new Set([client]));
      }
    });

    it('The test load balancer forwards a reset as a reset, not as an end of file', async () => {
      for (const target of current.targets) target.greeting = '220 Ready\r\n';
      const socket = await dial();
      await once(socket, 'data');
      const peer = current.targets
        .find(({ address }) => address === current.balancer.flows.at(-1)!.target)!
        .sockets.at(-1)!;
      socket.resetAndDestroy();
      const [error] = (await once(peer, 'error')) as [NodeJS.ErrnoException];
      assert.equal(error.code, 'ECONNRESET');
    });

    it('The test load balancer sends no new flow to a deregistered target and keeps its existing flows', async () => {
      const open = await dial();
      const served = current.balancer.flows.at(-1)!.target;
      await current.balancer.deregister('group', served);
      for (let flow = 0; flow < 20; flow += 1) {
        await hangUp(await dial());
        assert.notEqual(current.balancer.flows.at(-1)!.target, served);
      }
      const target = current.targets.find(({ address }) => address === served)!;
      open.write('still here');
      const [bytes] = (await once(target.sockets.at(-1)!, 'data')) as [Buffer];
      assert.equal(bytes.toString(), 'still here');
      await hangUp(open);
    });

    it('The test load balancer keeps the flows of an unhealthy target, and fails open when no target is healthy', async () => {
      const target = current.targets.find(
        ({ address }) => address === current.balancer.flows.at(-1)!.target,
      )!;
      const open = await dial();
      target.healthy = false;
      await current.balancer.becomes('unhealthy', target.address, ['group'], AbortSignal.timeout(5000));
      assert.equal(open.destroyed, false);
      await hangUp(await dial());
      assert.equal(current.balancer.flows.at(-1)!.target, target.address);
      await hangUp(open);
    });

    it('The test load balancer resets a client when there is no target', async () => {
      for (const { address } of current.targets) await current.balancer.deregister('group', address);
      assert.equal(
        await ending(connect({ host: node.publicAddress, port: listenerPort, localAddress: client })),
        'ECONNRESET',
      );
    });
  });

  it('The test load balancer resets a flow that is idle for the timeout of the listener', async () => {
    current = await scene({}, 10);
    const socket = await dial();
    assert.equal(await ending(socket), 'ECONNRESET');
    current.close();
  });

  it('The test load balancer resets the flows of an unhealthy target where the group is configured to, as is the AWS default', async () => {
    current = await scene({ terminatesOnUnhealthy: true });
    const socket = await dial();
    const served = current.balancer.flows.at(-1)!.target;
    current.targets.find(({ address }) => address === served)!.healthy = false;
    assert.equal(await ending(socket), 'ECONNRESET');
    current.close();
  });
});
