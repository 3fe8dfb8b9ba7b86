/** One slot: an ECS service with at most one task, which owns its share of the passive ports. */
import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import type { ISecurityGroup, ISubnet } from 'aws-cdk-lib/aws-ec2';
import {
  AvailabilityZoneRebalancing,
  Capability,
  type ContainerImage,
  type CpuArchitecture,
  FargatePlatformVersion,
  FargateService,
  FargateTaskDefinition,
  type ICluster,
  LinuxParameters,
  LogDrivers,
  AwsLogDriverMode,
  OperatingSystemFamily,
  PropagatedTagSource,
  TaskDefinitionRevision,
  UlimitName,
} from 'aws-cdk-lib/aws-ecs';
import type { IRole } from 'aws-cdk-lib/aws-iam';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { acknowledge } from './acknowledge.ts';
import type { LoadBalancer } from './load-balancer.ts';
import { slotName, type SlotPlan } from './slot-plan.ts';
import { slotWorkers } from './slot-workers.ts';
import { transferMemoryBytes } from './task-environment.ts';

export const containerName = 'gateway';

/**
 * The maximum. Health checks control routing; they never end a task: ECS would stop one that drains, with its transfers. The
 * process ends itself when it hangs or never gets ready (src/watchdog.ts).
 */
const ignoreHealth = Duration.seconds(2_147_483_647);

/** The user of the image (Dockerfile): any UID other than root's that no other user has. */
const containerUser = '10001:10001';

export type SlotProps = {
  readonly plan: SlotPlan;
  readonly cluster: ICluster;
  readonly loadBalancer: LoadBalancer;
  readonly subnet: ISubnet;
  readonly assignPublicIp: boolean;
  readonly securityGroup: ISecurityGroup;
  readonly image: ContainerImage;
  readonly cpu: number;
  readonly memoryMiB: number;
  readonly cpuArchitecture: CpuArchitecture;
  readonly taskRole: IRole;
  readonly executionRole: IRole;
  readonly logGroup: ILogGroup;
  readonly stopTimeout: Duration;
  /** What all slots have in common; the slot adds its own `PASSIVE_PORTS` and `WORKERS`. */
  readonly environment: Readonly<Record<string, string>>;
  readonly operationsPort: number;
};

export class Slot extends Construct {
  readonly plan: SlotPlan;
  readonly service: FargateService;
  /** Worker processes of its task; with 1 there is a single process. */
  readonly workers: number;

  constructor(scope: Construct, id: string, props: SlotProps) {
    super(scope, id);
    this.plan = props.plan;
    this.workers = slotWorkers(this.plan.passivePorts.ports, {
      cpu: props.cpu,
      transferMemoryBytes: transferMemoryBytes(props.memoryMiB),
    });
    this.service = new FargateService(this, 'Service', {
      cluster: props.cluster,
      serviceName: `slot-${slotName(this.plan)}`,
      taskDefinition: this.#makeTaskDefinition(props),
      // The newest revision, whichever it is when a task starts. A new version, size or setting therefore does not change the
      // service, and CloudFormation replaces no task: it could not wait for transfers that take hours.
      taskDefinitionRevision: TaskDefinitionRevision.LATEST,
      desiredCount: this.plan.running ? 1 : 0,
      // Two tasks would share the slot's target groups, and a data connection would find the wrong one half the time. So the
      // old task goes first; the other slots serve meanwhile.
      minHealthyPercent: 0,
      maxHealthyPercent: 100,
      // On unless switched off; it stops a healthy task, and its sessions, to move it to another zone.
      availabilityZoneRebalancing: AvailabilityZoneRebalancing.DISABLED,
      circuitBreaker: { enable: true, rollback: true },
      healthCheckGracePeriod: ignoreHealth,
      platformVersion: FargatePlatformVersion.VERSION1_4,
      // One zone a slot: left to itself ECS may put every slot's only task into the same one.
      vpcSubnets: { subnets: [props.subnet] },
      assignPublicIp: props.assignPublicIp,
      securityGroups: [props.securityGroup],
      propagateTags: PropagatedTagSource.SERVICE,
      enableECSManagedTags: true,
    });
    this.#register(props);
  }

  #makeTaskDefinition(props: SlotProps): FargateTaskDefinition {
    const { plan, loadBalancer, operationsPort } = props;
    const taskDefinition = new FargateTaskDefinition(this, 'TaskDefinition', {
      cpu: props.cpu,
      memoryLimitMiB: props.memoryMiB,
      taskRole: props.taskRole,
      executionRole: props.executionRole,
      runtimePlatform: {
        cpuArchitecture: props.cpuArchitecture,
        operatingSystemFamily: OperatingSystemFamily.LINUX,
      },
    });
    // Slots that run on an earlier revision restart on it, and can be taken back to it.
    taskDefinition.applyRemovalPolicy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE);
    acknowledge(taskDefinition, {
      id: 'AwsSolutions-ECS2',
      reason: 'The environment names ports, a bucket and the ARNs of secrets; it holds no secret.',
    });
    const linuxParameters = new LinuxParameters(this, 'LinuxParameters');
    // Every port is above 1024 and every file read-only: the process needs no capability.
    linuxParameters.dropCapabilities(Capability.ALL);
    taskDefinition.addContainer('Container', {
      containerName,
      image: props.image,
      environment: {
        ...props.environment,
        PASSIVE_PORTS: plan.passivePorts.toString(),
        // Not `auto`: the template says what a slot runs, and a task asks nothing about itself at its start.
        WORKERS: String(this.workers),
      },
      // Each port singly: a service cannot register a port that is only inside a containerPortRange.
      portMappings: [
        ...loadBalancer.controlTargetGroups.keys(),
        ...plan.passivePorts.ports,
        operationsPort,
      ].map((containerPort) => ({ containerPort })),
      user: containerUser,
      readonlyRootFilesystem: true,
      linuxParameters,
      // SIGTERM begins the drain; SIGKILL comes after this.
      stopTimeout: props.stopTimeout,
      ulimits: [{ name: UlimitName.NOFILE, softLimit: 65_535, hardLimit: 65_535 }],
      logging: LogDrivers.awsLogs({
        logGroup: props.logGroup,
        streamPrefix: `slot-${slotName(plan)}`,
        // In blocking mode the log driver stalls the process while CloudWatch Logs cannot be reached; transfers matter more.
        mode: AwsLogDriverMode.NON_BLOCKING,
      }),
    });
    return taskDefinition;
  }

  #register({ plan, loadBalancer }: SlotProps): void {
    for (const [containerPort, targetGroup] of loadBalancer.controlTargetGroups) {
      targetGroup.addTarget(this.service.loadBalancerTarget({ containerName, containerPort }));
    }
    for (const containerPort of plan.passivePorts.ports) {
      const targetGroup = loadBalancer.passiveTargetGroups.get(containerPort);
      if (targetGroup === undefined)
        throw new Error(`Port ${containerPort} of slot ${slotName(plan)} has no listener.`);
      targetGroup.addTarget(this.service.loadBalancerTarget({ containerName, containerPort }));
    }
  }
}
