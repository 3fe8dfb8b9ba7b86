/** Starts the FTP side: passive ports, command table, ftp-srv, control listeners and their sessions. */
import type { SecureVersion, SecureContext } from 'node:tls';
import type { BackslashMeaning } from './commands/arguments.ts';
import { commandTable } from './commands/table.ts';
import { SessionLimiter, type SharedSessionCounts } from './control/session-limits.ts';
import type { ControlSession } from './control/control-session.ts';
import { UnauthenticatedConnections } from './control/unauthenticated.ts';
import { ControlListener, type SessionServices } from './control/listener.ts';
import type { TextEncoding } from './commands/text-encoding.ts';
import {
  createSessionContext,
  defaultCiphers,
  type CertificateHolder,
  type DataResumption,
} from '../tls/context.ts';
import type { AdvertisedAddress } from '../net/advertised-address.ts';
import { Networks } from '../net/networks.ts';
import { PassivePorts } from './data/passive-ports.ts';
import { FtpSrvServer } from './ftp-srv/server.ts';
import type { FileTimes, Filesystem } from '../filesystem/filesystem.ts';
import type { Observe } from '../observability/event.ts';
import { LoginChecks, type SharedLogins } from '../users/login-checks.ts';
import type { Ban } from '../users/login-throttle.ts';
import type { Authenticate, User } from '../users/user.ts';

/** The settings that options do not set; also the defaults of the environment variables. */
export const gatewayDefaults: GatewaySettings = {
  listenAddress: '0.0.0.0',
  advertisedAddress: { kind: 'auto' },
  proxyProtocol: 'off',
  proxyProtocolFrom: Networks.none,
  tls: 'off',
  tlsMinVersion: 'TLSv1.2',
  tlsCiphers: defaultCiphers,
  tlsDataResumption: 'optional',
  filenameEncoding: 'utf-8',
  pathnameBackslash: 'literal',
  activeMode: 'on',
  modeZ: 'on',
  hash: 'on',
  listRecursive: 'on',
  fileTimes: 'upload',
  loginTimeoutMs: 60_000,
  idleTimeoutMs: 900_000,
  dataConnectionTimeoutMs: 30_000,
  passivePortWaitMs: 10_000,
  stallTimeoutMs: 300_000,
  uploadGraceMs: 250,
  handshakeTimeoutMs: 10_000,
  maxSessionMs: 24 * 3_600_000,
  maxUnauthenticated: 500,
  maxUnauthenticatedPerAddress: 200,
  maxSessions: 2_000,
  maxSessionsPerAddress: 500,
  maxSessionsPerUser: 500,
  maxLoginAttempts: 3,
  maxLoginFailures: 20,
  loginBanMs: 300_000,
  loginBanExempt: Networks.none,
};

/** Settings with a default. Each has the meaning of the environment variable of that name (docs/configuration.md). */
export type GatewaySettings = {
  readonly listenAddress: string;
  readonly advertisedAddress: AdvertisedAddress;
  readonly proxyProtocol: 'off' | 'v2';
  readonly proxyProtocolFrom: Networks;
  readonly tls: 'off' | 'optional' | 'required';
  readonly tlsMinVersion: SecureVersion;
  readonly tlsCiphers: string;
  readonly tlsDataResumption: DataResumption;
  readonly filenameEncoding: TextEncoding;
  readonly pathnameBackslash: BackslashMeaning;
  readonly activeMode: 'on' | 'off';
  readonly modeZ: 'on' | 'off';
  readonly hash: 'on' | 'off';
  readonly listRecursive: 'on' | 'off';
  /** Whose times files show. The filesystems need the same setting. */
  readonly fileTimes: FileTimes;
  readonly loginTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly dataConnectionTimeoutMs: number;
  readonly passivePortWaitMs: number;
  readonly stallTimeoutMs: number;
  readonly uploadGraceMs: number;
  readonly handshakeTimeoutMs: number;
  readonly maxSessionMs: number;
  readonly maxUnauthenticated: number;
  readonly maxUnauthenticatedPerAddress: number;
  readonly maxSessions: number;
  readonly maxSessionsPerAddress: number;
  readonly maxSessionsPerUser: number;
  readonly maxLoginAttempts: number;
  readonly maxLoginFailures: number;
  readonly loginBanMs: number;
  readonly loginBanExempt: Networks;
};

/** Only the ports have no default. A port 0 takes any free port. */
export type GatewayOptions = {
  readonly [Name in keyof GatewaySettings]?: GatewaySettings[Name] | undefined;
} & {
  readonly controlPort: number;
  readonly implicitTlsPort?: number | undefined;
  readonly passivePorts: readonly number[];
  readonly activeSourcePort?: number | undefined;
};

/** What the gateway needs of the rest of the process. */
export type GatewayServices = {
  /** Resolves to the user whose login it is, or to undefined for a wrong name or password. */
  readonly authenticate: Authenticate;
  /** The filesystem of one session. @param sessionId of the events of the session. */
  filesystemFor(user: User, sessionId: string): Filesystem;
  /**
   * Called when the passive ports are open and before the control ports are: for what makes connections, as the kernel could give
   * one of them a passive port as its own.
   */
  readonly prepare?: (() => Promise<void>) | undefined;
  /** Receives every event. Without it, unexpected errors become warnings of the process. */
  readonly observe?: Observe | undefined;
  /** Required unless TLS is off; read after `prepare`. */
  readonly certificates?: CertificateHolder | undefined;
  /** Session limits over several processes; without it this process has the limits alone. */
  readonly sessionCounts?: SharedSessionCounts | undefined;
  /** Results of logins over several processes; without it this process throttles logins alone. */
  readonly sharedLogins?: SharedLogins | undefined;
};

/** The sessions of a gateway, as a drain sees them. */
export type DrainableSessions = {
  readonly sessionCount: number;
  /** Ends with 421 the sessions that have executed no command but NOOP for `idleMs`; returns how many. */
  endIdleSessions(idleMs: number): number;
  /** Ends every session as soon as it moves no data, and aborts transfers that still run after `timeoutMs`. */
  endSessions(timeoutMs: number): void;
};

/** A running gateway. */
export type Gateway = DrainableSessions & {
  readonly controlPort: number;
  readonly implicitTlsPort?: number | undefined;
  readonly passivePorts: readonly number[];
  /** `Date.now()` at the start of each running transfer. */
  readonly transfersStartedAtMs: readonly number[];
  /** Sources, and users at one source, whose logins are refused for now. */
  readonly loginBans: readonly Ban[];
  /** Leases of passive ports, and the requests that wait for one. */
  readonly passivePortUsage: { readonly leases: number; readonly waiting: number };
  /**
   * Stops listening, ends every session as soon as it moves no data, and resolves when all are closed. A client that has
   * agreed on a data connection has 2 s for its transfer command. After `timeoutMs` the transfers that still run are
   * aborted; commands whose storage does not respond then are given up a few seconds later (`drainGrace`).
   */
  drain(timeoutMs: number): Promise<void>;
  /** Ends the sessions of these users with 421, those with a transfer after it. */
  endSessionsOf(usernames: ReadonlySet<string>): void;
  /** Answers further control connections with 421. */
  refuseSessions(): void;
  /** Drops all sessions immediately; resolves when all are closed. */
  close(): Promise<void>;
};

/** Starts everything or nothing: rejects with an error that names what is missing or cannot be opened. */
export async function startGateway(options: GatewayOptions, services: GatewayServices): Promise<Gateway> {
  const settings = withDefaults(options);
  requireTrustedProxies(settings);
  const { listenAddress, dataConnectionTimeoutMs } = settings;
  const { observe = warnOfUnexpectedErrors } = services;
  const passivePorts = await PassivePorts.open({
    listenAddress,
    ports: options.passivePorts,
    dataConnectionTimeoutMs,
    leaseWaitMs: settings.passivePortWaitMs,
    observe,
  });
  try {
    await services.prepare?.();
    return await startControl(options, settings, services, passivePorts);
  } catch (error) {
    await passivePorts.close();
    throw error;
  }
}

async function startControl(
  options: GatewayOptions,
  settings: GatewaySettings,
  services: GatewayServices,
  passivePorts: PassivePorts,
): Promise<Gateway> {
  const { authenticate, certificates, observe = warnOfUnexpectedErrors } = services;
  const createSecureContext = secureContextFactory(settings, options.implicitTlsPort, certificates);
  const { listenAddress } = settings;
  const ftpServer = new FtpSrvServer();
  const { activeSourcePort } = options;
  const logins = new LoginChecks({ ...settings, authenticate, observe, shared: services.sharedLogins });
  const commands = commandTable({
    ...settings,
    ...(activeSourcePort !== undefined && { activeSourcePort }),
    passivePorts,
    logins,
    filesystemFor: (user, sessionId) => services.filesystemFor(user, sessionId),
  });
  const sessions = new Set<ControlSession>();
  const sessionServices: SessionServices = {
    ...settings,
    ftpServer,
    commands,
    limiter: new SessionLimiter(settings, services.sessionCounts),
    unauthenticated: new UnauthenticatedConnections(settings),
    observe,
    createSecureContext,
  };
  const listeners: ControlListener[] = [];
  const stopListening = async (): Promise<void> => {
    for (const listener of listeners) listener.close();
    await ftpServer.close();
  };
  const open = async (port: number, implicitTls: (() => SecureContext) | undefined): Promise<number> => {
    const { proxyProtocol, proxyProtocolFrom } = settings;
    const listenerOptions = { listenAddress, port, proxyProtocol, proxyProtocolFrom, implicitTls };
    const listener = await ControlListener.open(listenerOptions, sessionServices, sessions);
    listeners.push(listener);
    return listener.port;
  };
  let controlPort: number;
  let implicitTlsPort: number | undefined;
  try {
    controlPort = await open(options.controlPort, undefined);
    if (options.implicitTlsPort !== undefined) {
      implicitTlsPort = await open(options.implicitTlsPort, createSecureContext);
    }
  } catch (error) {
    await stopListening();
    throw error;
  }
  return new RunningGateway({
    controlPort,
    implicitTlsPort,
    logins,
    passivePorts,
    sessions,
    listeners,
    stopListening,
  });
}

/** An option that is undefined has its default, like one that is absent. */
function withDefaults(options: GatewayOptions): GatewaySettings {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...gatewayDefaults, ...(Object.fromEntries(given) as Partial<GatewaySettings>) };
}

function requireTrustedProxies({ proxyProtocol, proxyProtocolFrom, activeMode }: GatewaySettings): void {
  if (proxyProtocol === 'off') return;
  if (proxyProtocolFrom.text === '')
    throw new Error('PROXY headers need the networks of their load balancer.');
  // The sender of the header chooses the address that PORT connects to.
  if (activeMode === 'on') throw new Error('PROXY headers exclude active mode.');
}

const warnOfUnexpectedErrors: Observe = (event) => {
  if (event.event !== 'unexpected-error') return;
  process.emitWarning(event.error instanceof Error ? event.error : String(event.error));
};

type Parts = {
  readonly controlPort: number;
  readonly implicitTlsPort: number | undefined;
  readonly logins: LoginChecks;
  readonly passivePorts: PassivePorts;
  readonly sessions: Set<ControlSession>;
  readonly listeners: readonly ControlListener[];
  stopListening(): Promise<void>;
};

/**
 * What follows the time of a drain, in milliseconds: `replyMs` for the replies of aborted transfers, then 421 to clients
 * without a reply, and `farewellMs` to read it.
 */
export const drainGrace = { replyMs: 3_000, farewellMs: 500 } as const;

class RunningGateway implements Gateway {
  readonly controlPort: number;
  readonly implicitTlsPort: number | undefined;
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.controlPort = parts.controlPort;
    this.implicitTlsPort = parts.implicitTlsPort;
  }

  get passivePorts(): readonly number[] {
    return this.#parts.passivePorts.ports;
  }

  get loginBans(): readonly Ban[] {
    return this.#parts.logins.bans;
  }

  get passivePortUsage(): { readonly leases: number; readonly waiting: number } {
    return this.#parts.passivePorts.usage;
  }

  get sessionCount(): number {
    return this.#parts.sessions.size;
  }

  get transfersStartedAtMs(): readonly number[] {
    return [...this.#parts.sessions].flatMap(({ transferStartedAtMs }) => transferStartedAtMs ?? []);
  }

  endIdleSessions(idleMs: number): number {
    const idle = [...this.#parts.sessions].filter(
      (session) => !session.isBusy && session.idleForMs >= idleMs,
    );
    for (const session of idle) session.end('DRAIN');
    return idle.length;
  }

  endSessions(timeoutMs: number): void {
    const { sessions } = this.#parts;
    for (const session of sessions) session.drain();
    const left = [...sessions];
    const timer = setTimeout(() => left.forEach((session) => session.abortTransfer()), timeoutMs);
    void Promise.all(left.map((session) => session.closed)).then(() => clearTimeout(timer));
  }

  endSessionsOf(usernames: ReadonlySet<string>): void {
    for (const session of this.#parts.sessions) {
      const { loginState } = session;
      const isOne = loginState.step === 'logged-in' && usernames.has(loginState.login.user.name);
      if (isOne) session.end('USER-REVOKED');
    }
  }

  refuseSessions(): void {
    for (const listener of this.#parts.listeners) listener.refuseAll();
  }

  async drain(timeoutMs: number): Promise<void> {
    await this.#parts.stopListening();
    const allClosed = this.#endEach((session) => session.drain());
    const { replyMs, farewellMs } = drainGrace;
    const later = (delayMs: number, end: (session: ControlSession) => void): NodeJS.Timeout =>
      setTimeout(() => this.#parts.sessions.forEach(end), delayMs);
    const timers = [
      later(timeoutMs, (session) => session.abortTransfer()),
      later(timeoutMs + replyMs, (session) => session.giveUp()),
      later(timeoutMs + replyMs + farewellMs, (session) => session.destroy('DRAIN')),
    ];
    await allClosed;
    timers.forEach(clearTimeout);
    await this.#parts.passivePorts.close();
  }

  async close(): Promise<void> {
    await this.#parts.stopListening();
    const allClosed = this.#endEach((session) => session.end('DRAIN'));
    for (const session of this.#parts.sessions) session.destroy('DRAIN');
    await allClosed;
    await this.#parts.passivePorts.close();
  }

  async #endEach(end: (session: ControlSession) => void): Promise<void> {
    const { sessions } = this.#parts;
    const all = [...sessions];
    for (const session of all) end(session);
    await Promise.all(all.map((session) => session.closed));
  }
}

function secureContextFactory(
  settings: GatewaySettings,
  implicitTlsPort: number | undefined,
  certificates: CertificateHolder | undefined,
): (() => SecureContext) | undefined {
  const { tls } = settings;
  if (tls === 'off') {
    if (implicitTlsPort !== undefined) throw new Error('An implicit-TLS port needs TLS, which is off.');
    return undefined;
  }
  if (certificates === undefined) throw new Error(`TLS is ${tls}, but there is no certificate.`);
  const create = (): SecureContext => createSessionContext(certificates.current, settings);
  // A key that does not match its certificate must stop the start, not the first client.
  create();
  return create;
}
