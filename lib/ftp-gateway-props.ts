/** Properties of the gateway. Every property has a working default. */
import type { Duration } from 'aws-cdk-lib';
import type { ICertificate } from 'aws-cdk-lib/aws-certificatemanager';
import type { IPeer } from 'aws-cdk-lib/aws-ec2';
import type { ContainerImage, CpuArchitecture } from 'aws-cdk-lib/aws-ecs';
import type { RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { IHostedZone } from 'aws-cdk-lib/aws-route53';
import type { IBucket } from 'aws-cdk-lib/aws-s3';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import type { DeployedPlan } from './deployed-plan.ts';
import type { GatewaySettings } from './gateway-settings.ts';
import type { ElasticIp, ExistingNetwork, TaskEgress } from './network.ts';
import type { SlotCounts } from './passive-port-plan.ts';
import type { PassivePortRange } from './passive-port-range.ts';
import type { HomeLocation } from './bucket.ts';

export type FtpTls = {
  /**
   * A secret of the form `{"certificate":"PEM chain","privateKey":"PEM"}`, reloaded by the running tasks; or an exportable
   * certificate of AWS Certificate Manager, which a function exports into such a secret, each renewal included.
   * @default - an exportable certificate for `domain`, validated by DNS records in its zone; without a domain a self-signed one,
   * made once and kept
   */
  readonly certificate?: ISecret | ICertificate | undefined;
  /**
   * `required` refuses a login in clear text; `optional` leaves it to the client.
   * @default 'required'
   */
  readonly mode?: 'optional' | 'required' | undefined;
  /**
   * Whether port 990 is served too, with TLS from the first byte. It takes a listener and one of each slot's five target
   * groups, so that a slot has at most 3 passive ports.
   * @default false
   */
  readonly implicit?: boolean | undefined;
  /**
   * @default - the gateway's, TLSv1.2
   */
  readonly minimumVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined;
  /**
   * Whether data connections may, must or cannot resume the TLS session of the control connection.
   * @default - the gateway's, optional
   */
  readonly dataResumption?: 'optional' | 'required' | 'off' | undefined;
};

export type FilenameEncoding = 'utf-8' | 'windows-1252';
export type PathnameBackslash = 'literal' | 'separator';

export type FtpDomain = {
  readonly zone: IHostedZone;
  /**
   * @default - the zone's own name
   */
  readonly recordName?: string | undefined;
};

export type FtpGatewayProps = GatewaySettings & {
  /**
   * The ports of passive data connections. Listeners, target groups, slots, security groups, port mappings, the tasks'
   * environment and the outputs follow from it. A port serves many transfers; it is not one transfer.
   * @default PassivePortRange.of(50000, 50007)
   */
  readonly passivePorts?: PassivePortRange | undefined;
  /**
   * Ports that a slot owns, at most 4 (3 with implicit TLS). Slots are filled in order and the last one takes the remainder.
   * @default 2
   */
  readonly portsPerSlot?: number | undefined;
  /**
   * How many slots run; the others of the range stand by, with a service of desired count 0 that costs nothing. A number is
   * a minimum.
   * @default - 2, or the one that a smaller range carries
   */
  readonly slots?: number | SlotCounts | undefined;
  /**
   * The plan of the last deployment (`parseDeployedPlan` reads its `PassivePortPlan` output). Slots keep their zones, those that
   * run outside of a new range are kept until they have been stopped, and a range that would give a port to another slot
   * under running sessions is refused.
   * @default - not checked
   */
  readonly deployedPlan?: DeployedPlan | undefined;

  /**
   * @default - a VPC with gateway endpoints for S3 and DynamoDB
   */
  readonly network?: ExistingNetwork | undefined;
  /**
   * Zones of the VPC made here; ignored when a network is given.
   * @default 2
   */
  readonly zoneCount?: number | undefined;
  /**
   * Names of the zones of the VPC made here, in an order that is to stay; ignored when a network is given.
   * @default - the first `zoneCount` zones of the account
   */
  readonly availabilityZones?: readonly string[] | undefined;
  /**
   * IPv4 addresses of the VPC made here, /22 or larger; ignored when a network is given.
   * @default '10.21.0.0/22'
   */
  readonly vpcCidr?: string | undefined;
  /**
   * How tasks of the VPC made here reach AWS; ignored when a network is given.
   * @default 'endpoints'
   */
  readonly taskEgress?: TaskEgress | undefined;
  /**
   * Whether clients come from the internet; else only from the VPC and the networks connected to it.
   * @default true
   */
  readonly internetFacing?: boolean | undefined;
  /**
   * One per load balancer subnet, in the same order.
   * @default - made, and kept when the stack is deleted; none for an internal gateway
   */
  readonly elasticIps?: readonly ElasticIp[] | undefined;
  /**
   * Who may connect: IPv4 networks and prefix lists.
   * @default - any IPv4 address
   */
  readonly clients?: readonly IPeer[] | undefined;
  /**
   * A name for the gateway. With it FTPS is on, with a certificate for that name, unless `tls` says otherwise.
   * @default - the load balancer's own name
   */
  readonly domain?: FtpDomain | undefined;
  /**
   * Whether the load balancer refuses to be deleted, until a deployment switches this off.
   * @default false
   */
  readonly deletionProtection?: boolean | undefined;

  /**
   * Where users who name no bucket have their home.
   * @default - a bucket is made: retained, encrypted, TLS only, versioned
   */
  readonly bucket?: IBucket | undefined;
  /**
   * The part of the bucket that homes may lie in. Empty, or ends in `/`.
   * @default - all of it
   */
  readonly prefix?: string | undefined;
  /**
   * Other buckets, or parts of them, that users' homes may lie in.
   * @default - none
   */
  readonly otherHomes?: readonly HomeLocation[] | undefined;
  /**
   * How long after its last part an interrupted upload of 16 MiB or more may be resumed by the user who started it: whole
   * minutes, at most 7 days, and at most 2 in the bucket made here, which then deletes unfinished uploads. A given bucket
   * needs such a lifecycle rule with at least the same delay.
   * @default Duration.minutes(0): nothing of an interrupted upload is kept
   */
  readonly resumeWindow?: Duration | undefined;
  /**
   * Which time files show: that of their `upload`, which clients cannot set; or the one that the `client` set, which costs a
   * HeadObject for each file of a listing.
   * @default 'upload'
   */
  readonly fileTimes?: 'upload' | 'client' | undefined;
  /**
   * The users file as a secret: `{"users":[...]}`.
   * @default - made, with no users
   */
  readonly users?: ISecret | undefined;
  /**
   * @default - with a domain, required, with a certificate for it; else optional, with a self-signed certificate and a warning at
   * synth where anyone may connect
   */
  readonly tls?: FtpTls | 'off' | undefined;

  /**
   * Character encoding of names until the client sends OPTS UTF8: `windows-1252` (Latin-1) is for clients without UTF-8
   * support.
   * @default 'utf-8'
   */
  readonly filenameEncoding?: FilenameEncoding | undefined;
  /**
   * What a backslash in a pathname is: a character of the name, or the same as `/`, for devices that send Windows pathnames.
   * @default 'literal'
   */
  readonly pathnameBackslash?: PathnameBackslash | undefined;

  /**
   * CPU units of a task; 1024 is one vCPU. Each vCPU above the first is used by one more worker process (`WORKERS`), which needs a
   * passive port of its own: `portsPerSlot` is at least the number of vCPUs.
   * @default 512
   */
  readonly cpu?: number | undefined;
  /**
   * Memory of a task in MiB; half of it is the budget of transfer buffers.
   * @default 1024
   */
  readonly memoryMiB?: number | undefined;
  /**
   * @default CpuArchitecture.X86_64
   */
  readonly cpuArchitecture?: CpuArchitecture | undefined;
  /**
   * @default - built from this package's Dockerfile when deployed
   */
  readonly image?: ContainerImage | undefined;
  /**
   * From SIGTERM to SIGKILL, 20 to 120 seconds. Running transfers have 10 seconds less to finish.
   * @default Duration.seconds(120)
   */
  readonly stopTimeout?: Duration | undefined;

  /**
   * Where alarms go.
   * @default - a topic is made; subscribe to it
   */
  readonly alarmTopic?: ITopic | undefined;
  /**
   * Users who are expected to upload: an alarm for each whose last completed upload is longer ago than this, in whole hours up
   * to 168. Each is a custom metric.
   * @default - none
   */
  readonly expectedPartners?: Readonly<Record<string, Duration>> | undefined;
  /**
   * @default RetentionDays.THREE_MONTHS
   */
  readonly logRetention?: RetentionDays | undefined;
};
