/**
 * What a synthesised template says about traffic: listeners, target groups, services. Read from the template alone, so
 * that the stand-in for AWS can behave only as the template asks. Pure.
 */
import { ofType, resolve, type Template } from './template.ts';

/** A load balancer node: the address clients reach, and the private one that a PROXY header names as destination. */
export type Node = { readonly publicAddress: string; readonly privateAddress: string };

export type Listener = {
  readonly port: number;
  readonly targetGroup: string;
  readonly idleTimeoutSeconds: number;
};

export type TargetGroup = {
  readonly id: string;
  readonly port: number;
  readonly proxyProtocol: boolean;
  readonly preserveClientIp: boolean;
  readonly crossZone: boolean;
  readonly deregistrationDelaySeconds: number;
  readonly terminatesOnDeregistration: boolean;
  readonly terminatesOnUnhealthy: boolean;
  readonly healthCheck: {
    readonly port: number;
    readonly path: string;
    readonly intervalSeconds: number;
    readonly healthyThreshold: number;
    readonly unhealthyThreshold: number;
  };
};

export type Service = {
  readonly id: string;
  readonly desiredCount: number;
  readonly registrations: readonly { readonly targetGroup: string; readonly containerPort: number }[];
  readonly environment: Readonly<Record<string, string>>;
  readonly containerPorts: readonly number[];
  readonly stopTimeoutSeconds: number;
  /** Services that must be stable before this one is touched. */
  readonly after: readonly string[];
};

export type Topology = {
  readonly nodes: readonly Node[];
  readonly listeners: readonly Listener[];
  readonly targetGroups: ReadonlyMap<string, TargetGroup>;
  /** In the order in which CloudFormation would create or update them. */
  readonly services: readonly Service[];
};

/** What the stand-in gives for what only a deployment knows. */
export type PhysicalNames = {
  /** The Elastic IP of each zone: a loopback address. */
  readonly publicAddresses: readonly string[];
  readonly bucketName: string;
};

export function readTopology(template: Template, { publicAddresses, bucketName }: PhysicalNames): Topology {
  const elasticIps = ofType(template, 'AWS::EC2::EIP').map(([id]) => id);
  const lookup = (reference: string): string => {
    const pseudo = pseudoParameters[reference];
    if (pseudo !== undefined) return pseudo;
    const [id = '', attribute] = reference.split('.');
    const zone = elasticIps.indexOf(id);
    if (zone >= 0) return attribute === 'PublicIp' ? (publicAddresses[zone] ?? '') : reference;
    if (template.Resources[id]?.Type === 'AWS::S3::Bucket' && attribute === undefined) return bucketName;
    // A secret's ARN has a form that the gateway checks.
    if (template.Resources[id]?.Type === 'AWS::SecretsManager::Secret') return secretArn(id);
    return reference;
  };
  return {
    nodes: readNodes(template, publicAddresses, lookup),
    listeners: ofType(template, 'AWS::ElasticLoadBalancingV2::Listener').map(([, { Properties }]) =>
      readListener(resolve(Properties, lookup) as ListenerProperties),
    ),
    targetGroups: new Map(
      ofType(template, 'AWS::ElasticLoadBalancingV2::TargetGroup').map(([id, { Properties }]) => [
        id,
        readTargetGroup(id, resolve(Properties, lookup) as TargetGroupProperties),
      ]),
    ),
    services: readServices(template, lookup),
  };
}

const pseudoParameters: Readonly<Record<string, string>> = {
  'AWS::Partition': 'aws',
  'AWS::Region': 'eu-central-1',
  'AWS::AccountId': '111122223333',
};

/** The ARN that stands for a secret of the template. */
export function secretArn(logicalId: string): string {
  return `arn:aws:secretsmanager:eu-central-1:111122223333:secret:${logicalId}-AbCdEf`;
}

type Attributes = readonly { readonly Key?: string | undefined; readonly Value?: string | undefined }[];

type ListenerProperties = {
  readonly Port: number;
  readonly DefaultActions: readonly { readonly TargetGroupArn: string }[];
  readonly ListenerAttributes?: Attributes;
};

type TargetGroupProperties = {
  readonly Port: number;
  readonly TargetGroupAttributes?: Attributes;
  readonly HealthCheckPort: string;
  readonly HealthCheckPath: string;
  readonly HealthCheckIntervalSeconds: number;
  readonly HealthyThresholdCount: number;
  readonly UnhealthyThresholdCount: number;
};

function readListener(properties: ListenerProperties): Listener {
  const [action] = properties.DefaultActions;
  if (action === undefined) throw new Error(`The listener on ${properties.Port} has no target group.`);
  return {
    port: properties.Port,
    targetGroup: action.TargetGroupArn,
    idleTimeoutSeconds: Number(attribute(properties.ListenerAttributes, 'tcp.idle_timeout.seconds', '350')),
  };
}

/** What the attributes of a target group set. The defaults are those for IP targets and TCP (ModifyTargetGroupAttributes). */
export function targetGroupSettings(attributes: Attributes | undefined) {
  const value = (key: string, otherwise: string) => attribute(attributes, key, otherwise);
  return {
    proxyProtocol: value('proxy_protocol_v2.enabled', 'false') === 'true',
    preserveClientIp: value('preserve_client_ip.enabled', 'false') === 'true',
    crossZone: value('load_balancing.cross_zone.enabled', 'false') === 'true',
    deregistrationDelaySeconds: Number(value('deregistration_delay.timeout_seconds', '300')),
    terminatesOnDeregistration:
      value('deregistration_delay.connection_termination.enabled', 'false') === 'true',
    terminatesOnUnhealthy:
      value('target_health_state.unhealthy.connection_termination.enabled', 'true') === 'true',
  };
}

function readTargetGroup(id: string, properties: TargetGroupProperties): TargetGroup {
  return {
    id,
    port: properties.Port,
    ...targetGroupSettings(properties.TargetGroupAttributes),
    healthCheck: {
      port: Number(properties.HealthCheckPort),
      path: properties.HealthCheckPath,
      intervalSeconds: properties.HealthCheckIntervalSeconds,
      healthyThreshold: properties.HealthyThresholdCount,
      unhealthyThreshold: properties.UnhealthyThresholdCount,
    },
  };
}

/** The value of an attribute of a listener or a target group. */
export function attribute(attributes: Attributes | undefined, key: string, otherwise: string): string {
  return attributes?.find(({ Key }) => Key === key)?.Value ?? otherwise;
}

// A node's private address is any of its subnet; the stand-in takes the eleventh.
function readNodes(
  template: Template,
  publicAddresses: readonly string[],
  lookup: (reference: string) => string,
): readonly Node[] {
  const [loadBalancer] = ofType(template, 'AWS::ElasticLoadBalancingV2::LoadBalancer');
  const mappings = (loadBalancer?.[1].Properties?.['SubnetMappings'] ?? []) as readonly {
    SubnetId: unknown;
  }[];
  return mappings.map(({ SubnetId }, index) => {
    const subnet = template.Resources[resolve(SubnetId, lookup) as string];
    const cidr = subnet?.Properties?.['CidrBlock'];
    if (typeof cidr !== 'string')
      throw new Error('A subnet of the load balancer has no CIDR in the template.');
    const octets = (cidr.split('/')[0] ?? '').split('.');
    const privateAddress = [...octets.slice(0, 3), Number(octets[3]) + 11].join('.');
    return { publicAddress: publicAddresses[index] ?? '', privateAddress };
  });
}

type ServiceProperties = {
  readonly DesiredCount: number;
  readonly TaskDefinition: string;
  readonly LoadBalancers: readonly { readonly TargetGroupArn: string; readonly ContainerPort: number }[];
};

type ContainerDefinition = {
  readonly Environment: readonly { readonly Name: string; readonly Value: string }[];
  readonly PortMappings: readonly { readonly ContainerPort: number }[];
  readonly StopTimeout: number;
};

function readServices(template: Template, lookup: (reference: string) => string): readonly Service[] {
  const services = ofType(template, 'AWS::ECS::Service');
  const ids = services.map(([id]) => id);
  const read = services.map(([id, { Properties, DependsOn }]): Service => {
    const service = resolve(Properties, lookup) as ServiceProperties;
    // A service names the family of its task definition: ECS takes the newest revision.
    const [, task] =
      ofType(template, 'AWS::ECS::TaskDefinition').find(
        ([, { Properties: task }]) => task?.['Family'] === service.TaskDefinition,
      ) ?? [];
    const [container] = resolve(
      task?.Properties?.['ContainerDefinitions'],
      lookup,
    ) as readonly ContainerDefinition[];
    if (container === undefined) throw new Error(`The service ${id} has no container.`);
    return {
      id,
      desiredCount: service.DesiredCount,
      registrations: service.LoadBalancers.map(({ TargetGroupArn, ContainerPort }) => ({
        targetGroup: TargetGroupArn,
        containerPort: ContainerPort,
      })),
      environment: Object.fromEntries(container.Environment.map(({ Name, Value }) => [Name, Value])),
      containerPorts: container.PortMappings.map(({ ContainerPort }) => ContainerPort),
      stopTimeoutSeconds: container.StopTimeout,
      after: [DependsOn ?? []].flat().filter((dependency) => ids.includes(dependency)),
    };
  });
  return inOrder(read);
}

function inOrder(services: readonly Service[]): readonly Service[] {
  const ordered: Service[] = [];
  while (ordered.length < services.length) {
    const ready = services.filter(
      (service) =>
        !ordered.includes(service) && service.after.every((id) => ordered.some((done) => done.id === id)),
    );
    if (ready.length === 0) throw new Error('The services of the template wait for one another.');
    ordered.push(...ready);
  }
  return ordered;
}
