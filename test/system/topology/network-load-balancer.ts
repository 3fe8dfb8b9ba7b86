/**
 * A stand-in for an AWS Network Load Balancer on loopback addresses, which knows only what the template says. What AWS
 * documents is done as documented: the PROXY header in front of the client's first payload and never without one, source
 * addresses kept where the group says so, flows spread by hash and never moved, resets where there is no target.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { HealthCheck } from './health-check.ts';
import { proxyHeader } from './proxy-header.ts';
import type { Listener, Node, TargetGroup, Topology } from './topology.ts';

/** One TCP connection through the balancer, for tests to count. */
export type Flow = {
  readonly listenerPort: number;
  readonly node: Node;
  readonly clientAddress: string;
  readonly target: string;
  readonly sockets: readonly [client: Socket, target: Socket];
};

/**
 * What is known of the load balancer's habits beyond its documentation, in seconds. How long it takes until a target that was
 * registered is used, until one that failed its checks is no longer, and until one that was deregistered is no longer.
 */
export type Habits = {
  readonly registrationSeconds: number;
  readonly unhealthySeconds: number;
  readonly deregistrationSeconds: number;
  /** Whether the security groups let a client reach a listener at this moment. */
  admits(clientAddress: string, listenerPort: number): boolean;
};

const noHabits: Habits = {
  registrationSeconds: 0,
  unhealthySeconds: 0,
  deregistrationSeconds: 0,
  admits: () => true,
};

type Target = {
  readonly check: HealthCheck;
  readonly registeredAtMs: number;
  /** `performance.now()` when it became unhealthy. */
  unhealthyAtMs: number | undefined;
  deregisteredAtMs: number | undefined;
};

export class NetworkLoadBalancer {
  /** Every flow there ever was, in order. */
  readonly flows: Flow[] = [];
  readonly #secondMs: number;
  readonly #habits: Habits;
  readonly #servers = new Map<string, Server>();
  readonly #open = new Set<Flow>();
  readonly #targets = new Map<string, Map<string, Target>>();
  readonly #waiting = new Set<() => void>();
  #topology: Topology;

  /** `secondMs` is how long a second of the template lasts: health checks and delays need not take their real time. */
  constructor(topology: Topology, secondMs: number, habits = noHabits) {
    this.#topology = topology;
    this.#secondMs = secondMs;
    this.#habits = habits;
  }

  get nodes(): readonly Node[] {
    return this.#topology.nodes;
  }

  /** Opens the listeners a topology adds; those it has no more stay until `removeListeners`, as with CloudFormation. */
  async addListeners(topology: Topology): Promise<void> {
    const { targetGroups } = this.#topology;
    this.#topology = { ...topology, targetGroups: new Map([...targetGroups, ...topology.targetGroups]) };
    for (const node of topology.nodes) {
      for (const listener of topology.listeners) await this.#listen(node, listener);
    }
  }

  /** Closes every listener the current topology does not have. Flows that are open stay. */
  async removeListeners(): Promise<void> {
    const ports = new Set(this.#topology.listeners.map(({ port }) => port));
    for (const [key, server] of this.#servers) {
      if (ports.has(Number(key.split(':')[1]))) continue;
      server.close();
      this.#servers.delete(key);
    }
    await Promise.resolve();
  }

  /** Where clients find a listener: control ports are below 1024 and get any free port here; the others are themselves. */
  portOf(node: Node, listenerPort: number): number {
    const server = this.#servers.get(`${node.publicAddress}:${listenerPort}`);
    if (server === undefined) throw new Error(`There is no listener on ${listenerPort}.`);
    return (server.address() as AddressInfo).port;
  }

  register(groupId: string, address: string): void {
    const group = this.#group(groupId);
    const targets = this.#targets.get(groupId) ?? new Map<string, Target>();
    targets.get(address)?.check.stop();
    const target: Target = {
      check: new HealthCheck(group, address, this.#secondMs, (health) => {
        target.unhealthyAtMs = health === 'unhealthy' ? performance.now() : undefined;
        if (health === 'unhealthy' && group.terminatesOnUnhealthy) this.#reset(group, address);
        this.#wake();
      }),
      registeredAtMs: performance.now(),
      unhealthyAtMs: undefined,
      deregisteredAtMs: undefined,
    };
    this.#targets.set(groupId, targets.set(address, target));
  }

  /** No new flows once the nodes know of it; resolves after the group's delay, when ECS goes on to stop the task. */
  async deregister(groupId: string, address: string): Promise<void> {
    const group = this.#group(groupId);
    const target = this.#targets.get(groupId)?.get(address);
    target?.check.stop();
    if (target !== undefined) target.deregisteredAtMs = performance.now();
    if (this.#habits.deregistrationSeconds === 0) this.#targets.get(groupId)?.delete(address);
    await new Promise((resolve) => setTimeout(resolve, group.deregistrationDelaySeconds * this.#secondMs));
    if (group.terminatesOnDeregistration) this.#reset(group, address);
  }

  /** The health of a target; undefined where it is not registered. */
  health(groupId: string, address: string): Target['check']['health'] | undefined {
    const target = this.#targets.get(groupId)?.get(address);
    return target?.deregisteredAtMs === undefined ? target?.check.health : undefined;
  }

  /** Resolves when the target is healthy (or not) in every group; rejects when the signal aborts. */
  async becomes(
    health: 'healthy' | 'unhealthy',
    address: string,
    groups: readonly string[],
    signal: AbortSignal,
  ) {
    const all = () => groups.every((id) => this.health(id, address) === health);
    while (!all()) {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.add(resolve);
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
    }
  }

  /** The first flow after the first `count` ones that is wanted; waits for it. */
  async nextFlow(count: number, wanted: (flow: Flow) => boolean): Promise<Flow> {
    for (;;) {
      const flow = this.flows.slice(count).find(wanted);
      if (flow !== undefined) return flow;
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  close(): void {
    for (const server of this.#servers.values()) server.close();
    for (const targets of this.#targets.values()) for (const { check } of targets.values()) check.stop();
    for (const { sockets } of this.#open) for (const socket of sockets) socket.destroy();
  }

  async #listen(node: Node, listener: Listener): Promise<void> {
    const key = `${node.publicAddress}:${listener.port}`;
    if (this.#servers.has(key)) return;
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) => {
      this.#accept(node, listener, client);
    });
    this.#servers.set(key, server);
    const port = listener.port < 1024 ? 0 : listener.port;
    server.listen({ host: node.publicAddress, port, backlog: 4096 });
    await once(server, 'listening');
  }

  #accept(node: Node, listener: Listener, client: Socket): void {
    client.on('error', () => undefined);
    const group = this.#group(listener.targetGroup);
    const source = { address: client.remoteAddress ?? '', port: client.remotePort ?? 0 };
    if (!this.#habits.admits(source.address, listener.port)) {
      // A security group drops packets; a client of a test should not wait for a timeout.
      client.resetAndDestroy();
      return;
    }
    const address = this.#choose(
      group,
      `${source.address}:${source.port}>${node.publicAddress}:${listener.port}`,
    );
    if (address === undefined || source.address === '') {
      client.resetAndDestroy();
      return;
    }
    const target = connect({
      host: address,
      port: group.port,
      localAddress: group.preserveClientIp ? source.address : node.publicAddress,
      allowHalfOpen: true,
      noDelay: true,
    });
    const flow: Flow = {
      listenerPort: listener.port,
      node,
      clientAddress: source.address,
      target: address,
      sockets: [client, target],
    };
    this.flows.push(flow);
    this.#open.add(flow);
    this.#wake();
    const header = group.proxyProtocol
      ? proxyHeader(source, { address: node.privateAddress, port: listener.port })
      : undefined;
    this.#join(flow, header, listener.idleTimeoutSeconds * this.#secondMs);
  }

  #join(flow: Flow, header: Buffer | undefined, idleTimeoutMs: number): void {
    const [client, target] = flow.sockets;
    for (const [one, other] of [
      [client, target],
      [target, client],
    ] as const) {
      // A reset on one side is a reset on the other; a FIN has gone through the pipe as a FIN.
      one.on('error', () => other.resetAndDestroy());
      one.once('close', (failed) => {
        this.#open.delete(flow);
        if (!failed && !one.readableEnded) other.resetAndDestroy();
      });
      one.setTimeout(idleTimeoutMs, () => {
        client.resetAndDestroy();
        target.resetAndDestroy();
      });
    }
    target.pipe(client);
    if (header === undefined) {
      client.pipe(target);
      return;
    }
    // In front of the first payload, whenever that comes: a client that sends nothing is never announced.
    client.once('readable', () => {
      if (client.readableLength > 0) target.write(header);
      client.pipe(target);
    });
  }

  #choose(group: TargetGroup, flow: string): string | undefined {
    const targets = [...(this.#targets.get(group.id) ?? [])].filter(([, target]) => this.#isKnown(target));
    const healthy = targets.filter(([, target]) => this.#isUsed(target));
    // Without a healthy target the balancer fails open: it tries all of them, or, where it has no habits here, those that were.
    const usable =
      healthy.length > 0
        ? healthy
        : targets.filter(([, { check }]) => this.#habits !== noHabits || check.health === 'unhealthy');
    return usable.at(hash(flow) % Math.max(usable.length, 1))?.[0];
  }

  #isKnown({ deregisteredAtMs }: Target): boolean {
    return (
      deregisteredAtMs === undefined || this.#elapsed(deregisteredAtMs) < this.#habits.deregistrationSeconds
    );
  }

  #isUsed({ check, registeredAtMs, unhealthyAtMs }: Target): boolean {
    const { registrationSeconds, unhealthySeconds } = this.#habits;
    if (unhealthyAtMs !== undefined) return this.#elapsed(unhealthyAtMs) < unhealthySeconds;
    return check.health === 'healthy' && this.#elapsed(registeredAtMs) >= registrationSeconds;
  }

  /** Seconds of the template since a moment. */
  #elapsed(sinceMs: number): number {
    return (performance.now() - sinceMs) / this.#secondMs;
  }

  #reset(group: TargetGroup, address: string): void {
    for (const { target, listenerPort, sockets } of this.#open) {
      if (target !== address || this.#groupOf(listenerPort) !== group.id) continue;
      for (const socket of sockets) socket.resetAndDestroy();
    }
  }

  #groupOf(listenerPort: number): string | undefined {
    return this.#topology.listeners.find(({ port }) => port === listenerPort)?.targetGroup;
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  #group(id: string): TargetGroup {
    const group = this.#topology.targetGroups.get(id);
    if (group === undefined) throw new Error(`There is no target group ${id}.`);
    return group;
  }
}

/** FNV-1a, in place of the flow hash that AWS does not publish. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193) >>> 0;
  }
  return value >>> 0;
}
