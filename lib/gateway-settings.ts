/**
 * Settings of the gateway that the construct passes on as they are. Everything else in the environment of a task follows from
 * the deployment itself, and is the construct's own (`ownVariables`).
 */
import type { Duration } from 'aws-cdk-lib';
import { variables } from '../src/config/variables.ts';

/** Limits of sessions and login failures of one slot. Undefined: the gateway's default. */
export type GatewayLimits = {
  /** Sessions of a slot. */
  readonly sessions?: number | undefined;
  /** Sessions of a slot from one client address; a partner behind NAT is one address. */
  readonly sessionsPerAddress?: number | undefined;
  readonly sessionsPerUser?: number | undefined;
  /** Connections without a login of a slot; a new one then replaces an older one. At most half of `sessions` counts. */
  readonly unauthenticated?: number | undefined;
  /** Connections without a login from one client address from which no user has logged in yet. */
  readonly unauthenticatedPerAddress?: number | undefined;
  /** Wrong passwords after which a connection is closed. */
  readonly loginAttempts?: number | undefined;
  /** Wrong passwords of one user or address after which logins are refused for `timeouts.loginBan`. */
  readonly loginFailures?: number | undefined;
};

/** Commands that cost CPU time or requests, and that most clients never send. Undefined: the gateway's default, true. */
export type GatewayCommands = {
  /** MODE Z: compression of transfers and listings. */
  readonly modeZ?: boolean | undefined;
  /** HASH, XCRC, XMD5, XSHA1 and the others that compute checksums. */
  readonly hash?: boolean | undefined;
  /** LIST -R, which lists all directories below. */
  readonly listRecursive?: boolean | undefined;
};

/** Whole seconds each. Undefined: the gateway's default. */
export type GatewayTimeouts = {
  readonly login?: Duration | undefined;
  readonly idle?: Duration | undefined;
  readonly dataConnection?: Duration | undefined;
  /** How long PASV and EPSV wait for a port. */
  readonly passivePortWait?: Duration | undefined;
  /** How long a transfer may move no bytes. */
  readonly stall?: Duration | undefined;
  readonly loginBan?: Duration | undefined;
  /** How often users and certificates are read again. */
  readonly reloadInterval?: Duration | undefined;
};

/** How a slot drains before it is stopped. Undefined: the gateway's default. */
export type GatewayDrain = {
  /** How long new sessions are still accepted while the load balancer detects that the slot drains. */
  readonly propagation?: Duration | undefined;
  /** How long a session may be idle afterwards before it is closed. */
  readonly idle?: Duration | undefined;
  /** How long busy sessions may continue, in whole hours. */
  readonly maximum?: Duration | undefined;
};

export type GatewaySettings = {
  readonly limits?: GatewayLimits | undefined;
  readonly commands?: GatewayCommands | undefined;
  readonly timeouts?: GatewayTimeouts | undefined;
  readonly drain?: GatewayDrain | undefined;
  readonly logLevel?: 'debug' | 'info' | 'warn' | 'error' | undefined;
  /**
   * Further variables of the gateway (README.md, "Configuration"), checked at synth. Those that the construct sets itself
   * are rejected.
   * @default - none
   */
  readonly environment?: Readonly<Record<string, string>> | undefined;
};

const limitVariables = {
  sessions: 'MAX_SESSIONS',
  sessionsPerAddress: 'MAX_SESSIONS_PER_ADDRESS',
  sessionsPerUser: 'MAX_SESSIONS_PER_USER',
  unauthenticated: 'MAX_UNAUTHENTICATED',
  unauthenticatedPerAddress: 'MAX_UNAUTHENTICATED_PER_ADDRESS',
  loginAttempts: 'MAX_LOGIN_ATTEMPTS',
  loginFailures: 'MAX_LOGIN_FAILURES',
} as const satisfies Record<keyof GatewayLimits, string>;

const commandVariables = {
  modeZ: 'MODE_Z',
  hash: 'HASH',
  listRecursive: 'LIST_RECURSIVE',
} as const satisfies Record<keyof GatewayCommands, string>;

const timeoutVariables = {
  login: 'LOGIN_TIMEOUT_SECONDS',
  idle: 'IDLE_TIMEOUT_SECONDS',
  dataConnection: 'DATA_CONNECTION_TIMEOUT_SECONDS',
  passivePortWait: 'PASSIVE_PORT_WAIT_SECONDS',
  stall: 'STALL_TIMEOUT_SECONDS',
  loginBan: 'LOGIN_BAN_SECONDS',
  reloadInterval: 'RELOAD_INTERVAL_SECONDS',
} as const satisfies Record<keyof GatewayTimeouts, string>;

/** What the construct derives from its other properties, or from being behind a load balancer; each with where it comes from. */
export const ownVariables: Readonly<Record<string, string>> = {
  LISTEN_ADDRESS: 'the container',
  CONTROL_PORT: 'the container',
  IMPLICIT_TLS_PORT: 'tls.implicit',
  PASSIVE_PORTS: 'passivePorts',
  WORKERS: 'cpu',
  ADVERTISED_ADDRESS: 'the load balancer',
  PROXY_PROTOCOL: 'the load balancer',
  PROXY_PROTOCOL_FROM: 'the load balancer',
  ACTIVE_MODE: 'the load balancer',
  ACTIVE_SOURCE_PORT: 'the load balancer',
  OPERATIONS_ADDRESS: 'the container',
  OPERATIONS_PORT: 'the container',
  READY_AFTER_PROBES: 'the load balancer',
  S3_BUCKET: 'bucket',
  S3_PREFIX: 'prefix',
  USERS: 'users',
  TLS: 'tls.mode',
  TLS_CERTIFICATE: 'tls.certificate',
  TLS_MIN_VERSION: 'tls.minimumVersion',
  TLS_DATA_RESUMPTION: 'tls.dataResumption',
  TRANSFER_MEMORY_MIB: 'memoryMiB',
  RESUME_WINDOW_MINUTES: 'resumeWindow',
  DRAIN_SECONDS: 'stopTimeout',
  DRAIN_PROPAGATION_SECONDS: 'drain.propagation',
  DRAIN_IDLE_SECONDS: 'drain.idle',
  DRAIN_MAX_HOURS: 'drain.maximum',
  METRICS_NAMESPACE: 'the alarms',
  LOG_LEVEL: 'logLevel',
  ...Object.fromEntries(
    Object.entries(limitVariables).map(([property, name]) => [name, `limits.${property}`]),
  ),
  ...Object.fromEntries(
    Object.entries(commandVariables).map(([property, name]) => [name, `commands.${property}`]),
  ),
  ...Object.fromEntries(
    Object.entries(timeoutVariables).map(([property, name]) => [name, `timeouts.${property}`]),
  ),
};

/**
 * The settings as variables of the gateway.
 * @throws one error with every setting that the gateway would reject, and every variable that cannot be set here.
 */
export function settingsEnvironment(settings: GatewaySettings): Readonly<Record<string, string>> {
  const { limits = {}, commands = {}, timeouts = {}, drain = {}, logLevel, environment = {} } = settings;
  const typed: Record<string, string | undefined> = { LOG_LEVEL: logLevel };
  for (const [property, name] of Object.entries(limitVariables)) {
    typed[name] = limits[property as keyof GatewayLimits]?.toString();
  }
  for (const [property, name] of Object.entries(commandVariables)) {
    const isOn = commands[property as keyof GatewayCommands];
    typed[name] = isOn === undefined ? undefined : isOn ? 'on' : 'off';
  }
  for (const [property, name] of Object.entries(timeoutVariables)) {
    typed[name] = timeouts[property as keyof GatewayTimeouts]?.toSeconds().toString();
  }
  typed['DRAIN_PROPAGATION_SECONDS'] = drain.propagation?.toSeconds().toString();
  typed['DRAIN_IDLE_SECONDS'] = drain.idle?.toSeconds().toString();
  typed['DRAIN_MAX_HOURS'] = drain.maximum?.toHours().toString();
  const result = {
    ...Object.fromEntries(
      Object.entries(typed).filter((entry): entry is [string, string] => entry[1] !== undefined),
    ),
    ...environment,
  };
  const problems = [
    ...Object.keys(environment).flatMap(refusal),
    ...Object.entries(result).flatMap(([name, value]) => valueProblem(name, value)),
  ];
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return result;
}

function refusal(name: string): readonly string[] {
  const source = ownVariables[name];
  if (source === undefined) return [];
  return [
    source.startsWith('the ')
      ? `${name} cannot be set in environment: it follows from ${source}.`
      : `${name} cannot be set in environment: use ${source}.`,
  ];
}

function valueProblem(name: string, value: string): readonly string[] {
  const variable = Object.values(variables).find((known) => known.name === name);
  if (variable === undefined) return [`The gateway has no variable ${name}.`];
  try {
    variable.parse(value);
    return [];
  } catch (error) {
    return [`${name}: ${(error as Error).message}`];
  }
}
