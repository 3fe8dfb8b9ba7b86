/**
 * The construct: an FTP and FTPS gateway in front of S3, on ECS Fargate behind a Network Load Balancer. This file only
 * composes; each part is in the file named after it.
 */
import { fileURLToPath } from 'node:url';
import { Annotations, Aws, Duration, IgnoreMode, Names, RemovalPolicy } from 'aws-cdk-lib';
import type { Metric, MetricOptions } from 'aws-cdk-lib/aws-cloudwatch';
import { type Connections, type IConnectable, type IPeer, Peer } from 'aws-cdk-lib/aws-ec2';
import {
  Cluster,
  ContainerImage,
  ContainerInsights,
  CpuArchitecture,
  type ICluster,
} from 'aws-cdk-lib/aws-ecs';
import {
  type Grant,
  type IGrantable,
  PolicyStatement,
  type Role,
  ServicePrincipal,
} from 'aws-cdk-lib/aws-iam';
import { Platform } from 'aws-cdk-lib/aws-ecr-assets';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { ARecord, RecordTarget } from 'aws-cdk-lib/aws-route53';
import { LoadBalancerTarget } from 'aws-cdk-lib/aws-route53-targets';
import type { IBucket } from 'aws-cdk-lib/aws-s3';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { type ITopic, Topic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { acknowledge } from './acknowledge.ts';
import type { FtpGatewayProps, FtpTls } from './ftp-gateway-props.ts';
import { gatewayMetric, type GatewayMetricName } from './gateway-metrics.ts';
import { GatewayOutputs } from './gateway-outputs.ts';
import { type ControlPort, LoadBalancer } from './load-balancer.ts';
import { Monitoring } from './monitoring.ts';
import { Network } from './network.ts';
import { OperationsRelay } from './operations-relay.ts';
import { changeProblems } from './passive-port-change.ts';
import { maximumPortsPerSlot, planPassivePorts } from './passive-port-plan.ts';
import { idleCoresWarning } from './slot-workers.ts';
import { listenerPorts, type PassivePortPlan, slotName } from './slot-plan.ts';
import { PassivePortRange } from './passive-port-range.ts';
import { checkedResumeWindow } from './resume-window.ts';
import { hostName, servedCertificate, tlsOf } from './served-certificate.ts';
import { Slot, type SlotProps } from './slot.ts';
import { Storage } from './bucket.ts';
import { taskEnvironment } from './task-environment.ts';
import { executionRole, taskRole } from './task-roles.ts';
import { updateGroups } from './update-groups.ts';
import { Users } from './users-secret.ts';

/** The container's port of /healthz, /readyz and /metrics. */
const operationsPort = 8080;

const control: ControlPort = { name: 'Control', listenerPort: 21, containerPort: 2121 };
const implicitTls: ControlPort = { name: 'ImplicitTls', listenerPort: 990, containerPort: 2990 };

/** Time for a task to close sessions and flush the log after its transfers. */
const exitSeconds = 10;

export class FtpGateway extends Construct implements IConnectable {
  readonly plan: PassivePortPlan;
  readonly bucket: IBucket;
  readonly users: ISecret;
  readonly loadBalancer: LoadBalancer;
  readonly slots: readonly Slot[];
  readonly cluster: ICluster;
  readonly taskRole: Role;
  readonly alarmTopic: ITopic;
  readonly outputs: GatewayOutputs;
  /** Of the load balancer: who may connect to it, in addition to the `clients`. */
  readonly connections: Connections;
  /** The CloudWatch namespace of the gateway's own metrics. */
  readonly metricsNamespace: string;

  /** @throws with one message for each setting that AWS would reject or that would interrupt sessions. */
  constructor(scope: Construct, id: string, props: FtpGatewayProps = {}) {
    super(scope, id);
    const internetFacing = props.internetFacing ?? true;
    const tls = tlsOf(props);
    const clients = props.clients ?? [Peer.anyIpv4()];
    const controlPorts = tls?.implicit === true ? [control, implicitTls] : [control];
    const stopTimeout = checkedStopTimeout(props.stopTimeout ?? Duration.seconds(120));
    const logRetention = props.logRetention ?? RetentionDays.THREE_MONTHS;
    const network = new Network(this, 'Network', {
      existing: props.network,
      internetFacing,
      elasticIps: props.elasticIps,
      zoneCount: props.zoneCount,
      availabilityZones: props.availabilityZones,
      vpcCidr: props.vpcCidr ?? '10.21.0.0/22',
      taskEgress: props.taskEgress ?? 'endpoints',
    });
    this.plan = checkedPlan(props, controlPorts, network.taskSubnets.length);

    // The casts: CDK's classes and interfaces disagree on optional properties under exactOptionalPropertyTypes.
    this.bucket = props.bucket ?? (new Storage(this, 'Storage').bucket as IBucket);
    this.users = props.users ?? (new Users(this, 'Users').secret as ISecret);
    network.limitS3To([this.bucket, ...(props.otherHomes ?? []).map(({ bucket }) => bucket)]);
    this.loadBalancer = new LoadBalancer(this, 'LoadBalancer', {
      network,
      internetFacing,
      clients,
      controlPorts,
      passivePorts: listenerPorts(this.plan),
      deletionProtection: props.deletionProtection ?? false,
      operationsPort,
    });
    this.connections = this.loadBalancer.securityGroup.connections;

    const logGroup = new LogGroup(this, 'Log', {
      retention: logRetention,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    const host = this.#addDomain(props) ?? this.loadBalancer.nlb.loadBalancerDnsName;
    const certificate = servedCertificate(this, tls, props, host, network);
    this.taskRole = taskRole(this, {
      homes: [{ bucket: this.bucket, prefix: props.prefix }, ...(props.otherHomes ?? [])],
      secrets: [this.users, ...(certificate === undefined ? [] : [certificate.secret])],
    });
    this.metricsNamespace = `FtpGateway/${Names.uniqueResourceName(this, { maxLength: 80, separator: '-' })}`;
    this.cluster = this.#makeCluster(network);
    const memoryMiB = props.memoryMiB ?? 1024;
    this.#warnOfIdleCores(props.cpu ?? 512, controlPorts);
    this.slots = this.#makeSlots({
      cluster: this.cluster,
      loadBalancer: this.loadBalancer,
      network,
      image: props.image ?? ownImage(props.cpuArchitecture ?? CpuArchitecture.X86_64),
      cpu: props.cpu ?? 512,
      memoryMiB,
      cpuArchitecture: props.cpuArchitecture ?? CpuArchitecture.X86_64,
      taskRole: this.taskRole,
      executionRole: executionRole(this),
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
        tls,
        certificateSecret: certificate?.secret,
        filenameEncoding: props.filenameEncoding,
        pathnameBackslash: props.pathnameBackslash,
        memoryMiB,
        resumeWindowMinutes: checkedResumeWindow(props),
        fileTimes: props.fileTimes,
        drainSeconds: stopTimeout.toSeconds() - exitSeconds,
        metricsNamespace: this.metricsNamespace,
        settings: props,
      }),
    });
    if (certificate?.ready !== undefined)
      for (const { service } of this.slots) service.node.addDependency(certificate.ready);

    this.alarmTopic = props.alarmTopic ?? this.#makeAlarmTopic();
    new Monitoring(this, 'Monitoring', {
      loadBalancer: this.loadBalancer,
      cluster: this.cluster,
      slots: this.slots,
      minimumSlots: this.plan.minimumSlots,
      tls: tls !== undefined,
      logGroup,
      metricsNamespace: this.metricsNamespace,
      expectedPartners: props.expectedPartners ?? {},
      topic: this.alarmTopic,
    });
    const relay = new OperationsRelay(this, 'OperationsRelay', { network, operationsPort, logRetention });
    this.outputs = new GatewayOutputs(this, 'Outputs', {
      host,
      plan: this.plan,
      zones: network.loadBalancerZones,
      controlPorts,
      tls: tls !== undefined,
      selfSigned: certificate?.selfSigned,
      bucket: this.bucket,
      users: this.users,
      alarmTopic: this.alarmTopic,
      clusterName: this.cluster.clusterName,
      relayName: relay.function.functionName,
    });
    this.#warnOfClearText(tls, clients);
  }

  /** Lets the grantee change the users file, and read it first. */
  grantUsersWrite(grantee: IGrantable): Grant {
    return this.users.grantRead(grantee).combine(this.users.grantWrite(grantee));
  }

  /** One of the gateway's own metrics, summed over its slots. */
  metric(name: GatewayMetricName, options?: MetricOptions): Metric {
    return gatewayMetric(this.metricsNamespace, name, options);
  }

  /** Open sessions, summed over the slots. */
  metricSessions(options?: MetricOptions): Metric {
    return this.metric('Sessions', options);
  }

  metricUploadBytes(options?: MetricOptions): Metric {
    return this.metric('UploadBytes', options);
  }

  metricDownloadBytes(options?: MetricOptions): Metric {
    return this.metric('DownloadBytes', options);
  }

  metricUploadsCompleted(options?: MetricOptions): Metric {
    return this.metric('UploadsCompleted', options);
  }

  metricUploadsNotCompleted(options?: MetricOptions): Metric {
    return this.metric('UploadsNotCompleted', options);
  }

  metricLoginsRefused(options?: MetricOptions): Metric {
    return this.metric('LoginsRefused', options);
  }

  // The default policy of an SNS topic lets the account's alarms publish. The policy that denies clear text replaces it, so
  // that the permission must be explicit.
  #makeAlarmTopic(): Topic {
    const topic = new Topic(this, 'AlarmTopic', { enforceSSL: true });
    topic.addToResourcePolicy(
      new PolicyStatement({
        sid: 'AlarmsOfThisAccount',
        principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [topic.topicArn],
        conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
      }),
    );
    return topic;
  }

  #warnOfIdleCores(cpu: number, controlPorts: readonly ControlPort[]): void {
    const most = maximumPortsPerSlot(controlPorts.map(({ listenerPort }) => listenerPort));
    const warning = idleCoresWarning(this.plan.portsPerSlot, most, cpu);
    if (warning !== undefined) Annotations.of(this).addWarningV2('ftp-gateway:idle-cores', warning);
  }

  #warnOfClearText(tls: FtpTls | undefined, clients: readonly IPeer[]): void {
    if (tls === undefined) {
      Annotations.of(this).addWarningV2(
        'ftp-gateway:clear-text',
        'Passwords and files cross the network in clear text: tls is off. Leave tls out, or set a certificate or a domain, ' +
          'unless every client is inside a network that you trust.',
      );
    } else if (
      tls.mode === 'optional' &&
      clients.some(({ uniqueId }) => uniqueId === Peer.anyIpv4().uniqueId)
    ) {
      Annotations.of(this).addWarningV2(
        'ftp-gateway:clear-text-logins',
        'Clients from 0.0.0.0/0 may log in in clear text: TLS is optional. Set tls.mode to required when every client ' +
          'supports FTPS, or limit clients (clientCidrs in cdk.json) to the networks of your partners.',
      );
    }
  }

  #makeCluster({ vpc }: Network): ICluster {
    const cluster = new Cluster(this, 'Cluster', { vpc, containerInsightsV2: ContainerInsights.DISABLED });
    acknowledge(cluster, {
      id: 'AwsSolutions-ECS4',
      reason:
        'The alarms use the metrics that ECS and the load balancer publish for free; Container Insights charges per metric.',
    });
    return cluster as ICluster;
  }

  #makeSlots({
    network,
    ...common
  }: Omit<SlotProps, 'plan' | 'subnet' | 'assignPublicIp' | 'securityGroup'> & {
    readonly network: Network;
  }): readonly Slot[] {
    const slots = this.plan.slots.map((plan) => {
      const subnet = network.taskSubnets[plan.zone - 1];
      if (subnet === undefined) throw new Error(`Slot ${slotName(plan)} has no subnet.`);
      const slot = new Slot(this, `Slot${slotName(plan)}`, {
        ...common,
        plan,
        subnet,
        assignPublicIp: network.assignPublicIp,
        securityGroup: network.taskSecurityGroup,
      });
      // A task that starts before its endpoints, its routes or the role's policy are there cannot pull its image, and three such
      // failures roll back a first deployment.
      slot.service.node.addDependency(network.taskPrerequisites, common.executionRole);
      return slot;
    });
    const groups = updateGroups(slots);
    groups.forEach((group, index) => {
      for (const { service } of group) {
        for (const before of groups[index - 1] ?? []) service.node.addDependency(before.service);
      }
    });
    return slots;
  }

  #addDomain({ domain }: FtpGatewayProps): string | undefined {
    if (domain === undefined) return undefined;
    new ARecord(this, 'Alias', {
      zone: domain.zone,
      ...(domain.recordName !== undefined && { recordName: domain.recordName }),
      target: RecordTarget.fromAlias(new LoadBalancerTarget(this.loadBalancer.nlb)),
    });
    return hostName({ domain });
  }
}

function checkedPlan(
  props: FtpGatewayProps,
  controlPorts: readonly ControlPort[],
  zones: number,
): PassivePortPlan {
  const plan = planPassivePorts({
    passivePorts: props.passivePorts ?? PassivePortRange.of(50_000, 50_007),
    portsPerSlot: props.portsPerSlot,
    slots: props.slots,
    zones,
    controlListenerPorts: controlPorts.map(({ listenerPort }) => listenerPort),
    containerPorts: {
      'operations port': operationsPort,
      ...Object.fromEntries(controlPorts.map(({ name, containerPort }) => [`${name} port`, containerPort])),
    },
    deployed: props.deployedPlan,
  });
  if (props.deployedPlan !== undefined) {
    const problems = changeProblems(props.deployedPlan, plan, controlPorts.length);
    if (problems.length > 0) throw new Error(problems.join('\n'));
  }
  return plan;
}

// Fargate takes 2 to 120 seconds (ECS API, ContainerDefinition.stopTimeout), and CDK does not validate it.
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
