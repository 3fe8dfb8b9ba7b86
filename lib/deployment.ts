/** One environment of cdk.json, checked as a whole before anything is made, and turned into the construct's properties. */
import { Duration } from 'aws-cdk-lib';
import { type IPeer, Peer, Subnet, Vpc } from 'aws-cdk-lib/aws-ec2';
import { CpuArchitecture } from 'aws-cdk-lib/aws-ecs';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import { HostedZone } from 'aws-cdk-lib/aws-route53';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { z } from 'zod';
import type { FtpGatewayProps } from './ftp-gateway-props.ts';
import { PassivePortRange } from './passive-port-range.ts';

// A command line (-c slots=3) gives text where cdk.json gives numbers and booleans.
const count = z.coerce.number().int().positive();
const flag = z.union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')]);
const cidr = z.union([z.cidrv4(), z.cidrv6()], { error: 'expected a CIDR such as 203.0.113.0/24' });
const secretArn = z
  .string()
  .regex(/^arn:[\w-]+:secretsmanager:[\w-]+:\d{12}:secret:.+-\w{6}$/, 'expected the full ARN of a secret');

const passivePorts = z.string().transform((text, context) => {
  try {
    return PassivePortRange.parse(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
    return z.NEVER;
  }
});

const zone = z.strictObject({
  availabilityZone: z.string(),
  loadBalancerSubnetId: z.string().regex(/^subnet-/),
  loadBalancerSubnetCidr: z.cidrv4(),
  taskSubnetId: z.string().regex(/^subnet-/),
});

const deploymentSchema = z.strictObject({
  account: z
    .string()
    .regex(/^\d{12}$/, 'expected the 12 digits of an AWS account, as a string')
    .optional(),
  region: z.string().optional(),
  passivePorts: passivePorts.default(() => PassivePortRange.of(50_000, 50_007)),
  slots: count.optional(),
  acceptPassivePortMove: flag.default(false),
  internetFacing: flag.default(true),
  clientCidrs: z.array(cidr).min(1).default(['0.0.0.0/0']),
  zoneCount: count.max(3).default(2),
  taskEgress: z.enum(['endpoints', 'public-addresses']).default('endpoints'),
  network: z
    .strictObject({
      vpcId: z.string().regex(/^vpc-/),
      zones: z.array(zone).min(1),
      assignPublicIp: flag.default(false),
    })
    .optional(),
  elasticIps: z
    .array(z.strictObject({ allocationId: z.string().regex(/^eipalloc-/), address: z.ipv4() }))
    .optional(),
  domain: z
    .strictObject({
      zoneName: z.string(),
      hostedZoneId: z.string(),
      recordName: z.string().optional(),
    })
    .optional(),
  bucketName: z.string().optional(),
  prefix: z.string().default(''),
  resumeWindowMinutes: z.coerce.number().int().nonnegative().default(0),
  fileTimes: z.enum(['upload', 'client']).optional(),
  usersSecretArn: secretArn.optional(),
  tls: z
    .strictObject({
      certificateSecretArn: secretArn,
      mode: z.enum(['optional', 'required']).default('required'),
      implicit: flag.default(false),
    })
    .optional(),
  filenameEncoding: z.enum(['utf-8', 'windows-1252']).optional(),
  pathnameBackslash: z.enum(['literal', 'separator']).optional(),
  cpu: count.default(512),
  memoryMiB: count.default(1024),
  cpuArchitecture: z.enum(['x86_64', 'arm64']).default('x86_64'),
  stopTimeoutSeconds: count.default(120),
  logRetentionDays: z.coerce
    .number()
    .pipe(z.enum(RetentionDays, { error: 'CloudWatch Logs keeps 1, 3, 5, 7, 14, 30, 60, 90, 120, ... days' }))
    .default(RetentionDays.THREE_MONTHS),
  alarmEmail: z.email().optional(),
});

export type Deployment = z.infer<typeof deploymentSchema>;

/** Every name an environment may have; the app takes `-c name=value` for each. */
export const deploymentKeys: readonly string[] = Object.keys(deploymentSchema.shape);

/**
 * Checks what cdk.json and the command line say about an environment. Names that begin with `//` are comments.
 * @throws one error that lists every problem.
 */
export function parseDeployment(environment: string, values: Readonly<Record<string, unknown>>): Deployment {
  const result = deploymentSchema.safeParse(withoutComments(values));
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) =>
    issue.code === 'unrecognized_keys'
      ? `  ${issue.keys.join(', ')}: there is no such setting; there are ${deploymentKeys.join(', ')}`
      : `  ${issue.path.join('.')}: ${issue.message}`,
  );
  throw new Error(`The environment "${environment}" in cdk.json needs attention:\n${problems.join('\n')}`);
}

function withoutComments(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutComments);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([name]) => !name.startsWith('//'));
  return Object.fromEntries(entries.map(([name, inner]) => [name, withoutComments(inner)]));
}

/** The construct's properties; what exists already is imported by name, so that no account is asked at synth. */
export function gatewayProps(scope: Construct, deployment: Deployment): FtpGatewayProps {
  const { tls, domain, bucketName, usersSecretArn } = deployment;
  return {
    passivePorts: deployment.passivePorts,
    slots: deployment.slots,
    internetFacing: deployment.internetFacing,
    clients: deployment.clientCidrs.map(peer),
    zoneCount: deployment.zoneCount,
    taskEgress: deployment.taskEgress,
    network: existingNetwork(scope, deployment),
    elasticIps: deployment.elasticIps,
    domain: domain && {
      zone: HostedZone.fromHostedZoneAttributes(scope, 'Zone', domain),
      recordName: domain.recordName,
    },
    bucket: bucketName === undefined ? undefined : Bucket.fromBucketName(scope, 'ExistingBucket', bucketName),
    prefix: deployment.prefix,
    resumeWindow: Duration.minutes(deployment.resumeWindowMinutes),
    fileTimes: deployment.fileTimes,
    users:
      usersSecretArn === undefined
        ? undefined
        : Secret.fromSecretCompleteArn(scope, 'ExistingUsers', usersSecretArn),
    tls: tls && {
      certificate: Secret.fromSecretCompleteArn(scope, 'Certificate', tls.certificateSecretArn),
      mode: tls.mode,
      implicit: tls.implicit,
    },
    filenameEncoding: deployment.filenameEncoding,
    pathnameBackslash: deployment.pathnameBackslash,
    cpu: deployment.cpu,
    memoryMiB: deployment.memoryMiB,
    cpuArchitecture: deployment.cpuArchitecture === 'arm64' ? CpuArchitecture.ARM64 : CpuArchitecture.X86_64,
    stopTimeout: Duration.seconds(deployment.stopTimeoutSeconds),
    logRetention: deployment.logRetentionDays,
  };
}

function peer(text: string): IPeer {
  return text.includes(':') ? Peer.ipv6(text) : Peer.ipv4(text);
}

function existingNetwork(scope: Construct, { network }: Deployment): FtpGatewayProps['network'] {
  if (network === undefined) return undefined;
  const { vpcId, zones, assignPublicIp } = network;
  return {
    vpc: Vpc.fromVpcAttributes(scope, 'ExistingVpc', {
      vpcId,
      availabilityZones: zones.map(({ availabilityZone }) => availabilityZone),
      // CDK looks for subnets of these kinds before it lets a load balancer name its own.
      publicSubnetIds: zones.map(({ loadBalancerSubnetId }) => loadBalancerSubnetId),
      privateSubnetIds: zones.map(({ taskSubnetId }) => taskSubnetId),
    }),
    loadBalancerSubnets: zones.map((zone, index) =>
      Subnet.fromSubnetAttributes(scope, `LoadBalancerSubnet${index + 1}`, {
        subnetId: zone.loadBalancerSubnetId,
        availabilityZone: zone.availabilityZone,
        ipv4CidrBlock: zone.loadBalancerSubnetCidr,
      }),
    ),
    taskSubnets: zones.map((zone, index) =>
      Subnet.fromSubnetAttributes(scope, `TaskSubnet${index + 1}`, {
        subnetId: zone.taskSubnetId,
        availabilityZone: zone.availabilityZone,
      }),
    ),
    assignPublicIp,
  };
}
