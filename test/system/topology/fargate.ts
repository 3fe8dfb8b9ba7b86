/**
 * A stand-in for ECS on Fargate: one process of the gateway for each service of the template, on a loopback address of its
 * own, started, registered and stopped in the order in which ECS and CloudFormation do it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { NetworkLoadBalancer } from './network-load-balancer.ts';
import type { Service, Topology } from './topology.ts';

export type LogLine = Readonly<Record<string, unknown>>;

export type Task = {
  readonly service: Service;
  readonly address: string;
  readonly process: ChildProcess;
  /** What it has logged, line by line. */
  readonly log: LogLine[];
  readonly exit: Promise<{ readonly code: number | null; readonly signal: string | null }>;
};

export type FargateOptions = {
  readonly loadBalancer: NetworkLoadBalancer;
  readonly secondMs: number;
  /** The address of a task; a service keeps its own. */
  addressOf(service: Service): string;
  /** What stands in for AWS: endpoints of S3 and Secrets Manager, credentials. The template's variables stay as they are. */
  readonly environment: Readonly<Record<string, string>>;
};

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));

export class Fargate {
  readonly tasks = new Map<string, Task>();
  /** Those that have ended. */
  readonly stopped: Task[] = [];
  readonly #options: FargateOptions;

  constructor(options: FargateOptions) {
    this.#options = options;
  }

  /** Creates, updates and removes services as a deployment of the topology does; those with desired count 0 have no task. */
  async deploy({ services }: Topology): Promise<void> {
    for (const service of services) {
      const running = this.tasks.get(service.id);
      if (running !== undefined && same(running.service, service)) continue;
      if (running !== undefined) await this.stop(service.id);
      if (service.desiredCount > 0) await this.start(service);
    }
    const wanted = new Set(services.map(({ id }) => id));
    for (const id of [...this.tasks.keys()]) if (!wanted.has(id)) await this.stop(id);
  }

  /** Starts a service's task and waits until the load balancer finds it healthy in every group. */
  async start(service: Service): Promise<Task> {
    const address = this.#options.addressOf(service);
    const child = spawn(process.execPath, [main], {
      env: {
        PATH: process.env['PATH'],
        ...service.environment,
        ...this.#options.environment,
        // A task has a network interface of its own; here it has an address of its own.
        LISTEN_ADDRESS: address,
        OPERATIONS_ADDRESS: address,
        // Scaled like everything else, but long enough for the transfers of the tests.
        DRAIN_SECONDS: '4',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const log: LogLine[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => log.push(parseLine(line)));
    createInterface({ input: child.stderr }).on('line', (line) => log.push({ stderr: line }));
    const exit = once(child, 'exit').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as string | null,
    }));
    const task: Task = { service, address, process: child, log, exit };
    this.tasks.set(service.id, task);
    for (const { targetGroup } of service.registrations)
      this.#options.loadBalancer.register(targetGroup, address);

    const failed = new AbortController();
    void exit.then(({ code }) =>
      failed.abort(
        new Error(`${service.id} ended with ${code}:\n${log.map((line) => JSON.stringify(line)).join('\n')}`),
      ),
    );
    const groups = service.registrations.map(({ targetGroup }) => targetGroup);
    await this.#options.loadBalancer.becomes(
      'healthy',
      address,
      groups,
      AbortSignal.any([failed.signal, AbortSignal.timeout(30_000)]),
    );
    return task;
  }

  /** Deregisters, waits for the delay, sends SIGTERM, and SIGKILL after the stop timeout: the order of ECS. */
  async stop(id: string): Promise<Task> {
    const task = this.#running(id);
    this.tasks.delete(id);
    await Promise.all(
      task.service.registrations.map(({ targetGroup }) =>
        this.#options.loadBalancer.deregister(targetGroup, task.address),
      ),
    );
    task.process.kill('SIGTERM');
    const killer = setTimeout(
      () => task.process.kill('SIGKILL'),
      Math.max(5000, task.service.stopTimeoutSeconds * this.#options.secondMs),
    );
    await task.exit;
    clearTimeout(killer);
    this.stopped.push(task);
    return task;
  }

  /** The task dies at once and stays registered, as after a crash until ECS and the health checks notice. */
  async crash(id: string): Promise<void> {
    const task = this.#running(id);
    task.process.kill('SIGKILL');
    await task.exit;
  }

  /** What ECS does for a task that died: deregisters it and starts another. */
  async replace(id: string): Promise<void> {
    const { service } = await this.stop(id);
    await this.start(service);
  }

  async close(): Promise<void> {
    for (const { process, exit } of this.tasks.values()) {
      process.kill('SIGKILL');
      await exit;
    }
  }

  #running(id: string): Task {
    const task = this.tasks.get(id);
    if (task === undefined) throw new Error(`The service ${id} has no task.`);
    return task;
  }
}

// Another environment is another revision of the task definition, which tasks take when they start.
function same(one: Service, other: Service): boolean {
  return (
    JSON.stringify([one.desiredCount, one.registrations]) ===
    JSON.stringify([other.desiredCount, other.registrations])
  );
}

function parseLine(line: string): LogLine {
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return { text: line };
  }
}
