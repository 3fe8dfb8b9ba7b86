/** The gateway's FTP side, put together: passive ports, command table, engine, control listeners, sessions. */
import type { SecureVersion, SecureContext } from 'node:tls';
import type { BackslashMeaning } from './commands/arguments.ts';
import { commandTable } from './commands/table.ts';
import { SessionLimiter } from './control/session-limits.ts';
import type { ClientSession, SessionServices } from './control/client-session.ts';
import { ControlListener } from './control/listener.ts';
import type { TextEncoding } from './commands/text-encoding.ts';
import { noteActivity } from './control/session-activity.ts';
import { createSessionContext, type CertificateHolder } from '../tls/context.ts';
import type { AdvertisedAddress } from '../net/advertised-address.ts';
import type { DataResumption } from './data/data-tls.ts';
import { PassivePorts } from './data/passive-ports.ts';
import { FtpSrvServer } from './ftp-srv/server.ts';
import type { FileTimes, Filesystem } from '../filesystem/filesystem.ts';
import type { DrainableSessions } from '../drain-state.ts';
import type { Observe } from '../observability/event.ts';
import type { Authenticate, User } from '../users/user.ts';

/** The fields of the configuration that concern the FTP side, by their names there. */
export type GatewayOptions = {
  readonly listenAddress: string;
  /** 0 takes any free port; so does a 0 among the passive ports. */
  readonly controlPort: number;
  readonly implicitTlsPort?: number | undefined;
  readonly passivePorts: readonly number[];
  readonly advertisedAddress: AdvertisedAddress;
  readonly proxyProtocol: 'off' | 'v2';
  readonly tls: 'off' | 'optional' | 'required';
  readonly tlsMinVersion: SecureVersion;
  readonly tlsDataResumption: DataResumption;
  readonly filenameEncoding: TextEncoding;
  readonly pathnameBackslash: BackslashMeaning;
  readonly activeMode: 'on' | 'off';
  readonly activeSourcePort?: number | undefined;
  /** As the filesystems have it: whether clients may set times. */
  readonly fileTimes: FileTimes;
  readonly loginTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly dataConnectionTimeoutMs: number;
  readonly passivePortWaitMs: number;
  readonly stallTimeoutMs: number;
  readonly maxSessions: number;
  readonly maxSessionsPerAddress: number;
  readonly maxSessionsPerUser: number;
  readonly maxLoginAttempts: number;
  readonly maxLoginFailures: number;
  readonly loginLockoutMs: number;
};

export type GatewayServices = {
  readonly authenticate: Authenticate;
  filesystemFor(user: User): Filesystem;
  readonly observe: Observe;
  /** Needed unless TLS is off. */
  readonly certificates?: CertificateHolder | undefined;
};

export type Gateway = DrainableSessions & {
  readonly controlPort: number;
  readonly implicitTlsPort?: number;
  readonly passivePorts: readonly number[];
  readonly sessionCount: number;
  /** When each transfer that runs was started, by `Date.now()`. */
  readonly transfersStartedAtMs: readonly number[];
  /** Leases of passive ports, and the requests that wait for one. */
  readonly passivePortUsage: { readonly leases: number; readonly waiting: number };
  /**
   * Takes no more connections, ends every session as soon as it moves no data (one whose PASV was answered has 2 s more to
   * say what for), and resolves when all are gone; after
   * `timeoutMs` the transfers that still run are aborted. Commands whose storage does not answer then are waited for a few
   * seconds longer (`drainGrace`), and no client longer than that.
   */
  drain(timeoutMs: number): Promise<void>;
  /** Answers further control connections with 421. */
  refuseSessions(): void;
  /** Ends everything at once; resolves when nothing is left. */
  close(): Promise<void>;
};

/** Starts everything, or nothing: rejects with an error that names what could not be had. */
export async function startGateway(options: GatewayOptions, services: GatewayServices): Promise<Gateway> {
  const secureContext = secureContexts(options, services);
  const engine = new FtpSrvServer();
  const passivePorts = await PassivePorts.open({
    listenAddress: options.listenAddress,
    ports: options.passivePorts,
    dataConnectionTimeoutMs: options.dataConnectionTimeoutMs,
    leaseWaitMs: options.passivePortWaitMs,
    observe: services.observe,
  });
  const { activeSourcePort, ...rest } = options;
  const commands = commandTable({
    ...rest,
    ...(activeSourcePort !== undefined && { activeSourcePort }),
    passivePorts,
    authenticate: services.authenticate,
    filesystemFor: (user) => services.filesystemFor(user),
    runStock: (verb, argument) => engine.runStock(verb, argument),
  });
  const sessions = new Set<ClientSession>();
  const sessionServices: SessionServices = {
    engine,
    commands: noteActivity(commands),
    admission: new SessionLimiter(options),
    observe: services.observe,
    secureContext,
    filenameEncoding: options.filenameEncoding,
    loginTimeoutMs: options.loginTimeoutMs,
    idleTimeoutMs: options.idleTimeoutMs,
  };
  const listeners: ControlListener[] = [];
  const stopListening = async (): Promise<void> => {
    for (const listener of listeners) listener.close();
    await engine.close();
  };
  const listen = async (port: number, implicitTls: (() => SecureContext) | undefined): Promise<number> => {
    const { listenAddress, proxyProtocol } = options;
    const listenerOptions = { listenAddress, port, proxyProtocol, implicitTls };
    const listener = await ControlListener.open(listenerOptions, sessionServices, sessions);
    listeners.push(listener);
    return listener.port;
  };
  let controlPort: number;
  let implicitTlsPort: number | undefined;
  try {
    controlPort = await listen(options.controlPort, undefined);
    if (options.implicitTlsPort !== undefined) {
      implicitTlsPort = await listen(options.implicitTlsPort, secureContext);
    }
  } catch (error) {
    await Promise.all([stopListening(), passivePorts.close()]);
    throw error;
  }
  return new RunningGateway({
    controlPort,
    implicitTlsPort,
    passivePorts,
    sessions,
    listeners,
    stopListening,
  });
}

type Parts = {
  readonly controlPort: number;
  readonly implicitTlsPort: number | undefined;
  readonly passivePorts: PassivePorts;
  readonly sessions: Set<ClientSession>;
  readonly listeners: readonly ControlListener[];
  stopListening(): Promise<void>;
};

/**
 * What follows the end of a drain's time, in milliseconds: `replyMs` for the replies of what was aborted, then 421 to
 * whoever still has none, and `farewellMs` to read that.
 */
export const drainGrace = { replyMs: 3_000, farewellMs: 500 } as const;

class RunningGateway implements Gateway {
  readonly controlPort: number;
  readonly implicitTlsPort?: number;
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.controlPort = parts.controlPort;
    if (parts.implicitTlsPort !== undefined) this.implicitTlsPort = parts.implicitTlsPort;
  }

  get passivePorts(): readonly number[] {
    return this.#parts.passivePorts.ports;
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
    for (const session of idle) session.end('drain');
    return idle.length;
  }

  endSessions(timeoutMs: number): void {
    const { sessions } = this.#parts;
    for (const session of sessions) session.drain();
    const left = [...sessions];
    const timer = setTimeout(() => left.forEach((session) => session.abortTransfer()), timeoutMs);
    void Promise.all(left.map((session) => session.closed)).then(() => clearTimeout(timer));
  }

  refuseSessions(): void {
    for (const listener of this.#parts.listeners) listener.refuseAll();
  }

  async drain(timeoutMs: number): Promise<void> {
    await this.#parts.stopListening();
    const gone = this.#endSessions((session) => session.drain());
    const { replyMs, farewellMs } = drainGrace;
    const later = (delayMs: number, end: (session: ClientSession) => void): NodeJS.Timeout =>
      setTimeout(() => this.#parts.sessions.forEach(end), delayMs);
    const timers = [
      later(timeoutMs, (session) => session.abortTransfer()),
      later(timeoutMs + replyMs, (session) => session.giveUp()),
      later(timeoutMs + replyMs + farewellMs, (session) => session.destroy('drain')),
    ];
    await gone;
    timers.forEach(clearTimeout);
    await this.#parts.passivePorts.close();
  }

  async close(): Promise<void> {
    await this.#parts.stopListening();
    const gone = this.#endSessions((session) => session.end('gateway-closed'));
    for (const session of this.#parts.sessions) session.destroy('gateway-closed');
    await gone;
    await this.#parts.passivePorts.close();
  }

  async #endSessions(end: (session: ClientSession) => void): Promise<void> {
    const { sessions } = this.#parts;
    const all = [...sessions];
    for (const session of all) end(session);
    await Promise.all(all.map((session) => session.closed));
  }
}

function secureContexts(
  options: GatewayOptions,
  { certificates }: GatewayServices,
): (() => SecureContext) | undefined {
  if (options.tls === 'off') {
    if (options.implicitTlsPort !== undefined)
      throw new Error('An implicit-TLS port needs TLS, which is off.');
    return undefined;
  }
  if (certificates === undefined) throw new Error(`TLS is ${options.tls}, but there is no certificate.`);
  const create = (): SecureContext => createSessionContext(certificates.current, options);
  // A key that does not fit its certificate is to stop the start, not the first client.
  create();
  return create;
}
