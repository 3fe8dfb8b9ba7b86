/** A deployed stack as its APIs describe it: outputs, services of the slots, and the operations ports of their tasks. */
import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { DescribeServicesCommand, ECSClient, type Service, UpdateServiceCommand } from '@aws-sdk/client-ecs';
import {
  DescribeTargetHealthCommand,
  ElasticLoadBalancingV2Client,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { type DeployedPlan, type DeployedSlot, parseDeployedPlan } from '../lib/deployed-plan.ts';
import { stackNameOf } from '../lib/plan-file.ts';
import type { GatewayStatus } from '../src/observability/gateway-status.ts';

/** What a task reports about itself on its operations port (`GET /status`). */
export type TaskStatus = Pick<
  GatewayStatus,
  'version' | 'stage' | 'ready' | 'reversible' | 'sessions' | 'transfers' | 'oldestTransferSeconds'
>;

export type DeployedSlotState = {
  readonly slot: DeployedSlot;
  readonly service: Service;
  /** The revision of the task definition that the service starts tasks of. */
  readonly revision: string;
  /** Undefined where there is no task, or it does not respond. */
  readonly status: TaskStatus | undefined;
};

export class DeployedStack {
  readonly outputs: Readonly<Record<string, string>>;
  readonly plan: DeployedPlan;
  readonly #ecs = new ECSClient();
  readonly #balancing = new ElasticLoadBalancingV2Client();
  readonly #lambda = new LambdaClient();

  private constructor(outputs: Readonly<Record<string, string>>) {
    this.outputs = outputs;
    this.plan = parseDeployedPlan(outputs['PassivePortPlan'] ?? '');
  }

  /** Undefined where the environment has no stack. */
  static async find(environment: string): Promise<DeployedStack | undefined> {
    const stackName = stackNameOf(environment);
    try {
      const { Stacks } = await new CloudFormationClient().send(
        new DescribeStacksCommand({ StackName: stackName }),
      );
      const outputs = (Stacks?.[0]?.Outputs ?? []).map(
        ({ OutputKey, OutputValue }) => [OutputKey ?? '', OutputValue ?? ''] as const,
      );
      // A stack whose creation has failed, or is not over, has none.
      return outputs.length === 0 ? undefined : new DeployedStack(Object.fromEntries(outputs));
    } catch (error) {
      if (error instanceof Error && /does not exist/.test(error.message)) return undefined;
      throw error;
    }
  }

  /** Every slot of the plan, with its service and what its task reports. */
  async slots(): Promise<readonly DeployedSlotState[]> {
    const services: Service[] = [];
    const names = this.plan.map(({ firstPort }) => `slot-${firstPort}`);
    // DescribeServices takes ten at a time (Amazon ECS API reference).
    for (let index = 0; index < names.length; index += 10) {
      const { services: found } = await this.#ecs.send(
        new DescribeServicesCommand({ cluster: this.#cluster, services: names.slice(index, index + 10) }),
      );
      services.push(...(found ?? []));
    }
    return await Promise.all(
      this.plan.map(async (slot) => {
        const service = services.find(({ serviceName }) => serviceName === `slot-${slot.firstPort}`);
        if (service === undefined) throw new Error(`There is no service slot-${slot.firstPort}.`);
        return {
          slot,
          service,
          revision: service.taskDefinition?.split(':').at(-1) ?? '',
          status: service.desiredCount === 0 ? undefined : await this.#statusOf(slot, service),
        };
      }),
    );
  }

  /** The addresses of the slot's task, one at most unless ECS is replacing it. */
  async addresses({ firstPort }: DeployedSlot, service: Service): Promise<readonly string[]> {
    const targetGroupArn = service.loadBalancers?.find(
      ({ containerPort }) => containerPort === firstPort,
    )?.targetGroupArn;
    const { TargetHealthDescriptions } = await this.#balancing.send(
      new DescribeTargetHealthCommand({ TargetGroupArn: targetGroupArn }),
    );
    return (TargetHealthDescriptions ?? [])
      .filter(({ TargetHealth }) => TargetHealth?.State !== 'draining')
      .flatMap(({ Target }) => Target?.Id ?? []);
  }

  /** Starts or stops the slot's task; a task that starts is of the family's newest revision unless another is given. */
  async setDesiredCount(service: Service, desiredCount: 0 | 1, revision?: string): Promise<void> {
    const family = service.taskDefinition?.split('/').at(-1)?.split(':')[0] ?? '';
    await this.#ecs.send(
      new UpdateServiceCommand({
        cluster: this.#cluster,
        service: service.serviceName,
        desiredCount,
        ...(desiredCount === 1 && {
          taskDefinition: revision === undefined ? family : `${family}:${revision}`,
          forceNewDeployment: true,
        }),
      }),
    );
  }

  /**
   * Asks the operations port of a task through the relay function.
   * @throws where the task does not answer.
   */
  async ask(address: string, request: string): Promise<{ readonly status: number; readonly body: string }> {
    const { Payload, FunctionError } = await this.#lambda.send(
      new InvokeCommand({
        FunctionName: this.outputs['OperationsRelay'],
        Payload: JSON.stringify({ address, request }),
      }),
    );
    const text = Buffer.from(Payload ?? []).toString();
    if (FunctionError !== undefined) throw new Error(`The task ${address} does not answer: ${text}`);
    return JSON.parse(text) as { status: number; body: string };
  }

  get #cluster(): string {
    return this.outputs['Cluster'] ?? '';
  }

  async #statusOf(slot: DeployedSlot, service: Service): Promise<TaskStatus | undefined> {
    const [address] = await this.addresses(slot, service);
    if (address === undefined) return undefined;
    try {
      const { body } = await this.ask(address, 'GET /status');
      return JSON.parse(body) as TaskStatus;
    } catch {
      return undefined;
    }
  }
}
