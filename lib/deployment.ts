/** One environment of cdk.json, validated as a whole, and turned into the construct's properties. */
import { Annotations, Duration } from 'aws-cdk-lib';
import { Certificate } from 'aws-cdk-lib/aws-certificatemanager';
import { type IPeer, Peer, Subnet, Vpc } from 'aws-cdk-lib/aws-ec2';
import { CpuArchitecture } from 'aws-cdk-lib/aws-ecs';
import { Key } from 'aws-cdk-lib/aws-kms';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import { HostedZone } from 'aws-cdk-lib/aws-route53';
import { Bucket, type IBucket } from 'aws-cdk-lib/aws-s3';
import { type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { z } from 'zod';
import { describeProblems } from './deployment-problems.ts';
import type { FtpGatewayProps } from './ftp-gateway-props.ts';
import { PassivePortRange } from './passive-port-range.ts';

// A command line (-c slots=3) gives text where cdk.json gives numbers and booleans.
const count = z.coerce.number().int().positive();
const flag = z.union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')]);
// The load balancer has IPv4 addresses only.
const cidr = z.cidrv4({ error: 'expected an IPv4 CIDR such as 203.0.113.0/24' });
const seconds = count;
const keyArn = z
  .string()
  .regex(/^arn:[\w-]+:kms:[\w-]+:\d{12}:key\/[\w-]+$/, 'expected the ARN of a KMS key')
  .optional();
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

const slotCounts = z.union([count, z.strictObject({ minimum: count, maximum: count.optional() })], {
  error: 'expected a number, or { "minimum": 2, "maximum": 4 }',
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
  portsPerSlot: count.optional(),
  slots: slotCounts.optional(),
  acceptPassivePortMove: flag.default(false),
  internetFacing: flag.default(true),
  clientCidrs: z.array(cidr).optional(),
  clientPrefixLists: z
    .array(z.string().regex(/^pl-/, 'expected the id of a prefix list, pl-...'))
    .default([]),
  zoneCount: count.max(3).optional(),
  availabilityZones: z.array(z.string()).min(1).max(3).optional(),
  vpcCidr: z.cidrv4().optional(),
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
  deletionProtection: flag.default(false),
  bucketName: z.string().optional(),
  bucketKmsKeyArn: keyArn,
  prefix: z.string().default(''),
  resumeWindowMinutes: z.coerce.number().int().nonnegative().default(0),
  fileTimes: z.enum(['upload', 'client']).optional(),
  usersSecretArn: secretArn.optional(),
  usersSecretKmsKeyArn: keyArn,
  tls: z
    .union([
      z.literal('off'),
      z
        .strictObject({
          certificateSecretArn: secretArn.optional(),
          certificateSecretKmsKeyArn: keyArn,
          acmCertificateArn: z
            .string()
            .regex(/^arn:[\w-]+:acm:[\w-]+:\d{12}:certificate\/[\w-]+$/, 'expected the ARN of a certificate')
            .optional(),
          mode: z.enum(['optional', 'required']).default('required'),
          implicit: flag.default(false),
          minimumVersion: z.enum(['TLSv1.2', 'TLSv1.3']).optional(),
          dataResumption: z.enum(['optional', 'required', 'off']).optional(),
        })
        .refine(
          (tls) => tls.certificateSecretArn === undefined || tls.acmCertificateArn === undefined,
          'give certificateSecretArn or acmCertificateArn, not both',
        ),
    ])
    .optional(),
  limits: z
    .strictObject({
      sessions: count.optional(),
      sessionsPerAddress: count.optional(),
      sessionsPerUser: count.optional(),
      unauthenticated: count.optional(),
      unauthenticatedPerAddress: count.optional(),
      loginAttempts: count.optional(),
      loginFailures: count.optional(),
    })
    .optional(),
  commands: z
    .strictObject({ modeZ: flag.optional(), hash: flag.optional(), listRecursive: flag.optional() })
    .optional(),
  filenameEncoding: z.enum(['utf-8', 'windows-1252']).optional(),
  pathnameBackslash: z.enum(['literal', 'separator']).optional(),
  timeouts: z
    .strictObject({
      loginSeconds: seconds.optional(),
      idleSeconds: seconds.optional(),
      dataConnectionSeconds: seconds.optional(),
      passivePortWaitSeconds: seconds.optional(),
      stallSeconds: seconds.optional(),
      loginBanSeconds: seconds.optional(),
      reloadIntervalSeconds: seconds.optional(),
    })
    .optional(),
  drain: z
    .strictObject({
      propagationSeconds: seconds.optional(),
      idleSeconds: seconds.optional(),
      maximumHours: count.optional(),
    })
    .optional(),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).optional(),
  variables: z.record(z.string(), z.string()).optional(),
  cpu: count.default(512),
  memoryMiB: count.default(1024),
  cpuArchitecture: z.enum(['x86_64', 'arm64']).default('x86_64'),
  stopTimeoutSeconds: count.default(120),
  logRetentionDays: z.coerce
    .number()
    .pipe(z.enum(RetentionDays, { error: 'CloudWatch Logs keeps 1, 3, 5, 7, 14, 30, 60, 90, 120, ... days' }))
    .default(RetentionDays.THREE_MONTHS),
  alarmEmail: z.email().optional(),
  expectedPartners: z.record(z.string(), count).default({}),
});

export type Deployment = z.infer<typeof deploymentSchema>;

/** Every name an environment may have; the app takes `-c name=value` for each. */
export const deploymentKeys: readonly string[] = Object.keys(deploymentSchema.shape);

/**
 * Validates an environment of cdk.json with the settings of the command line, which take precedence. Names that begin with
 * `//` are comments.
 * @throws one error that lists every problem, each with where the value comes from.
 */
export function parseDeployment(
  environment: string,
  values: Readonly<Record<string, unknown>>,
  commandLine: Readonly<Record<string, unknown>> = {},
): Deployment {
  const result = deploymentSchema.safeParse({ ...(withoutComments(values) as object), ...commandLine });
  if (result.success) return result.data;
  throw new Error(describeProblems(deploymentSchema, result.error.issues, { environment, commandLine }));
}

function withoutComments(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutComments);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([name]) => !name.startsWith('//'));
  return Object.fromEntries(entries.map(([name, inner]) => [name, withoutComments(inner)]));
}

/** The construct's properties; existing resources are imported by name, so that synth needs no account. */
export function gatewayProps(scope: Construct, deployment: Deployment): FtpGatewayProps {
  const { domain } = deployment;
  return {
    passivePorts: deployment.passivePorts,
    portsPerSlot: deployment.portsPerSlot,
    slots: deployment.slots,
    internetFacing: deployment.internetFacing,
    clients: clients(deployment),
    zoneCount: deployment.zoneCount,
    availabilityZones: deployment.availabilityZones,
    vpcCidr: deployment.vpcCidr,
    taskEgress: deployment.taskEgress,
    network: existingNetwork(scope, deployment),
    elasticIps: deployment.elasticIps,
    domain: domain && {
      zone: HostedZone.fromHostedZoneAttributes(scope, 'Zone', domain),
      recordName: domain.recordName,
    },
    deletionProtection: deployment.deletionProtection,
    bucket: existingBucket(scope, deployment),
    prefix: deployment.prefix,
    resumeWindow: Duration.minutes(deployment.resumeWindowMinutes),
    fileTimes: deployment.fileTimes,
    filenameEncoding: deployment.filenameEncoding,
    pathnameBackslash: deployment.pathnameBackslash,
    users: existingSecret(scope, 'ExistingUsers', deployment.usersSecretArn, deployment.usersSecretKmsKeyArn),
    tls: tlsProps(scope, deployment),
    ...settings(deployment),
    cpu: deployment.cpu,
    memoryMiB: deployment.memoryMiB,
    cpuArchitecture: deployment.cpuArchitecture === 'arm64' ? CpuArchitecture.ARM64 : CpuArchitecture.X86_64,
    stopTimeout: Duration.seconds(deployment.stopTimeoutSeconds),
    logRetention: deployment.logRetentionDays,
    expectedPartners: Object.fromEntries(
      Object.entries(deployment.expectedPartners).map(([name, hours]) => [name, Duration.hours(hours)]),
    ),
  };
}

function clients({ clientCidrs, clientPrefixLists }: Deployment): readonly IPeer[] {
  const cidrs = clientCidrs ?? (clientPrefixLists.length === 0 ? ['0.0.0.0/0'] : []);
  return [...cidrs.map((text) => Peer.ipv4(text)), ...clientPrefixLists.map((list) => Peer.prefixList(list))];
}

function existingBucket(scope: Construct, { bucketName, bucketKmsKeyArn }: Deployment): IBucket | undefined {
  if (bucketName === undefined) return undefined;
  return Bucket.fromBucketAttributes(scope, 'ExistingBucket', {
    bucketName,
    ...(bucketKmsKeyArn !== undefined && {
      encryptionKey: Key.fromKeyArn(scope, 'BucketKey', bucketKmsKeyArn),
    }),
  });
}

function existingSecret(
  scope: Construct,
  id: string,
  secretArn: string | undefined,
  keyArn: string | undefined,
): ISecret | undefined {
  if (secretArn === undefined) return undefined;
  return Secret.fromSecretAttributes(scope, id, {
    secretCompleteArn: secretArn,
    ...(keyArn !== undefined && { encryptionKey: Key.fromKeyArn(scope, `${id}Key`, keyArn) }),
  });
}

function tlsProps(scope: Construct, { tls }: Deployment): FtpGatewayProps['tls'] {
  if (tls === undefined || tls === 'off') return tls;
  const { certificateSecretArn, certificateSecretKmsKeyArn, acmCertificateArn, ...rest } = tls;
  return {
    ...rest,
    certificate:
      acmCertificateArn === undefined
        ? existingSecret(scope, 'Certificate', certificateSecretArn, certificateSecretKmsKeyArn)
        : Certificate.fromCertificateArn(scope, 'Certificate', acmCertificateArn),
  };
}

function settings({ limits, commands, timeouts, drain, logLevel, variables }: Deployment) {
  const duration = (value: number | undefined) => (value === undefined ? undefined : Duration.seconds(value));
  return {
    limits,
    commands,
    timeouts: timeouts && {
      login: duration(timeouts.loginSeconds),
      idle: duration(timeouts.idleSeconds),
      dataConnection: duration(timeouts.dataConnectionSeconds),
      passivePortWait: duration(timeouts.passivePortWaitSeconds),
      stall: duration(timeouts.stallSeconds),
      loginBan: duration(timeouts.loginBanSeconds),
      reloadInterval: duration(timeouts.reloadIntervalSeconds),
    },
    drain: drain && {
      propagation: duration(drain.propagationSeconds),
      idle: duration(drain.idleSeconds),
      maximum: drain.maximumHours === undefined ? undefined : Duration.hours(drain.maximumHours),
    },
    logLevel,
    environment: variables,
  };
}

function existingNetwork(scope: Construct, { network }: Deployment): FtpGatewayProps['network'] {
  if (network === undefined) return undefined;
  const { vpcId, zones, assignPublicIp } = network;
  // Nothing here adds routes to subnets that exist, which is all that CDK needs their route tables for.
  Annotations.of(scope).acknowledgeWarning(
    '@aws-cdk/aws-ec2:noSubnetRouteTableId',
    'No routes are added to existing subnets.',
  );
  return {
    vpc: Vpc.fromVpcAttributes(scope, 'ExistingVpc', {
      vpcId,
      availabilityZones: zones.map(({ availabilityZone }) => availabilityZone),
      // CDK looks for subnets of these types even when a load balancer names its own.
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
