/** What is deployed, as the ELBv2, ECS and EC2 APIs describe it. The template is not asked. */
import { DescribeSecurityGroupsCommand, DescribeSubnetsCommand, EC2Client } from '@aws-sdk/client-ec2';
import {
  DescribeServicesCommand,
  DescribeTaskDefinitionCommand,
  ECSClient,
  type Service as EcsService,
} from '@aws-sdk/client-ecs';
import {
  DescribeListenerAttributesCommand,
  DescribeListenersCommand,
  DescribeLoadBalancersCommand,
  DescribeTargetGroupAttributesCommand,
  DescribeTargetGroupsCommand,
  ElasticLoadBalancingV2Client,
  type LoadBalancer,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import {
  attribute,
  type Listener,
  type Node,
  type Service,
  type TargetGroup,
  targetGroupSettings,
} from '../topology/topology.ts';

/** Clients of the emulator, by the environment of this process. */
export type Apis = {
  readonly ec2: EC2Client;
  readonly ecs: ECSClient;
  readonly balancing: ElasticLoadBalancingV2Client;
};

export function makeApis(): Apis {
  return { ec2: new EC2Client(), ecs: new ECSClient(), balancing: new ElasticLoadBalancingV2Client() };
}

/** A service, and what ECS decides by. */
export type DeployedService = Service & {
  /** Changes with every deployment of the service. */
  readonly deploymentId: string;
  readonly gracePeriodSeconds: number;
};

export type BalancerTopology = {
  readonly nodes: readonly Node[];
  readonly listeners: readonly Listener[];
  readonly targetGroups: ReadonlyMap<string, TargetGroup>;
};

/** The network load balancer; undefined where there is none yet, or it is not the stack's. */
export async function readBalancer(apis: Apis): Promise<BalancerTopology | undefined> {
  const { LoadBalancers } = await apis.balancing.send(new DescribeLoadBalancersCommand());
  const balancer = LoadBalancers?.find(({ Type }) => Type === 'network');
  if (balancer === undefined) return undefined;
  return {
    nodes: await readNodes(apis, balancer),
    listeners: await readListeners(apis, balancer),
    targetGroups: await readTargetGroups(apis),
  };
}

// A node's private address is any of its subnet; the stand-in takes the eleventh.
async function readNodes({ ec2 }: Apis, balancer: LoadBalancer): Promise<readonly Node[]> {
  const zones = balancer.AvailabilityZones ?? [];
  const { Subnets } = await ec2.send(
    new DescribeSubnetsCommand({ SubnetIds: zones.map(({ SubnetId }) => SubnetId ?? '') }),
  );
  return zones.map(({ SubnetId, LoadBalancerAddresses }) => {
    const cidr = Subnets?.find((subnet) => subnet.SubnetId === SubnetId)?.CidrBlock ?? '';
    const octets = (cidr.split('/')[0] ?? '').split('.');
    return {
      publicAddress: LoadBalancerAddresses?.[0]?.IpAddress ?? '',
      privateAddress: [...octets.slice(0, 3), Number(octets[3]) + 11].join('.'),
    };
  });
}

async function readListeners(
  { balancing }: Apis,
  { LoadBalancerArn }: LoadBalancer,
): Promise<readonly Listener[]> {
  const { Listeners } = await balancing.send(new DescribeListenersCommand({ LoadBalancerArn }));
  return await Promise.all(
    (Listeners ?? []).map(async ({ ListenerArn, Port, DefaultActions }) => {
      const { Attributes } = await balancing.send(new DescribeListenerAttributesCommand({ ListenerArn }));
      return {
        port: Port ?? 0,
        targetGroup: DefaultActions?.[0]?.TargetGroupArn ?? '',
        idleTimeoutSeconds: Number(attribute(Attributes, 'tcp.idle_timeout.seconds', '350')),
      };
    }),
  );
}

async function readTargetGroups({ balancing }: Apis): Promise<ReadonlyMap<string, TargetGroup>> {
  const { TargetGroups } = await balancing.send(new DescribeTargetGroupsCommand());
  const groups = await Promise.all(
    (TargetGroups ?? []).map(async (group): Promise<TargetGroup> => {
      const { Attributes } = await balancing.send(
        new DescribeTargetGroupAttributesCommand({ TargetGroupArn: group.TargetGroupArn }),
      );
      return {
        id: group.TargetGroupArn ?? '',
        port: group.Port ?? 0,
        ...targetGroupSettings(Attributes),
        healthCheck: {
          port: Number(group.HealthCheckPort),
          path: group.HealthCheckPath ?? '',
          intervalSeconds: group.HealthCheckIntervalSeconds ?? 30,
          healthyThreshold: group.HealthyThresholdCount ?? 5,
          unhealthyThreshold: group.UnhealthyThresholdCount ?? 2,
        },
      };
    }),
  );
  return new Map(groups.map((group) => [group.id, group]));
}

/** The service of that ARN; undefined where it has been deleted. */
export async function readService({ ecs }: Apis, arn: string): Promise<DeployedService | undefined> {
  const [cluster = ''] = (arn.split(':service/')[1] ?? '').split('/');
  const name = arn.split('/').at(-1) ?? '';
  const { services } = await ecs.send(new DescribeServicesCommand({ cluster, services: [name] }));
  const service = services?.find(({ status }) => status === 'ACTIVE');
  return service === undefined ? undefined : await describeService(ecs, service);
}

async function describeService(ecs: ECSClient, service: EcsService): Promise<DeployedService> {
  const { taskDefinition } = await ecs.send(
    new DescribeTaskDefinitionCommand({ taskDefinition: service.taskDefinition }),
  );
  const [container] = taskDefinition?.containerDefinitions ?? [];
  return {
    id: service.serviceName ?? '',
    desiredCount: service.desiredCount ?? 0,
    registrations: (service.loadBalancers ?? []).map(({ targetGroupArn, containerPort }) => ({
      targetGroup: targetGroupArn ?? '',
      containerPort: containerPort ?? 0,
    })),
    environment: Object.fromEntries(
      (container?.environment ?? []).map(({ name, value }) => [name ?? '', value ?? '']),
    ),
    containerPorts: (container?.portMappings ?? []).map(({ containerPort }) => containerPort ?? 0),
    stopTimeoutSeconds: container?.stopTimeout ?? 30,
    after: [],
    deploymentId: `${service.deployments?.find(({ status }) => status === 'PRIMARY')?.id ?? ''} ${JSON.stringify(service.loadBalancers)}`,
    gracePeriodSeconds: service.healthCheckGracePeriodSeconds ?? 0,
  };
}

/** What the security groups of the load balancer admit: from which network to which ports. */
export type IngressRule = { readonly cidr: string; readonly firstPort: number; readonly lastPort: number };

export async function readIngress({ ec2, balancing }: Apis): Promise<readonly IngressRule[]> {
  const { LoadBalancers } = await balancing.send(new DescribeLoadBalancersCommand());
  const groups = LoadBalancers?.find(({ Type }) => Type === 'network')?.SecurityGroups ?? [];
  if (groups.length === 0) return [];
  const { SecurityGroups } = await ec2.send(new DescribeSecurityGroupsCommand({ GroupIds: groups }));
  return (SecurityGroups ?? []).flatMap(({ IpPermissions }) =>
    (IpPermissions ?? []).flatMap(({ IpRanges, FromPort, ToPort }) =>
      (IpRanges ?? []).map(({ CidrIp }) => ({
        cidr: CidrIp ?? '',
        firstPort: FromPort ?? 0,
        lastPort: ToPort ?? 0,
      })),
    ),
  );
}
