/**
 * Every environment variable of the gateway: name, default, meaning, and how its text is read. The type of the
 * configuration, `--help` and the tables of the documentation are all made from this list.
 */
import { parseAdvertisedAddress } from '../net/advertised-address.ts';
import { Networks } from '../net/networks.ts';
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
  tls12Ciphers,
  trueOrFalse,
  usersSource,
  wholeNumber,
  workers,
} from './values.ts';

export type Variable<Value> = {
  readonly name: string;
  /** `optional` variables that are not set have the value undefined. A default is the text of the variable. */
  readonly presence: 'required' | 'optional' | { readonly default: string };
  /** One sentence; of Markdown only `code`. */
  readonly meaning: string;
  /** Throws an Error that says what is allowed and what was given. */
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

/** Keyed by the field of `Config`, in the order of `--help`. */
export const variables = {
  listenAddress: defaulted(
    'LISTEN_ADDRESS',
    '0.0.0.0',
    ipAddress,
    'Address that the control and passive ports listen on.',
  ),
  controlPort: defaulted('CONTROL_PORT', '21', listeningPort, 'FTP control port; 0 picks a free port.'),
  implicitTlsPort: optional(
    'IMPLICIT_TLS_PORT',
    listeningPort,
    'FTPS control port with TLS from the first byte (usually 990).',
  ),
  passivePorts: defaulted(
    'PASSIVE_PORTS',
    '50000-50003',
    portRange,
    'Ports for passive data connections, both ends inclusive; each port serves many transfers. 0 picks a free port.',
  ),
  workers: defaulted(
    'WORKERS',
    'auto',
    workers,
    'Worker processes that share the control ports, and divide `PASSIVE_PORTS` and `TRANSFER_MEMORY_MIB` among them: a number, or `auto`, one for each available core as far as each gets a passive port, 32 MiB of transfer memory and 200 MiB of other memory. With 1 there is a single process.',
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
    'Whether a load balancer sends a PROXY header before each control connection: `off` or `v2`.',
  ),
  proxyProtocolFrom: defaulted(
    'PROXY_PROTOCOL_FROM',
    '',
    (value) => Networks.parse(value),
    'Networks from which PROXY headers are accepted, those of the load balancer: `10.0.0.0/24,10.0.1.0/24`. `PROXY_PROTOCOL=v2` needs it, and closes control connections from all other addresses.',
  ),
  s3Bucket: optional('S3_BUCKET', text, 'Bucket of users whose entry names no bucket.'),
  s3Prefix: defaulted(
    'S3_PREFIX',
    '',
    objectPrefix,
    'Key prefix of users whose entry names no prefix, ending in `/`.',
  ),
  s3Endpoint: optional(
    'S3_ENDPOINT',
    httpUrl,
    'URL of an S3-compatible server; unset for Amazon S3. Credentials and region come from the default AWS provider chain.',
  ),
  s3ForcePathStyle: defaulted(
    'S3_FORCE_PATH_STYLE',
    'false',
    trueOrFalse,
    'Whether requests name the bucket in the path instead of the host name: `true` or `false`.',
  ),
  users: required(
    'USERS',
    usersSource,
    'Source of the users document: `file:PATH`, at most 4 MiB, or `secretsmanager:ARN`.',
  ),
  reloadIntervalMs: defaulted(
    'RELOAD_INTERVAL_SECONDS',
    '60',
    seconds(1, day),
    'How often users and certificates are read again from Secrets Manager; files are checked more often.',
  ),
  tls: defaulted(
    'TLS',
    'off',
    oneOf(['off', 'optional', 'required']),
    'FTPS: `off`, `optional` (the client chooses) or `required` (no login and no data connection without TLS).',
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
    'Minimum TLS version: `TLSv1.2` or `TLSv1.3`.',
  ),
  tlsCiphers: defaulted(
    'TLS_CIPHERS',
    'ECDHE+AESGCM:ECDHE+CHACHA20',
    tls12Ciphers,
    'Cipher suites of TLS 1.2 as an OpenSSL list; the default demands forward secrecy and AEAD. For an old partner append what it knows, such as `:ECDHE+AES`.',
  ),
  tlsDataResumption: defaulted(
    'TLS_DATA_RESUMPTION',
    'optional',
    oneOf(['off', 'optional', 'required']),
    "Whether data connections can (`optional`), must (`required`) or cannot (`off`) resume the control connection's TLS session. With `optional`, a client that shows that it always can must go on doing so.",
  ),
  filenameEncoding: defaulted(
    'FILENAME_ENCODING',
    'utf-8',
    oneOf(['utf-8', 'windows-1252']),
    'Encoding of names in sessions until OPTS UTF8 changes it: `utf-8`, or `windows-1252` (Latin-1) for clients without UTF-8.',
  ),
  pathnameBackslash: defaulted(
    'PATHNAME_BACKSLASH',
    'literal',
    oneOf(['literal', 'separator']),
    'Meaning of a backslash in a pathname: part of the name (`literal`), or the same as `/` (`separator`), for devices that send Windows pathnames.',
  ),
  activeMode: defaulted(
    'ACTIVE_MODE',
    'on',
    oneOf(['off', 'on']),
    "Whether PORT and EPRT are allowed, and only to the client's own address: `off` or `on`.",
  ),
  modeZ: defaulted(
    'MODE_Z',
    'on',
    oneOf(['off', 'on']),
    'Whether MODE Z compresses transfers: `off` or `on`. Compressing takes CPU time that other transfers lack.',
  ),
  hash: defaulted(
    'HASH',
    'on',
    oneOf(['off', 'on']),
    'Whether HASH and the X commands compute checksums: `off` or `on`. Each reads the whole object, unless S3 has stored the checksum.',
  ),
  listRecursive: defaulted(
    'LIST_RECURSIVE',
    'on',
    oneOf(['off', 'on']),
    'Whether LIST -R lists all directories below: `off` or `on`, up to 100,000 entries, 10,000 directories and 32 levels. Each directory is a request.',
  ),
  activeSourcePort: optional(
    'ACTIVE_SOURCE_PORT',
    wholeNumber(1, 65_535),
    'Local port of active data connections, for firewalls that require one (usually 20).',
  ),
  loginTimeoutMs: defaulted(
    'LOGIN_TIMEOUT_SECONDS',
    '60',
    seconds(1, day),
    'Login timeout: from the connection to a successful login.',
  ),
  handshakeTimeoutMs: defaulted(
    'HANDSHAKE_TIMEOUT_SECONDS',
    '10',
    seconds(1, 3600),
    'How long a control connection may take for its PROXY header, and for its TLS handshake.',
  ),
  idleTimeoutMs: defaulted(
    'IDLE_TIMEOUT_SECONDS',
    '900',
    seconds(1, day),
    'Idle timeout: how long a session may send no command. It does not run during a transfer.',
  ),
  dataConnectionTimeoutMs: defaulted(
    'DATA_CONNECTION_TIMEOUT_SECONDS',
    '30',
    seconds(1, 3600),
    'How long to wait for the data connection of a client, and again for the TLS handshake on it.',
  ),
  passivePortWaitMs: defaulted(
    'PASSIVE_PORT_WAIT_SECONDS',
    '10',
    seconds(1, 3600),
    'How long PASV and EPSV wait for a passive port while the same client address holds all of them.',
  ),
  stallTimeoutMs: defaulted(
    'STALL_TIMEOUT_SECONDS',
    '300',
    seconds(1, day),
    'Stall timeout: how long a transfer may move no bytes.',
  ),
  uploadGraceMs: defaulted(
    'UPLOAD_GRACE_MILLISECONDS',
    '250',
    wholeNumber(0, 5000),
    'How long an upload without proof that it is complete waits, after its data connection has ended, for the control connection of a killed client to close too; a fifth of its duration where the end follows the last byte at once. 0 trusts the end of the data connection.',
  ),
  maxSessionMs: defaulted(
    'MAX_SESSION_HOURS',
    '24',
    hours(1, 500),
    'Longest lifetime of a session; it then ends after its transfer, and the client connects again.',
  ),
  maxSessions: defaulted(
    'MAX_SESSIONS',
    '2000',
    anyCount,
    'Limit of concurrent sessions; further connections get a 421 reply.',
  ),
  maxSessionsPerAddress: defaulted(
    'MAX_SESSIONS_PER_ADDRESS',
    '500',
    anyCount,
    'Limit of concurrent sessions from one client address.',
  ),
  maxSessionsPerUser: defaulted(
    'MAX_SESSIONS_PER_USER',
    '500',
    anyCount,
    'Limit of concurrent sessions of one user.',
  ),
  maxUnauthenticated: defaulted(
    'MAX_UNAUTHENTICATED',
    '500',
    anyCount,
    'Limit of concurrent connections without a login; a new one then replaces an older one of the address that has most. At most half of `MAX_SESSIONS`.',
  ),
  maxUnauthenticatedPerAddress: defaulted(
    'MAX_UNAUTHENTICATED_PER_ADDRESS',
    '200',
    anyCount,
    'The same from one client address (IPv6: one /64 network) from which no user has logged in yet.',
  ),
  maxLoginAttempts: defaulted(
    'MAX_LOGIN_ATTEMPTS',
    '3',
    wholeNumber(1, 100),
    'Failed logins after which a session is closed.',
  ),
  maxLoginFailures: defaulted(
    'MAX_LOGIN_FAILURES',
    '20',
    wholeNumber(2, 1000),
    'Distinct wrong passwords from one client address (IPv6: one /64 network) within `LOGIN_BAN_SECONDS` after which it is banned; half as many for one user ban that user there.',
  ),
  loginBanMs: defaulted(
    'LOGIN_BAN_SECONDS',
    '300',
    seconds(1, day),
    'How long a ban lasts, and how long a wrong password counts.',
  ),
  loginBanExempt: defaulted(
    'LOGIN_BAN_EXEMPT',
    '',
    (value) => Networks.parse(value),
    'Networks that are never banned, such as `203.0.113.0/24,2001:db8::/32`: those of partners behind one address.',
  ),
  transferMemoryBytes: defaulted(
    'TRANSFER_MEMORY_MIB',
    '256',
    mebibytes(32, 1_048_576),
    'Limit of the memory for the buffers of all transfers together; at the limit transfers slow down.',
  ),
  resumeWindowMs: defaulted(
    'RESUME_WINDOW_MINUTES',
    '0',
    minutes(0, 7 * 24 * 60),
    'How long a user can resume an interrupted upload of 16 MiB or more; 0 turns resuming off, and interrupted uploads are aborted.',
  ),
  fileTimes: defaulted(
    'FILE_TIMES',
    'upload',
    oneOf(['upload', 'client']),
    'Modification times: `upload` (the time of the upload, which clients cannot set), or `client` (the time that clients set with MFMT, at the cost of one HeadObject for each file of a listing).',
  ),
  abandonedUploadMs: defaulted(
    'ABANDONED_UPLOAD_HOURS',
    '0',
    hours(0, 8760),
    "At start, the gateway aborts its own abandoned multipart uploads below `S3_PREFIX` that received no part for this long; 0 leaves them to the bucket's lifecycle rule.",
  ),
  operationsAddress: defaulted(
    'OPERATIONS_ADDRESS',
    '127.0.0.1',
    ipAddress,
    'Address that the operations port listens on; in a container usually `0.0.0.0`, because its health checks come from outside.',
  ),
  operationsPort: defaulted(
    'OPERATIONS_PORT',
    '8080',
    listeningPort,
    'HTTP port of `/healthz`, `/readyz`, `/status` and `/metrics`, and of `/drain` and `/serve`; never expose it to the internet. 0 picks a free port.',
  ),
  drainMs: defaulted(
    'DRAIN_SECONDS',
    '110',
    seconds(0, day),
    'How long running transfers have to finish after SIGTERM; AWS Fargate kills a task after 120 s at most.',
  ),
  drainPropagationMs: defaulted(
    'DRAIN_PROPAGATION_SECONDS',
    '180',
    seconds(1, 3600),
    'After POST `/drain` on the operations port: how long everything is still served, while load balancers stop sending sessions.',
  ),
  drainIdleMs: defaulted(
    'DRAIN_IDLE_SECONDS',
    '300',
    seconds(1, day),
    'After that: how long a session may be idle (NOOP does not count) before the drain ends it.',
  ),
  drainMaxMs: defaulted(
    'DRAIN_MAX_HOURS',
    '24',
    hours(1, 168),
    'How long such a drain leaves busy sessions open before it ends them as after SIGTERM.',
  ),
  readyAfterProbes: defaulted(
    'READY_AFTER_PROBES',
    'off',
    oneOf(['off', 'on']),
    'Whether `/readyz` waits until a health check probed every passive port with `/healthz/PORT`: `off` or `on`.',
  ),
  metricsNamespace: optional(
    'METRICS_NAMESPACE',
    metricsNamespace,
    'CloudWatch namespace. If set, the metrics are logged once a minute in embedded metric format.',
  ),
  logLevel: defaulted(
    'LOG_LEVEL',
    'info',
    oneOf(['debug', 'info', 'warn', 'error']),
    'Minimum level of log lines: `debug`, `info`, `warn` or `error`.',
  ),
  logCommands: defaulted(
    'LOG_COMMANDS',
    'debug',
    oneOf(['debug', 'info']),
    'Level of commands that are refused in normal operation, such as SIZE of a missing file: `debug` or `info`. Changes and denials are always at `info`.',
  ),
} as const satisfies Readonly<Record<string, Variable<unknown>>>;

type Variables = typeof variables;
type ValueOf<SomeVariable> = SomeVariable extends Variable<infer Value> ? Value : never;

/** The configuration. Times are in milliseconds and sizes in bytes, whatever the unit of the variable. */
export type Config = { readonly [Field in keyof Variables]: ValueOf<Variables[Field]> };
