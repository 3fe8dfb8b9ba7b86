/**
 * The Network Load Balancer: one listener and one target group for each control port and each passive port. Which slot
 * registers in which group is the slots' matter (`slot.ts`).
 */
import { Duration, Validations } from 'aws-cdk-lib';
import { type IPeer, type ISecurityGroup, Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2';
import {
  NetworkListenerAction,
  NetworkLoadBalancer,
  NetworkTargetGroup,
  Protocol,
  TargetType,
} from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import { Construct } from 'constructs';
import type { Network } from './network.ts';
import type { PassivePortRange } from './passive-port-range.ts';

/** A port clients connect to first, and where the container answers it (above 1024: it does not run as root). */
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
  readonly passivePorts: PassivePortRange;
  /** Where the container answers /healthz and /readyz over HTTP. */
  readonly operationsPort: number;
};

type TargetGroupKind = {
  readonly port: number;
  readonly proxyProtocolV2: boolean;
  readonly healthPath: '/readyz' | '/healthz';
};

export class LoadBalancer extends Construct {
  readonly nlb: NetworkLoadBalancer;
  readonly securityGroup: ISecurityGroup;
  /** By container port. Every slot registers in each. */
  readonly controlTargetGroups: ReadonlyMap<number, NetworkTargetGroup>;
  /** By port. The slot that owns the port registers, nobody else. */
  readonly passiveTargetGroups: ReadonlyMap<number, NetworkTargetGroup>;

  constructor(scope: Construct, id: string, props: LoadBalancerProps) {
    super(scope, id);
    const { network, internetFacing, controlPorts, passivePorts } = props;
    // It must be there from the first day: a load balancer made without a group can never be given one.
    this.securityGroup = this.makeSecurityGroup(props);
    this.nlb = new NetworkLoadBalancer(this, 'Nlb', {
      vpc: network.vpc,
      internetFacing,
      securityGroups: [this.securityGroup],
      crossZoneEnabled: true,
      subnetMappings: network.loadBalancerZones.map(({ subnet, elasticIp }) => ({
        subnet,
        ...(elasticIp && { allocationId: elasticIp.allocationId }),
      })),
    });
    Validations.of(this.nlb).acknowledge({
      id: 'AwsSolutions-ELB2',
      reason:
        'A Network Load Balancer logs TLS listeners only, and these are TCP; flow logs and the gateway log have it all.',
    });
    this.nlb.node.addDependency(network.vpc.internetConnectivityEstablished);

    this.controlTargetGroups = new Map(
      controlPorts.map((port) => [port.containerPort, this.addControlPort(port, props)]),
    );
    this.passiveTargetGroups = new Map(
      passivePorts.ports.map((port) => [port, this.addPassivePort(port, props)]),
    );
  }

  private addControlPort({ name, listenerPort, containerPort }: ControlPort, props: LoadBalancerProps) {
    const targetGroup = this.makeTargetGroup(`${name}TargetGroup`, props, {
      port: containerPort,
      // The header tells which node the client came through, and so which address belongs in the 227 reply.
      proxyProtocolV2: true,
      // A draining task takes no new sessions.
      healthPath: '/readyz',
    });
    this.nlb.addListener(`${name}Listener`, {
      port: listenerPort,
      protocol: Protocol.TCP,
      // A control connection is silent while its transfer runs. The longest there is; keepalives of the task do the rest.
      tcpIdleTimeout: Duration.seconds(6000),
      defaultAction: NetworkListenerAction.forward([targetGroup]),
    });
    return targetGroup;
  }

  // The construct ids carry the port and nothing of its slot: another number of slots or a longer range leaves the
  // listeners and groups of the ports that stay alone.
  private addPassivePort(port: number, props: LoadBalancerProps) {
    const targetGroup = this.makeTargetGroup(`Passive${port}TargetGroup`, props, {
      port,
      // The load balancer sends the header in front of the client's first bytes, and in a cleartext RETR or LIST the client
      // sends none: the task would wait for ever.
      proxyProtocolV2: false,
      // A draining task still serves the data connections of the sessions it has.
      healthPath: '/healthz',
    });
    this.nlb.addListener(`Passive${port}Listener`, {
      port,
      protocol: Protocol.TCP,
      defaultAction: NetworkListenerAction.forward([targetGroup]),
    });
    return targetGroup;
  }

  private makeTargetGroup(
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
      // Off by default for IP targets. Without it a data connection shows a node's address, nobody can tell whose it is,
      // and 55,000 connections a minute to one target are the most.
      preserveClientIp: true,
      // A slot is in one zone; a client that came through another must reach it as well.
      crossZoneEnabled: true,
      // Else one empty slot takes the addresses of a zone out of DNS, for every other slot too.
      targetGroupHealth: { dnsMinimumHealthyTargetCount: 0 },
      // Transfers outlive the deregistration: the task ends them itself, within its drain.
      connectionTermination: false,
      // SIGTERM comes only after this delay, and from deregistration on passive ports get no new connections. Zero: sessions
      // are told at once (421), and are not left with ports that no longer answer.
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
    // On by default: one bad minute of health checks would cut every session and transfer of the slot.
    targetGroup.setAttribute('target_health_state.unhealthy.connection_termination.enabled', 'false');
    return targetGroup;
  }

  private makeSecurityGroup(props: LoadBalancerProps): ISecurityGroup {
    const { network, clients, controlPorts, passivePorts, operationsPort } = props;
    const group = new SecurityGroup(this, 'SecurityGroup', {
      vpc: network.vpc,
      description: 'FTP gateway load balancer: control and passive ports from the clients',
      allowAllOutbound: false,
    });
    Validations.of(group).acknowledge({
      id: 'AwsSolutions-EC23',
      reason: 'Partners connect from anywhere unless clients (clientCidrs in cdk.json) says from where.',
    });
    const passive = Port.tcpRange(passivePorts.first, passivePorts.last);
    for (const client of clients) {
      for (const { name, listenerPort } of controlPorts) {
        group.addIngressRule(client, Port.tcp(listenerPort), `${name} from clients`);
      }
      group.addIngressRule(client, passive, 'Passive ports from clients');
    }
    const toTasks: readonly (readonly [string, Port])[] = [
      ...controlPorts.map(({ name, containerPort }) => [name, Port.tcp(containerPort)] as const),
      ['Passive ports', passive],
      ['Health checks', Port.tcp(operationsPort)],
    ];
    for (const [name, port] of toTasks) {
      group.addEgressRule(network.taskSecurityGroup, port, `${name} to the tasks`);
      network.taskSecurityGroup.addIngressRule(group, port, `${name} from the load balancer`);
    }
    return group;
  }
}
