/** Where the load balancer and the tasks are: a VPC, one load balancer subnet and one task subnet a zone. */
import { RemovalPolicy, Tags } from 'aws-cdk-lib';
import {
  CfnEIP,
  GatewayVpcEndpointAwsService,
  InterfaceVpcEndpointAwsService,
  IpAddresses,
  type ISecurityGroup,
  type ISubnet,
  type IVpc,
  Port,
  SecurityGroup,
  SubnetType,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import { Construct } from 'constructs';

/** A public address that is kept when the load balancer is replaced, because partners' firewalls name it. */
export type ElasticIp = {
  /** `eipalloc-...` */
  readonly allocationId: string;
  /** The IPv4 address itself: it goes into the 227 reply. */
  readonly address: string;
};

/** A VPC that exists already. */
export type ExistingNetwork = {
  readonly vpc: IVpc;
  /** One a zone; public ones for an internet-facing gateway. Each needs its IPv4 CIDR known at synth. */
  readonly loadBalancerSubnets: readonly ISubnet[];
  /** One a zone, with a way to S3, ECR, CloudWatch Logs and Secrets Manager (NAT, or endpoints). */
  readonly taskSubnets: readonly ISubnet[];
  /**
   * Whether tasks need a public address to reach AWS, because their subnets are public ones.
   * @default false
   */
  readonly assignPublicIp?: boolean | undefined;
};

/**
 * How tasks of a VPC made here reach AWS. `endpoints`: interface endpoints and no way to the internet at all.
 * `public-addresses`: tasks in the public subnets, which costs less; nothing but the load balancer may connect to them.
 */
export type TaskEgress = 'endpoints' | 'public-addresses';

export type NetworkProps = {
  readonly existing?: ExistingNetwork | undefined;
  readonly internetFacing: boolean;
  readonly elasticIps?: readonly ElasticIp[] | undefined;
  readonly zoneCount: number;
  readonly taskEgress: TaskEgress;
};

export type LoadBalancerZone = {
  readonly subnet: ISubnet;
  readonly subnetCidr: string;
  /** Undefined for an internal load balancer. */
  readonly elasticIp: ElasticIp | undefined;
};

export class Network extends Construct {
  readonly vpc: IVpc;
  readonly loadBalancerZones: readonly LoadBalancerZone[];
  readonly taskSubnets: readonly ISubnet[];
  readonly assignPublicIp: boolean;
  /** The tasks' own group; the load balancer and the endpoints name it. */
  readonly taskSecurityGroup: ISecurityGroup;

  constructor(scope: Construct, id: string, props: NetworkProps) {
    super(scope, id);
    const network = props.existing ?? this.makeVpc(props);
    this.vpc = network.vpc;
    this.taskSubnets = network.taskSubnets;
    this.assignPublicIp = network.assignPublicIp ?? false;
    this.loadBalancerZones = this.zones(network.loadBalancerSubnets, props);
    if (this.taskSubnets.length === 0)
      throw new Error('The network has no task subnets. Name at least one, better one a zone.');

    this.taskSecurityGroup = new SecurityGroup(this, 'TaskSecurityGroup', {
      vpc: this.vpc,
      description: 'FTP gateway tasks: in from the load balancer only',
    });
    if (props.existing === undefined && props.taskEgress === 'endpoints') this.addInterfaceEndpoints();
  }

  private makeVpc({ zoneCount, taskEgress }: NetworkProps): ExistingNetwork {
    const subnet = (name: string, subnetType: SubnetType) => ({ name, subnetType, cidrMask: 26 });
    const vpc = new Vpc(this, 'Vpc', {
      ipAddresses: IpAddresses.cidr('10.21.0.0/22'),
      maxAzs: zoneCount,
      natGateways: 0,
      // Emptying the default group takes a Lambda function; nothing here ever joins that group.
      restrictDefaultSecurityGroup: false,
      subnetConfiguration: [
        subnet('LoadBalancer', SubnetType.PUBLIC),
        ...(taskEgress === 'endpoints' ? [subnet('Task', SubnetType.PRIVATE_ISOLATED)] : []),
      ],
      // Every byte a partner moves goes between the task and S3; through a gateway endpoint that is free and private.
      gatewayEndpoints: { S3: { service: GatewayVpcEndpointAwsService.S3 } },
    });
    vpc.addFlowLog('FlowLog');
    return {
      vpc: vpc as IVpc,
      loadBalancerSubnets: vpc.publicSubnets,
      taskSubnets: taskEgress === 'endpoints' ? vpc.isolatedSubnets : vpc.publicSubnets,
      assignPublicIp: taskEgress === 'public-addresses',
    };
  }

  private zones(
    subnets: readonly ISubnet[],
    { internetFacing, elasticIps }: NetworkProps,
  ): readonly LoadBalancerZone[] {
    if (subnets.length === 0) throw new Error('The network has no load balancer subnets. Name one a zone.');
    if (elasticIps !== undefined && !internetFacing) {
      throw new Error(
        'An internal load balancer has no Elastic IPs. Remove elasticIps, or make it internet-facing.',
      );
    }
    if (elasticIps !== undefined && elasticIps.length !== subnets.length) {
      throw new Error(
        `There are ${elasticIps.length} Elastic IPs for ${subnets.length} load balancer subnets. ` +
          `Give one for each subnet, in the same order.`,
      );
    }
    return subnets.map((subnet, index) => ({
      subnet,
      subnetCidr: subnet.ipv4CidrBlock,
      elasticIp: internetFacing ? (elasticIps?.[index] ?? this.makeElasticIp(index + 1)) : undefined,
    }));
  }

  private makeElasticIp(zone: number): ElasticIp {
    const eip = new CfnEIP(this, `ElasticIp${zone}`, { domain: 'vpc' });
    // Partners have it in their firewalls: an address that went with a deleted stack could not be had again.
    eip.applyRemovalPolicy(RemovalPolicy.RETAIN);
    Tags.of(eip).add('Name', `${this.node.path}/${zone}`);
    return { allocationId: eip.attrAllocationId, address: eip.attrPublicIp };
  }

  private addInterfaceEndpoints(): void {
    const securityGroup = new SecurityGroup(this, 'EndpointSecurityGroup', {
      vpc: this.vpc,
      description: 'Interface endpoints: HTTPS from the FTP gateway tasks only',
      allowAllOutbound: false,
    });
    securityGroup.addIngressRule(this.taskSecurityGroup, Port.tcp(443), 'AWS API calls of the tasks');
    const services = {
      EcrApi: InterfaceVpcEndpointAwsService.ECR,
      EcrDocker: InterfaceVpcEndpointAwsService.ECR_DOCKER,
      Logs: InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
      SecretsManager: InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
    };
    for (const [name, service] of Object.entries(services)) {
      this.vpc.addInterfaceEndpoint(name, {
        service,
        subnets: { subnets: [...this.taskSubnets] },
        securityGroups: [securityGroup],
        open: false,
      });
    }
  }
}
