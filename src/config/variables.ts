/**
 * Every environment variable of the gateway: name, default, meaning, and how its text is read. The type of the
 * configuration, `--help` and the README's table are all made from this list.
 */
import { parseAdvertisedAddress } from '../net/advertised-address.ts';
import {
  certificateSource,
  hours,
  httpUrl,
  ipAddress,
  listeningPort,
  mebibytes,
  metricsNamespace,
  minutes,
  objectPrefix,
  oneOf,
  portRange,
  seconds,
  text,
  trueOrFalse,
  usersSource,
  wholeNumber,
} from './values.ts';

export type Variable<Value> = {
  readonly name: string;
  /** `required`, or the text that holds where the variable is not set, or neither: the value is then undefined. */
  readonly presence: 'required' | 'optional' | { readonly default: string };
  /** One sentence, which may be Markdown no further than `code`. */
  readonly meaning: string;
  /** Throws an Error that says what is allowed and what was got. */
  parse(text: string): Value;
};

type Parse<Value> = (text: string) => Value;

function required<Value>(name: string, parse: Parse<Value>, meaning: string): Variable<Value> {
  return { name, presence: 'required', meaning, parse };
}

function optional<Value>(name: string, parse: Parse<Value>, meaning: string): Variable<Value | undefined> {
  return { name, presence: 'optional', meaning, parse };
}

function defaulted<Value>(
  name: string,
  value: string,
  parse: Parse<Value>,
  meaning: string,
): Variable<Value> {
  return { name, presence: { default: value }, meaning, parse };
}

const day = 86_400;
const anyCount = wholeNumber(1, 1_000_000);

/** By the name of the configuration's field; in the order in which they are shown. */
export const variables = {
  listenAddress: defaulted('LISTEN_ADDRESS', '0.0.0.0', ipAddress, 'Address to listen on.'),
  controlPort: defaulted('CONTROL_PORT', '21', listeningPort, 'FTP control port; 0 takes a free one.'),
  implicitTlsPort: optional(
    'IMPLICIT_TLS_PORT',
    listeningPort,
    'FTPS control port with TLS from the first byte (usually 990).',
  ),
  passivePorts: defaulted(
    'PASSIVE_PORTS',
    '50000-50003',
    portRange,
    'Ports of passive data connections, both ends inclusive; each carries many transfers. 0 takes a free one.',
  ),
  advertisedAddress: defaulted(
    'ADVERTISED_ADDRESS',
    'auto',
    parseAdvertisedAddress,
    'IPv4 address in 227 replies: `auto` (the one the client reached), an address, or one for each subnet of a load balancer, `10.0.0.0/24=203.0.113.10,10.0.1.0/24=203.0.113.11`.',
  ),
  proxyProtocol: defaulted(
    'PROXY_PROTOCOL',
    'off',
    oneOf(['off', 'v2']),
    'Whether a load balancer puts a PROXY header in front of control connections: `off` or `v2`.',
  ),
  s3Bucket: optional('S3_BUCKET', text, 'Bucket of users who name no home of their own.'),
  s3Prefix: defaulted(
    'S3_PREFIX',
    '',
    objectPrefix,
    'Key prefix of users who name no home of their own, ending in `/`.',
  ),
  s3Endpoint: optional(
    'S3_ENDPOINT',
    httpUrl,
    'Address of an S3-compatible server; unset for Amazon S3. Credentials and region come by the AWS default chain.',
  ),
  s3ForcePathStyle: defaulted(
    'S3_FORCE_PATH_STYLE',
    'false',
    trueOrFalse,
    'Whether the bucket is named in the path and not in the host name: `true` or `false`.',
  ),
  users: required('USERS', usersSource, 'Who may log in: `file:PATH` or `secretsmanager:ARN`.'),
  usersRefreshMs: defaulted(
    'USERS_REFRESH_SECONDS',
    '60',
    seconds(1, day),
    'How often users and certificates in Secrets Manager are read again.',
  ),
  tls: defaulted(
    'TLS',
    'off',
    oneOf(['off', 'optional', 'required']),
    '`off`, `optional` (the client chooses) or `required` (no login and no data in clear).',
  ),
  tlsCertificate: optional(
    'TLS_CERTIFICATE',
    certificateSource,
    'Certificate chain and private key: `file:CERT.pem,KEY.pem` or `secretsmanager:ARN`.',
  ),
  tlsMinVersion: defaulted(
    'TLS_MIN_VERSION',
    'TLSv1.2',
    oneOf(['TLSv1.2', 'TLSv1.3']),
    'Oldest TLS version that is accepted: `TLSv1.2` or `TLSv1.3`.',
  ),
  tlsDataResumption: defaulted(
    'TLS_DATA_RESUMPTION',
    'optional',
    oneOf(['off', 'optional', 'required']),
    "Whether data connections may (`optional`) or must (`required`) resume the control connection's TLS session, or cannot (`off`).",
  ),
  filenameEncoding: defaulted(
    'FILENAME_ENCODING',
    'utf-8',
    oneOf(['utf-8', 'windows-1252']),
    'How sessions read and write names until OPTS UTF8 changes it: `utf-8`, or `windows-1252` (Latin-1) for clients that know nothing else.',
  ),
  pathnameBackslash: defaulted(
    'PATHNAME_BACKSLASH',
    'literal',
    oneOf(['literal', 'separator']),
    'What a backslash in a pathname is: a character of the name (`literal`), or the same as `/` (`separator`), for devices that send Windows pathnames.',
  ),
  activeMode: defaulted(
    'ACTIVE_MODE',
    'on',
    oneOf(['off', 'on']),
    "Whether PORT and EPRT are allowed, to the client's own address only: `off` or `on`.",
  ),
  activeSourcePort: optional(
    'ACTIVE_SOURCE_PORT',
    wholeNumber(1, 65_535),
    'Local port of active data connections, for firewalls that expect one (usually 20).',
  ),
  loginTimeoutMs: defaulted(
    'LOGIN_TIMEOUT_SECONDS',
    '60',
    seconds(1, day),
    'How long a client may take to log in.',
  ),
  idleTimeoutMs: defaulted(
    'IDLE_TIMEOUT_SECONDS',
    '900',
    seconds(1, day),
    'How long a session may send no command; a running transfer stops this clock.',
  ),
  dataConnectionTimeoutMs: defaulted(
    'DATA_CONNECTION_TIMEOUT_SECONDS',
    '30',
    seconds(1, 3600),
    'How long a client may take for its data connection, and for the TLS handshake on it.',
  ),
  passivePortWaitMs: defaulted(
    'PASSIVE_PORT_WAIT_SECONDS',
    '10',
    seconds(1, 3600),
    'How long PASV and EPSV wait for a port while the same client address holds them all.',
  ),
  stallTimeoutMs: defaulted(
    'STALL_TIMEOUT_SECONDS',
    '300',
    seconds(1, day),
    'How long a transfer may move no byte.',
  ),
  maxSessions: defaulted('MAX_SESSIONS', '2000', anyCount, 'Sessions at once; more are answered 421.'),
  maxSessionsPerAddress: defaulted(
    'MAX_SESSIONS_PER_ADDRESS',
    '500',
    anyCount,
    'Sessions at once from one client address.',
  ),
  maxSessionsPerUser: defaulted('MAX_SESSIONS_PER_USER', '500', anyCount, 'Sessions at once of one user.'),
  maxLoginAttempts: defaulted(
    'MAX_LOGIN_ATTEMPTS',
    '3',
    wholeNumber(1, 100),
    'Wrong passwords after which a connection is closed.',
  ),
  maxLoginFailures: defaulted(
    'MAX_LOGIN_FAILURES',
    '20',
    anyCount,
    'Wrong passwords of one user, or from one client address, after which logins are refused for a while.',
  ),
  loginRefusalMs: defaulted(
    'LOGIN_REFUSAL_SECONDS',
    '300',
    seconds(1, day),
    'How long such logins are refused; wrong passwords older than that are forgotten.',
  ),
  uploadMemoryBytes: defaulted(
    'UPLOAD_MEMORY_MIB',
    '256',
    mebibytes(32, 1_048_576),
    'Memory for the buffers of all transfers together; transfers slow down rather than pass it.',
  ),
  resumeWindowMs: defaulted(
    'RESUME_WINDOW_MINUTES',
    '0',
    minutes(0, 7 * 24 * 60),
    'How long the user who began it may continue an interrupted upload of 16 MiB or more; 0 keeps nothing of it.',
  ),
  fileTimes: defaulted(
    'FILE_TIMES',
    'upload',
    oneOf(['upload', 'client']),
    'Which time files show: `upload`, when S3 got them, which clients cannot set; or `client`, what clients set (MFMT), at the cost of a HeadObject for each file of a listing.',
  ),
  leftoverUploadMs: defaulted(
    'LEFTOVER_UPLOAD_HOURS',
    '0',
    hours(0, 8760),
    "At start, removes this gateway's own unfinished uploads below `S3_PREFIX` in which nothing came in for so long; 0 leaves them to the bucket's lifecycle rule.",
  ),
  operationsPort: defaulted(
    'OPERATIONS_PORT',
    '8080',
    listeningPort,
    'HTTP port of `/healthz`, `/readyz` and `/metrics`; keep it from the internet. 0 takes a free one.',
  ),
  drainMs: defaulted(
    'DRAIN_SECONDS',
    '110',
    seconds(0, day),
    'How long running transfers may go on after SIGTERM; AWS Fargate kills the task after 120 at most.',
  ),
  drainPropagationMs: defaulted(
    'DRAIN_PROPAGATION_SECONDS',
    '180',
    seconds(1, 3600),
    'How long a drain that was asked for on the operations port serves everything as before, while load balancers learn of it.',
  ),
  drainIdleMs: defaulted(
    'DRAIN_IDLE_SECONDS',
    '300',
    seconds(1, day),
    'How long a session may be idle, NOOP left aside, before such a drain ends it.',
  ),
  drainMaxMs: defaulted(
    'DRAIN_MAX_HOURS',
    '24',
    hours(1, 168),
    'How long busy sessions may go on in such a drain before they end as after SIGTERM.',
  ),
  readyAfterProbes: defaulted(
    'READY_AFTER_PROBES',
    'off',
    oneOf(['off', 'on']),
    'Whether `/readyz` waits until every passive port was probed with `/healthz/PORT`: `off` or `on`.',
  ),
  metricsNamespace: optional(
    'METRICS_NAMESPACE',
    metricsNamespace,
    'CloudWatch namespace; where it is set, the metrics are logged once a minute in embedded metric format.',
  ),
  logLevel: defaulted(
    'LOG_LEVEL',
    'info',
    oneOf(['debug', 'info', 'warn', 'error']),
    'Least important lines to log: `debug`, `info`, `warn` or `error`.',
  ),
} as const satisfies Readonly<Record<string, Variable<unknown>>>;

type Variables = typeof variables;
type ValueOf<SomeVariable> = SomeVariable extends Variable<infer Value> ? Value : never;

/** The configuration: times in milliseconds and sizes in bytes, whatever the unit of the variable. */
export type Config = { readonly [Field in keyof Variables]: ValueOf<Variables[Field]> };
