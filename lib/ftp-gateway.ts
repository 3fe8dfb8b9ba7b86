/**
 * The construct: an FTP and FTPS gateway in front of S3, on ECS Fargate behind a Network Load Balancer. This file only
 * composes; each part is in the file named after it.
 */
import { fileURLToPath } from 'node:url';
import { Annotations, Duration, IgnoreMode, Names, RemovalPolicy, Validations } from 'aws-cdk-lib';
import { Peer } from 'aws-cdk-lib/aws-ec2';
import {
  Cluster,
  ContainerImage,
  ContainerInsights,
  CpuArchitecture,
  type ICluster,
} from 'aws-cdk-lib/aws-ecs';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Platform } from 'aws-cdk-lib/aws-ecr-assets';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { ARecord, RecordTarget } from 'aws-cdk-lib/aws-route53';
import { LoadBalancerTarget } from 'aws-cdk-lib/aws-route53-targets';
import type { IBucket } from 'aws-cdk-lib/aws-s3';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { type ITopic, Topic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import type { FtpGatewayProps } from './ftp-gateway-props.ts';
import { GatewayOutputs } from './gateway-outputs.ts';
import { type ControlPort, LoadBalancer } from './load-balancer.ts';
import { Monitoring } from './monitoring.ts';
import { Network } from './network.ts';
import { changeProblems } from './passive-port-change.ts';
import { type PassivePortPlan, planPassivePorts } from './passive-port-plan.ts';
import { PassivePortRange } from './passive-port-range.ts';
import { checkedResumeWindow } from './resume-window.ts';
import { Slot } from './slot.ts';
import { grantHome, Storage } from './bucket.ts';
import { taskEnvironment } from './task-environment.ts';
import { Users } from './users-secret.ts';

/** Where the container answers /healthz, /readyz and /metrics. */
const operationsPort = 8080;

const control: ControlPort = { name: 'Control', listenerPort: 21, containerPort: 2121 };
const implicitTls: ControlPort = { name: 'ImplicitTls', listenerPort: 990, containerPort: 2990 };

/** What a task has to do after its transfers are over: close sessions, flush the log. */
const exitSeconds = 10;

export class FtpGateway extends Construct {
  readonly plan: PassivePortPlan;
  readonly bucket: IBucket;
  readonly users: ISecret;
  readonly loadBalancer: LoadBalancer;
  readonly slots: readonly Slot[];
  readonly taskRole: Role;
  readonly alarmTopic: ITopic;
  readonly outputs: GatewayOutputs;

  /** @throws with a sentence for each thing that AWS would refuse, or that would break sessions. */
  constructor(scope: Construct, id: string, props: FtpGatewayProps = {}) {
    super(scope, id);
    const internetFacing = props.internetFacing ?? true;
    const controlPorts = props.tls?.implicit === true ? [control, implicitTls] : [control];
    const stopTimeout = checkedStopTimeout(props.stopTimeout ?? Duration.seconds(120));
    this.plan = checkedPlan(props, controlPorts);

    const network = new Network(this, 'Network', {
      existing: props.network,
      internetFacing,
      elasticIps: props.elasticIps,
      zoneCount: props.zoneCount ?? 2,
      taskEgress: props.taskEgress ?? 'endpoints',
    });
    // The casts: CDK's classes and interfaces disagree on optional properties under exactOptionalPropertyTypes.
    this.bucket = props.bucket ?? (new Storage(this, 'Storage').bucket as IBucket);
    this.users = props.users ?? (new Users(this, 'Users').secret as ISecret);
    this.loadBalancer = new LoadBalancer(this, 'LoadBalancer', {
      network,
      internetFacing,
      clients: props.clients ?? [Peer.anyIpv4()],
      controlPorts,
      passivePorts: this.plan.passivePorts,
      operationsPort,
    });

    const logGroup = new LogGroup(this, 'Log', {
      retention: props.logRetention ?? RetentionDays.THREE_MONTHS,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    this.taskRole = this.makeTaskRole(props);
    const metricsNamespace = `FtpGateway/${Names.uniqueResourceName(this, { maxLength: 80, separator: '-' })}`;
    const memoryMiB = props.memoryMiB ?? 1024;
    this.slots = this.makeSlots({
      cluster: this.makeCluster(network),
      loadBalancer: this.loadBalancer,
      network,
      image: props.image ?? ownImage(props.cpuArchitecture ?? CpuArchitecture.X86_64),
      cpu: props.cpu ?? 512,
      memoryMiB,
      cpuArchitecture: props.cpuArchitecture ?? CpuArchitecture.X86_64,
      taskRole: this.taskRole,
      executionRole: this.makeExecutionRole(),
      logGroup,
      stopTimeout,
      operationsPort,
      environment: taskEnvironment({
        controlPorts,
        operationsPort,
        zones: network.loadBalancerZones,
        bucket: this.bucket,
        prefix: props.prefix,
        users: this.users,
        tls: props.tls,
        filenameEncoding: props.filenameEncoding,
        pathnameBackslash: props.pathnameBackslash,
        memoryMiB,
        resumeWindowMinutes: checkedResumeWindow(props),
        fileTimes: props.fileTimes,
        drainSeconds: stopTimeout.toSeconds() - exitSeconds,
        metricsNamespace,
      }),
    });

    this.alarmTopic = props.alarmTopic ?? new Topic(this, 'AlarmTopic', { enforceSSL: true });
    new Monitoring(this, 'Monitoring', {
      loadBalancer: this.loadBalancer,
      slots: this.slots,
      logGroup,
      metricsNamespace,
      topic: this.alarmTopic,
    });
    const host = this.addDomain(props) ?? this.loadBalancer.nlb.loadBalancerDnsName;
    this.outputs = new GatewayOutputs(this, 'Outputs', {
      host,
      plan: this.plan,
      zones: network.loadBalancerZones,
      controlPorts,
      tls: props.tls !== undefined,
      bucket: this.bucket,
      users: this.users,
      alarmTopic: this.alarmTopic,
    });
    if (props.tls === undefined) {
      Annotations.of(this).addWarningV2(
        'ftp-gateway:clear-text',
        'Passwords and files cross the network in clear text: no certificate is given. Set tls, ' +
          'unless every client is inside a network that you trust.',
      );
    }
  }

  private makeCluster({ vpc }: Network): ICluster {
    const cluster = new Cluster(this, 'Cluster', { vpc, containerInsightsV2: ContainerInsights.DISABLED });
    Validations.of(cluster).acknowledge({
      id: 'AwsSolutions-ECS4',
      reason:
        'The alarms use what ECS and the load balancer publish for nothing; Container Insights costs by the metric.',
    });
    return cluster as ICluster;
  }

  private makeTaskRole({ prefix, otherHomes, tls }: FtpGatewayProps): Role {
    const role = new Role(this, 'TaskRole', {
      assumedBy: new ServicePrincipal('ecs-tasks.amazonaws.com'),
      description: 'FTP gateway: the homes in S3, the users, the certificate',
    });
    for (const home of [{ bucket: this.bucket, prefix }, ...(otherHomes ?? [])]) grantHome(role, home);
    this.users.grantRead(role);
    tls?.certificate.grantRead(role);
    return role;
  }

  private makeExecutionRole(): Role {
    const role = new Role(this, 'ExecutionRole', {
      assumedBy: new ServicePrincipal('ecs-tasks.amazonaws.com'),
      description: 'FTP gateway: pulls the image and writes the log',
    });
    Validations.of(role).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'ecr:GetAuthorizationToken, to pull the image, has no resource to be narrowed to.',
    });
    return role;
  }

  private makeSlots({
    network,
    ...common
  }: Omit<ConstructorParameters<typeof Slot>[2], 'plan' | 'subnet' | 'assignPublicIp' | 'securityGroup'> & {
    readonly network: Network;
  }): readonly Slot[] {
    const slots: Slot[] = [];
    for (const plan of this.plan.slots) {
      const subnet = network.taskSubnets[(plan.number - 1) % network.taskSubnets.length];
      if (subnet === undefined) throw new Error(`Slot ${plan.number} has no subnet.`);
      const slot = new Slot(this, `Slot${plan.number}`, {
        ...common,
        plan,
        subnet,
        assignPublicIp: network.assignPublicIp,
        securityGroup: network.taskSecurityGroup,
      });
      // One after another, so that a deployment, or a bad image, never takes two slots at once.
      const previous = slots.at(-1);
      if (previous !== undefined) slot.service.node.addDependency(previous.service);
      slots.push(slot);
    }
    return slots;
  }

  private addDomain({ domain }: FtpGatewayProps): string | undefined {
    if (domain === undefined) return undefined;
    new ARecord(this, 'Alias', {
      zone: domain.zone,
      ...(domain.recordName !== undefined && { recordName: domain.recordName }),
      target: RecordTarget.fromAlias(new LoadBalancerTarget(this.loadBalancer.nlb)),
    });
    const { zoneName } = domain.zone;
    if (domain.recordName === undefined || domain.recordName === zoneName) return zoneName;
    return domain.recordName.endsWith(`.${zoneName}`)
      ? domain.recordName
      : `${domain.recordName}.${zoneName}`;
  }
}

function checkedPlan(props: FtpGatewayProps, controlPorts: readonly ControlPort[]): PassivePortPlan {
  const plan = planPassivePorts({
    passivePorts: props.passivePorts ?? PassivePortRange.of(50_000, 50_007),
    slots: props.slots,
    controlListenerPorts: controlPorts.map(({ listenerPort }) => listenerPort),
    containerPorts: {
      'operations port': operationsPort,
      ...Object.fromEntries(controlPorts.map(({ name, containerPort }) => [`${name} port`, containerPort])),
    },
  });
  if (props.deployedPlan !== undefined) {
    const problems = changeProblems(props.deployedPlan, plan, controlPorts.length);
    if (problems.length > 0) throw new Error(problems.join('\n'));
  }
  return plan;
}

// Fargate takes 2 to 120 seconds (ECS API, ContainerDefinition.stopTimeout), and CDK lets anything through.
function checkedStopTimeout(stopTimeout: Duration): Duration {
  const seconds = stopTimeout.toSeconds();
  if (seconds < 2 * exitSeconds || seconds > 120) {
    throw new Error(
      `The stop timeout is ${seconds} seconds, but Fargate ends a task at most 120 seconds after SIGTERM, and the gateway ` +
        `needs ${2 * exitSeconds}. Use a duration from ${2 * exitSeconds} to 120 seconds.`,
    );
  }
  return stopTimeout;
}

function ownImage(cpuArchitecture: CpuArchitecture): ContainerImage {
  return ContainerImage.fromAsset(fileURLToPath(new URL('..', import.meta.url)), {
    platform: cpuArchitecture === CpuArchitecture.ARM64 ? Platform.LINUX_ARM64 : Platform.LINUX_AMD64,
    ignoreMode: IgnoreMode.DOCKER,
  });
}
