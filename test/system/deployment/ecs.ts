/**
 * A stand-in for ECS on Fargate with its habits: it keeps one process of the gateway for each service with a desired count,
 * deregisters before SIGTERM, kills after the stop timeout, starts again what has ended, registers again what something else has
 * deregistered, and stops a task whose target is unhealthy after the grace period.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import {
  DeregisterTargetsCommand,
  DescribeTargetHealthCommand,
  RegisterTargetsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import type { NetworkLoadBalancer } from '../topology/network-load-balancer.ts';
import { type Apis, type DeployedService, readService } from './api-topology.ts';

export type RunningTask = {
  readonly service: DeployedService;
  readonly address: string;
  readonly process: ChildProcess;
  readonly startedAtMs: number;
  readonly log: string[];
  readonly exit: Promise<unknown>;
};

export type EcsOptions = {
  readonly apis: Apis;
  readonly balancer: NetworkLoadBalancer;
  readonly secondMs: number;
  /** The first two numbers of the loopback addresses of tasks. */
  readonly network: string;
  /** Endpoints and scaled times, over what the task definition says. */
  readonly environment: Readonly<Record<string, string>>;
};

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));

/** A second of the template is short here, but a process takes its time to start and to stop. */
const shortestStopMs = 5_000;
const stableTimeoutMs = 60_000;

export class Ecs {
  /** By the ARN of the service. */
  readonly tasks = new Map<string, RunningTask>();
  /** Why tasks were stopped without a request to stop them. */
  readonly unhealthyStops: string[] = [];
  readonly logs: string[][] = [];
  /** Instead of what the services say, for the control that must fail. */
  gracePeriodSeconds: number | undefined;
  readonly #options: EcsOptions;
  readonly #services = new Set<string>();
  readonly #busy = new Map<string, Promise<void>>();
  readonly #loop: NodeJS.Timeout;
  #tasksStarted = 0;
  #isClosed = false;

  constructor(options: EcsOptions) {
    this.#options = options;
    // ECS notices changes of its services and targets within seconds.
    this.#loop = setInterval(() => this.#notice(), 25 * options.secondMs);
  }

  /** The service was created, changed or deleted; resolves when it is stable, as CloudFormation waits for it. */
  async sync(arn: string): Promise<void> {
    this.#services.add(arn);
    const before = this.#busy.get(arn) ?? Promise.resolve();
    const turn = before.catch(() => undefined).then(() => this.#reconcile(arn));
    this.#busy.set(arn, turn);
    await turn;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#loop);
    await Promise.allSettled(this.#busy.values());
    for (const { process, exit } of this.tasks.values()) {
      process.kill('SIGKILL');
      await exit;
    }
  }

  #notice(): void {
    for (const arn of this.#services) {
      void this.sync(arn).catch(() => undefined);
    }
  }

  async #reconcile(arn: string): Promise<void> {
    if (this.#isClosed) return;
    const service = await readService(this.#options.apis, arn);
    const task = this.tasks.get(arn);
    if (service === undefined || service.desiredCount === 0) {
      if (task !== undefined) await this.#stop(arn, task);
      if (service === undefined) this.#services.delete(arn);
      return;
    }
    if (task === undefined) {
      await this.#start(arn, service);
    } else if (task.process.exitCode !== null || task.process.signalCode !== null) {
      await this.#stop(arn, task);
      await this.#start(arn, service);
    } else if (task.service.deploymentId !== service.deploymentId) {
      await this.#stop(arn, task);
      await this.#start(arn, service);
    } else if (this.#isUnhealthy(task)) {
      this.unhealthyStops.push(service.id);
      await this.#stop(arn, task);
      await this.#start(arn, service);
    } else {
      await this.#registerMissing(task);
    }
  }

  async #start(arn: string, service: DeployedService): Promise<void> {
    this.#tasksStarted += 1;
    const address = `${this.#options.network}.2.${this.#tasksStarted}`;
    const child = spawn(process.execPath, [main], {
      env: {
        PATH: process.env['PATH'],
        ...service.environment,
        ...this.#options.environment,
        // A task has a network interface of its own; here it has an address of its own.
        LISTEN_ADDRESS: address,
        OPERATIONS_ADDRESS: address,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const log: string[] = [];
    this.logs.push(log);
    createInterface({ input: child.stdout }).on('line', (line) => log.push(line));
    createInterface({ input: child.stderr }).on('line', (line) => log.push(line));
    const task: RunningTask = {
      service,
      address,
      process: child,
      startedAtMs: performance.now(),
      log,
      exit: once(child, 'exit'),
    };
    this.tasks.set(arn, task);
    for (const { targetGroup } of service.registrations) await this.#register(targetGroup, task);
    const ended = new AbortController();
    void task.exit.then(() => ended.abort(new Error(`${service.id} ended:\n${log.slice(-20).join('\n')}`)));
    await this.#options.balancer.becomes(
      'healthy',
      address,
      service.registrations.map(({ targetGroup }) => targetGroup),
      AbortSignal.any([ended.signal, AbortSignal.timeout(stableTimeoutMs)]),
    );
  }

  async #stop(arn: string, task: RunningTask): Promise<void> {
    this.tasks.delete(arn);
    for (const { targetGroup } of task.service.registrations) {
      await this.#options.apis.balancing
        .send(new DeregisterTargetsCommand({ TargetGroupArn: targetGroup, Targets: [{ Id: task.address }] }))
        // The group goes with its listener when the slot is removed.
        .catch(() => undefined);
    }
    await Promise.all(
      task.service.registrations.map(({ targetGroup }) =>
        this.#options.balancer.deregister(targetGroup, task.address),
      ),
    );
    task.process.kill('SIGTERM');
    const stopMs = Math.max(shortestStopMs, task.service.stopTimeoutSeconds * this.#options.secondMs);
    const killer = setTimeout(() => task.process.kill('SIGKILL'), stopMs);
    await task.exit;
    clearTimeout(killer);
  }

  async #register(targetGroup: string, { address }: RunningTask): Promise<void> {
    await this.#options.apis.balancing.send(
      new RegisterTargetsCommand({ TargetGroupArn: targetGroup, Targets: [{ Id: address }] }),
    );
    this.#options.balancer.register(targetGroup, address);
  }

  async #registerMissing(task: RunningTask): Promise<void> {
    for (const { targetGroup } of task.service.registrations) {
      const { TargetHealthDescriptions } = await this.#options.apis.balancing.send(
        new DescribeTargetHealthCommand({ TargetGroupArn: targetGroup }),
      );
      const isRegistered = TargetHealthDescriptions?.some(({ Target }) => Target?.Id === task.address);
      if (isRegistered === true) continue;
      void this.#options.balancer.deregister(targetGroup, task.address);
      await this.#register(targetGroup, task);
    }
  }

  #isUnhealthy(task: RunningTask): boolean {
    const { secondMs, balancer } = this.#options;
    const graceMs = (this.gracePeriodSeconds ?? task.service.gracePeriodSeconds) * secondMs;
    if (performance.now() - task.startedAtMs < graceMs) return false;
    return task.service.registrations.some(
      ({ targetGroup }) => balancer.health(targetGroup, task.address) === 'unhealthy',
    );
  }
}
