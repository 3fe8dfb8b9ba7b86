/** The environment every task gets, as named in `src/config/variables.ts`. Pure; a slot adds its own PASSIVE_PORTS. */
import type { IBucket } from 'aws-cdk-lib/aws-s3';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { FilenameEncoding, FtpGatewayProps, FtpTls, PathnameBackslash } from './ftp-gateway-props.ts';
import { type GatewaySettings, settingsEnvironment } from './gateway-settings.ts';
import type { ControlPort } from './load-balancer.ts';
import type { LoadBalancerZone } from './network.ts';

export type TaskEnvironmentProps = {
  readonly controlPorts: readonly ControlPort[];
  readonly operationsPort: number;
  readonly zones: readonly LoadBalancerZone[];
  readonly bucket: IBucket;
  readonly prefix: string | undefined;
  readonly users: ISecret;
  readonly tls: FtpTls | undefined;
  readonly filenameEncoding: FilenameEncoding | undefined;
  readonly pathnameBackslash: PathnameBackslash | undefined;
  /** Where the tasks read the certificate; undefined without TLS. */
  readonly certificateSecret: ISecret | undefined;
  readonly memoryMiB: number;
  readonly resumeWindowMinutes: number;
  readonly fileTimes: FtpGatewayProps['fileTimes'];
  readonly drainSeconds: number;
  readonly metricsNamespace: string;
  readonly settings: GatewaySettings;
};

/** The limit of transfer buffers of a task: half of its memory. */
export function transferMemoryBytes(memoryMiB: number): number {
  return Math.floor(memoryMiB / 2) * 1024 ** 2;
}

/** The environment variables of every task. Throws for settings that the gateway would reject. */
export function taskEnvironment(props: TaskEnvironmentProps): Readonly<Record<string, string>> {
  const containerPort = (name: ControlPort['name']) =>
    props.controlPorts.find((port) => port.name === name)?.containerPort;
  const implicitTlsPort = containerPort('ImplicitTls');
  return {
    LISTEN_ADDRESS: '0.0.0.0',
    CONTROL_PORT: String(containerPort('Control')),
    ...(implicitTlsPort !== undefined && { IMPLICIT_TLS_PORT: String(implicitTlsPort) }),
    ADVERTISED_ADDRESS: advertisedAddress(props.zones),
    PROXY_PROTOCOL: 'v2',
    // The load balancer preserves client addresses, so connections come from anywhere. The security group of the tasks admits
    // none but the load balancer's.
    PROXY_PROTOCOL_FROM: '0.0.0.0/0,::/0',
    // A task's own connections leave from another address than the one the client reached; which firewalls of clients block.
    ACTIVE_MODE: 'off',
    // Health checks come from the load balancer, in the network.
    OPERATIONS_ADDRESS: '0.0.0.0',
    OPERATIONS_PORT: String(props.operationsPort),
    // A transfer fails if its 227 reply names a port that the load balancer does not serve yet.
    READY_AFTER_PROBES: 'on',
    S3_BUCKET: props.bucket.bucketName,
    ...(props.prefix !== undefined && props.prefix !== '' && { S3_PREFIX: props.prefix }),
    USERS: `secretsmanager:${props.users.secretArn}`,
    ...(props.certificateSecret === undefined
      ? { TLS: 'off' }
      : {
          TLS: props.tls?.mode ?? 'required',
          TLS_CERTIFICATE: `secretsmanager:${props.certificateSecret.secretArn}`,
          ...(props.tls?.minimumVersion !== undefined && { TLS_MIN_VERSION: props.tls.minimumVersion }),
          ...(props.tls?.dataResumption !== undefined && { TLS_DATA_RESUMPTION: props.tls.dataResumption }),
        }),
    ...(props.filenameEncoding !== undefined && { FILENAME_ENCODING: props.filenameEncoding }),
    ...(props.pathnameBackslash !== undefined && { PATHNAME_BACKSLASH: props.pathnameBackslash }),
    // The rest is for V8, TLS and the sockets.
    TRANSFER_MEMORY_MIB: String(transferMemoryBytes(props.memoryMiB) / 1024 ** 2),
    ...(props.resumeWindowMinutes > 0 && { RESUME_WINDOW_MINUTES: String(props.resumeWindowMinutes) }),
    ...(props.fileTimes !== undefined && { FILE_TIMES: props.fileTimes }),
    DRAIN_SECONDS: String(props.drainSeconds),
    METRICS_NAMESPACE: props.metricsNamespace,
    ...settingsEnvironment(props.settings),
  };
}

// The PROXY header names the node the client came through by its private address, which lies in the node's subnet. An
// internal load balancer's nodes have no other address, and that one is advertised as it is.
function advertisedAddress(zones: readonly LoadBalancerZone[]): string {
  const pairs = zones.flatMap(({ subnetCidr, elasticIp }) =>
    elasticIp === undefined ? [] : [`${subnetCidr}=${elasticIp.address}`],
  );
  return pairs.length === 0 ? 'auto' : pairs.join(',');
}
