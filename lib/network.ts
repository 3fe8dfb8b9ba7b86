/** Where the load balancer and the tasks are: a VPC, one load balancer subnet and one task subnet a zone. */
import { Aws, RemovalPolicy, Tags } from 'aws-cdk-lib';
import { AnyPrincipal, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { IBucket } from 'aws-cdk-lib/aws-s3';
import {
  CfnEIP,
  type GatewayVpcEndpoint,
  GatewayVpcEndpointAwsService,
  InterfaceVpcEndpointAwsService,
  IpAddresses,
  type ISubnet,
  type IVpc,
  Peer,
  Port,
  SecurityGroup,
  SubnetType,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import { Construct, DependencyGroup } from 'constructs';

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
  /** One per zone; public ones for an internet-facing gateway. Each needs its IPv4 CIDR known at synth. */
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
 * How tasks of a VPC made here reach AWS. `endpoints`: interface endpoints and no route to the internet.
 * `public-addresses`: tasks in the public subnets, which costs less; nothing but the load balancer may connect to them.
 */
export type TaskEgress = 'endpoints' | 'public-addresses';

export type NetworkProps = {
  readonly existing?: ExistingNetwork | undefined;
  readonly internetFacing: boolean;
  readonly elasticIps?: readonly ElasticIp[] | undefined;
  /** Undefined: two, or as many as `availabilityZones` names. */
  readonly zoneCount: number | undefined;
  readonly availabilityZones?: readonly string[] | undefined;
  readonly vpcCidr: string;
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
  readonly taskSecurityGroup: SecurityGroup;
  /** Without these a task cannot pull its image or read its secrets: endpoints, routes of its subnets, rules of its group. */
  readonly taskPrerequisites = new DependencyGroup();
  readonly #s3Endpoint: GatewayVpcEndpoint | undefined;

  constructor(scope: Construct, id: string, props: NetworkProps) {
    super(scope, id);
    const made = props.existing === undefined ? this.#makeVpc(props) : undefined;
    const network = props.existing ?? made?.network;
    if (network === undefined) throw new Error('There is no network.');
    this.#s3Endpoint = made?.s3Endpoint;
    this.vpc = network.vpc;
    this.taskSubnets = network.taskSubnets;
    this.assignPublicIp = network.assignPublicIp ?? false;
    this.loadBalancerZones = this.#zones(network.loadBalancerSubnets, props);
    if (this.taskSubnets.length === 0)
      throw new Error('The network has no task subnets. Name at least one, better one a zone.');

    this.taskSecurityGroup = new SecurityGroup(this, 'TaskSecurityGroup', {
      vpc: this.vpc,
      description: 'FTP gateway tasks: in from the load balancer only',
      allowAllOutbound: false,
    });
    // S3, ECR, Secrets Manager and CloudWatch Logs; security groups do not filter name resolution in the VPC.
    this.taskSecurityGroup.addEgressRule(Peer.anyIpv4(), Port.tcp(443), 'AWS services over HTTPS');
    if (props.existing === undefined && props.taskEgress === 'endpoints') this.#addInterfaceEndpoints();
    this.taskPrerequisites.add(this.taskSecurityGroup);
    for (const subnet of this.taskSubnets) this.taskPrerequisites.add(subnet);
  }

  /**
   * Lets the VPC reach these buckets in S3 and no others, apart from the one that holds the layers of container images. A
   * network that exists has endpoints of its own, which stay as they are.
   */
  limitS3To(buckets: readonly IBucket[]): void {
    this.#s3Endpoint?.addToPolicy(
      new PolicyStatement({
        principals: [new AnyPrincipal()],
        actions: ['s3:*'],
        resources: buckets.flatMap((bucket) => [bucket.bucketArn, bucket.arnForObjects('*')]),
      }),
    );
    // Amazon ECR user guide, "Create the Amazon S3 gateway endpoint": where image layers are downloaded from.
    this.#s3Endpoint?.addToPolicy(
      new PolicyStatement({
        principals: [new AnyPrincipal()],
        actions: ['s3:GetObject'],
        resources: [`arn:${Aws.PARTITION}:s3:::prod-${Aws.REGION}-starport-layer-bucket/*`],
      }),
    );
  }

  #makeVpc({ zoneCount, availabilityZones, vpcCidr, taskEgress }: NetworkProps) {
    const subnet = (name: string, subnetType: SubnetType) => ({ name, subnetType, cidrMask: 26 });
    const vpc = new Vpc(this, 'Vpc', {
      ipAddresses: IpAddresses.cidr(vpcCidr),
      ...(availabilityZones === undefined
        ? { maxAzs: zoneCount ?? 2 }
        : { availabilityZones: [...availabilityZones] }),
      natGateways: 0,
      // Emptying the default group takes a Lambda function; nothing here ever joins that group.
      restrictDefaultSecurityGroup: false,
      subnetConfiguration: [
        subnet('LoadBalancer', SubnetType.PUBLIC),
        ...(taskEgress === 'endpoints' ? [subnet('Task', SubnetType.PRIVATE_ISOLATED)] : []),
      ],
    });
    const wanted = zoneCount ?? availabilityZones?.length ?? 2;
    if (vpc.publicSubnets.length < wanted) {
      throw new Error(
        `There are ${vpc.publicSubnets.length} availability zones to choose from, but zoneCount is ${wanted}. Without account ` +
          `and region a stack has two; name the zones instead (availabilityZones, such as ["eu-central-1a", "eu-central-1b", "eu-central-1c"]).`,
      );
    }
    const flowLog = vpc.addFlowLog('FlowLog');
    flowLog.logGroup?.applyRemovalPolicy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE);
    // Every byte a partner moves goes between the task and S3; through a gateway endpoint that is free and private.
    const s3Endpoint = vpc.addGatewayEndpoint('S3', { service: GatewayVpcEndpointAwsService.S3 });
    const dynamoDbEndpoint = vpc.addGatewayEndpoint('DynamoDb', {
      service: GatewayVpcEndpointAwsService.DYNAMODB,
    });
    dynamoDbEndpoint.addToPolicy(
      new PolicyStatement({
        principals: [new AnyPrincipal()],
        actions: ['dynamodb:*'],
        resources: ['*'],
        conditions: { StringEquals: { 'aws:ResourceAccount': Aws.ACCOUNT_ID } },
      }),
    );
    this.taskPrerequisites.add(s3Endpoint, vpc.internetConnectivityEstablished);
    const network: ExistingNetwork = {
      vpc: vpc as IVpc,
      loadBalancerSubnets: vpc.publicSubnets,
      taskSubnets: taskEgress === 'endpoints' ? vpc.isolatedSubnets : vpc.publicSubnets,
      assignPublicIp: taskEgress === 'public-addresses',
    };
    return { network, s3Endpoint };
  }

  #zones(
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
      elasticIp: internetFacing ? (elasticIps?.[index] ?? this.#makeElasticIp(index + 1, subnet)) : undefined,
    }));
  }

  #makeElasticIp(zone: number, subnet: ISubnet): ElasticIp {
    const eip = new CfnEIP(this, `ElasticIp${zone}`, { domain: 'vpc' });
    // Partners' firewalls name it: an address released with a deleted stack cannot be recovered.
    // After a rolled-back creation it is unused, and the default quota of a region is five.
    eip.applyRemovalPolicy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE);
    // CloudFormation user guide, DependsOn: an Elastic IP of a VPC with an internet gateway waits for the gateway's attachment.
    eip.node.addDependency(subnet.internetConnectivityEstablished);
    Tags.of(eip).add('Name', `${this.node.path}/${zone}`);
    return { allocationId: eip.attrAllocationId, address: eip.attrPublicIp };
  }

  #addInterfaceEndpoints(): void {
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
      const endpoint = this.vpc.addInterfaceEndpoint(name, {
        service,
        subnets: { subnets: [...this.taskSubnets] },
        securityGroups: [securityGroup],
        open: false,
      });
      this.taskPrerequisites.add(endpoint);
    }
  }
}
