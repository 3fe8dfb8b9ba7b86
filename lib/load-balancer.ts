/**
 * The Network Load Balancer: one listener and one target group for each control port and each passive port. Which slot
 * registers in which group is decided in `slot.ts`.
 */
import { Duration } from 'aws-cdk-lib';
import { CfnSecurityGroupIngress, type IPeer, Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2';
import {
  NetworkListenerAction,
  NetworkLoadBalancer,
  NetworkTargetGroup,
  Protocol,
  TargetType,
} from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import { Construct } from 'constructs';
import { acknowledge } from './acknowledge.ts';
import type { Network } from './network.ts';
import { portRanges } from './passive-port-plan.ts';

/** A port clients connect to first, and the container's port behind it (above 1024: it does not run as root). */
export type ControlPort = {
  readonly name: 'Control' | 'ImplicitTls';
  readonly listenerPort: number;
  readonly containerPort: number;
};

export type LoadBalancerProps = {
  readonly network: Network;
  readonly internetFacing: boolean;
  readonly clients: readonly IPeer[];
  readonly controlPorts: readonly ControlPort[];
  /** The ports of every slot that exists, in order. */
  readonly passivePorts: readonly number[];
  readonly deletionProtection: boolean;
  /** The container's port of /healthz and /readyz over HTTP. */
  readonly operationsPort: number;
};

type TargetGroupKind = {
  readonly port: number;
  readonly proxyProtocolV2: boolean;
  readonly healthPath: string;
};

/** Inbound rules that a security group holds by default (Amazon VPC quotas, "Inbound or outbound rules per security group"). */
const maximumRules = 60;

/** 100 hours, the maximum (Elastic Load Balancing API, TargetGroupAttribute). */
const longestUnhealthyDraining = '360000';

export class LoadBalancer extends Construct {
  readonly nlb: NetworkLoadBalancer;
  readonly securityGroup: SecurityGroup;
  /** By container port. Every slot registers in each. */
  readonly controlTargetGroups: ReadonlyMap<number, NetworkTargetGroup>;
  /** By port. Only the slot that owns the port registers. */
  readonly passiveTargetGroups: ReadonlyMap<number, NetworkTargetGroup>;

  constructor(scope: Construct, id: string, props: LoadBalancerProps) {
    super(scope, id);
    const { network, internetFacing, controlPorts, passivePorts } = props;
    // It must exist from the start: a load balancer created without a security group can never get one.
    this.securityGroup = this.#makeSecurityGroup(props);
    this.nlb = new NetworkLoadBalancer(this, 'Nlb', {
      vpc: network.vpc,
      internetFacing,
      securityGroups: [this.securityGroup],
      crossZoneEnabled: true,
      deletionProtection: props.deletionProtection,
      // Lets AWS remove a failing zone from DNS. It needs cross-zone balancing and no termination of unhealthy connections.
      zonalShift: true,
      subnetMappings: network.loadBalancerZones.map(({ subnet, elasticIp }) => ({
        subnet,
        ...(elasticIp && { allocationId: elasticIp.allocationId }),
      })),
    });
    acknowledge(this.nlb, {
      id: 'AwsSolutions-ELB2',
      reason:
        'A Network Load Balancer logs TLS listeners only, and these are TCP; flow logs and the gateway log cover them.',
    });
    // The VPC's own dependable holds only the internet gateway; those of the subnets hold the route, and so the attachment,
    // without which Elastic Load Balancing answers InvalidSubnet.
    for (const { subnet } of network.loadBalancerZones) {
      this.nlb.node.addDependency(subnet.internetConnectivityEstablished);
    }

    this.controlTargetGroups = new Map(
      controlPorts.map((port) => [port.containerPort, this.#addControlPort(port, props)]),
    );
    this.passiveTargetGroups = new Map(passivePorts.map((port) => [port, this.#addPassivePort(port, props)]));
  }

  #addControlPort({ name, listenerPort, containerPort }: ControlPort, props: LoadBalancerProps) {
    const targetGroup = this.#makeTargetGroup(`${name}TargetGroup`, props, {
      port: containerPort,
      // The header identifies which node the client came through, and so which address belongs in the 227 reply.
      proxyProtocolV2: true,
      // A draining task gets no new sessions.
      healthPath: '/readyz',
    });
    this.nlb.addListener(`${name}Listener`, {
      port: listenerPort,
      protocol: Protocol.TCP,
      // A control connection is silent while its transfer runs. The maximum; keepalives of the task cover longer ones.
      tcpIdleTimeout: Duration.seconds(6000),
      defaultAction: NetworkListenerAction.forward([targetGroup]),
    });
    return targetGroup;
  }

  // The construct ids carry the port and nothing of its slot: another number of slots or a longer range leaves the
  // listeners and groups of the ports that stay alone.
  #addPassivePort(port: number, props: LoadBalancerProps) {
    const targetGroup = this.#makeTargetGroup(`Passive${port}TargetGroup`, props, {
      port,
      // The load balancer sends the header in front of the client's first bytes, and in a cleartext RETR or LIST the client
      // sends none: the task would wait forever.
      proxyProtocolV2: false,
      // A draining task still serves the data connections of the sessions it has. The path names the port, so that the task
      // detects from the probes which of its ports the load balancer serves (`/readyz` waits for all of them).
      healthPath: `/healthz/${port}`,
    });
    this.nlb.addListener(`Passive${port}Listener`, {
      port,
      protocol: Protocol.TCP,
      defaultAction: NetworkListenerAction.forward([targetGroup]),
    });
    return targetGroup;
  }

  #makeTargetGroup(
    id: string,
    { network, operationsPort }: LoadBalancerProps,
    { port, proxyProtocolV2, healthPath }: TargetGroupKind,
  ): NetworkTargetGroup {
    const targetGroup = new NetworkTargetGroup(this, id, {
      vpc: network.vpc,
      targetType: TargetType.IP,
      protocol: Protocol.TCP,
      port,
      proxyProtocolV2,
      // Off by default for IP targets. Without it a data connection shows a node's address, the task cannot match it to a
      // client, and one target is limited to 55,000 connections a minute.
      preserveClientIp: true,
      // A slot is in one zone; a client that came through another must reach it as well.
      crossZoneEnabled: true,
      // Transfers outlive the deregistration: the task ends them itself, within its drain.
      connectionTermination: false,
      // SIGTERM comes only after this delay, and from deregistration on passive ports get no new connections. Zero: sessions
      // get their 421 immediately, and are not left with ports that no longer answer.
      deregistrationDelay: Duration.seconds(0),
      healthCheck: {
        // Never a passive port: a probe there would look like a data connection, and would leave an empty file behind.
        protocol: Protocol.HTTP,
        port: String(operationsPort),
        path: healthPath,
        healthyHttpCodes: '200',
        interval: Duration.seconds(10),
        timeout: Duration.seconds(5),
        healthyThresholdCount: 2,
        unhealthyThresholdCount: 3,
      },
    });
    // Otherwise one empty slot takes the addresses of a zone out of DNS, for every other slot too.
    targetGroup.setAttribute('target_group_health.dns_failover.minimum_healthy_targets.count', 'off');
    // On by default: one bad minute of health checks, or a drain, would cut every session and transfer of the slot. Without
    // termination the connections of an unhealthy target last for the draining interval, which is zero by default.
    targetGroup.setAttribute('target_health_state.unhealthy.connection_termination.enabled', 'false');
    targetGroup.setAttribute(
      'target_health_state.unhealthy.draining_interval_seconds',
      longestUnhealthyDraining,
    );
    return targetGroup;
  }

  #makeSecurityGroup(props: LoadBalancerProps): SecurityGroup {
    const { network, controlPorts, passivePorts, operationsPort } = props;
    const group = new SecurityGroup(this, 'SecurityGroup', {
      vpc: network.vpc,
      description: 'FTP gateway load balancer: control and passive ports from the clients',
      allowAllOutbound: false,
    });
    this.#addClientRules(group, props);
    const toTasks: readonly (readonly [string, Port])[] = [
      ...controlPorts.map(({ name, containerPort }) => [name, Port.tcp(containerPort)] as const),
      ...portRanges(passivePorts).map(
        ({ first, last }) => ['Passive ports', Port.tcpRange(first, last)] as const,
      ),
      ['Health checks', Port.tcp(operationsPort)],
    ];
    for (const [name, port] of toTasks) {
      group.addEgressRule(network.taskSecurityGroup, port, `${name} to the tasks`);
      network.taskSecurityGroup.addIngressRule(group, port, `${name} from the load balancer`);
    }
    return group;
  }

  // Resources of their own, whose ids carry ports and client: CloudFormation makes the rules of new ports before it touches
  // the slots, and removes those of old ports after the slots have left them. Inline rules would all change at the beginning.
  #addClientRules(group: SecurityGroup, { clients, controlPorts, passivePorts }: LoadBalancerProps): void {
    const ranges = [
      ...controlPorts.map(({ name, listenerPort }) => ({ name, first: listenerPort, last: listenerPort })),
      ...portRanges(passivePorts).map(({ first, last }) => ({ name: 'Passive ports', first, last })),
    ];
    checkRuleCount(clients.length, ranges.length);
    for (const client of clients) {
      for (const { name, first, last } of ranges) {
        const id = `from ${client.uniqueId}:${first}-${last}`.replaceAll('/', '_');
        const rule = new CfnSecurityGroupIngress(this, id, {
          groupId: group.securityGroupId,
          ipProtocol: 'tcp',
          fromPort: first,
          toPort: last,
          description: `${name} from clients`,
          ...(client.toIngressRuleConfig() as object),
        });
        acknowledge(rule, {
          id: 'AwsSolutions-EC23',
          reason: 'Partners connect from anywhere unless clients (clientCidrs in cdk.json) restricts them.',
        });
      }
    }
  }
}

function checkRuleCount(clients: number, rangesPerClient: number): void {
  const rules = clients * rangesPerClient;
  if (rules <= maximumRules) return;
  throw new Error(
    `${clients} client networks need ${rules} inbound rules, ${rangesPerClient} each, but a security group holds ` +
      `${maximumRules}. Use at most ${Math.floor(maximumRules / rangesPerClient)} networks, join neighboring ones, or give ` +
      `managed prefix lists (clientPrefixLists) and have the quota L-0EA8095F raised: every entry that such a list may ` +
      `have counts as a rule, too.`,
  );
}
