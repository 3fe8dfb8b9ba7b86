/** Starts the FTP side: passive ports, command table, ftp-srv, control listeners and their sessions. */
import type { Filesystem } from '../filesystem/filesystem.ts';
import type { Observe } from '../observability/event.ts';
import type { CertificateHolder } from '../tls/context.ts';
import { SessionContexts } from '../tls/session-contexts.ts';
import { LoginChecks, type SharedLogins } from '../users/login-checks.ts';
import type { Authenticate, User } from '../users/user.ts';
import { commandTable } from './commands/table.ts';
import type { ControlSession } from './control/control-session.ts';
import { ControlListener, type SessionServices } from './control/listener.ts';
import { SessionLimiter, type SharedSessionCounts } from './control/session-limits.ts';
import { UnauthenticatedConnections } from './control/unauthenticated.ts';
import { type ProxyProblem, proxyProblems } from '../net/proxy-trust.ts';
import { PassivePorts } from './data/passive-ports.ts';
import { FtpSrvServer } from './ftp-srv/server.ts';
import { type GatewaySettings, withDefaults } from './gateway-settings.ts';
import { type Gateway, RunningGateway } from './running-gateway.ts';

// This file is the entry point of the package.
export type { Gateway };

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
  const tlsContexts = sessionContexts(settings, options.implicitTlsPort, certificates);
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
  const unauthenticated = new UnauthenticatedConnections(settings, services.sessionCounts);
  services.sharedLogins?.onResult(({ from, fingerprint }) => {
    if (fingerprint === undefined) unauthenticated.know(from.source);
  });
  const sessionServices: SessionServices = {
    ...settings,
    ftpServer,
    commands,
    limiter: new SessionLimiter(settings, services.sessionCounts),
    unauthenticated,
    observe,
    tlsContexts,
  };
  const sessions = new Set<ControlSession>();
  const listeners: ControlListener[] = [];
  const stopListening = async (): Promise<void> => {
    for (const listener of listeners) listener.close();
    await ftpServer.close();
  };
  const open = async (port: number, implicitTls: SessionContexts | undefined): Promise<number> => {
    const { listenAddress, proxyProtocol, proxyProtocolFrom } = settings;
    const listenerOptions = { listenAddress, port, proxyProtocol, proxyProtocolFrom, implicitTls };
    const listener = await ControlListener.open(listenerOptions, sessionServices, sessions);
    listeners.push(listener);
    return listener.port;
  };
  try {
    const controlPort = await open(options.controlPort, undefined);
    const implicitTlsPort =
      options.implicitTlsPort === undefined ? undefined : await open(options.implicitTlsPort, tlsContexts);
    const ports = { controlPort, implicitTlsPort };
    return new RunningGateway({ ...ports, logins, passivePorts, sessions, listeners, stopListening });
  } catch (error) {
    await stopListening();
    throw error;
  }
}

const proxyTexts: Readonly<Record<ProxyProblem, string>> = {
  'no-networks': 'PROXY headers need the networks of their load balancer.',
  'active-mode': 'PROXY headers exclude active mode.',
};

function requireTrustedProxies(settings: GatewaySettings): void {
  const [problem] = proxyProblems(settings);
  if (problem !== undefined) throw new Error(proxyTexts[problem]);
}

const warnOfUnexpectedErrors: Observe = (event) => {
  if (event.event !== 'unexpected-error') return;
  process.emitWarning(event.error instanceof Error ? event.error : String(event.error));
};

function sessionContexts(
  settings: GatewaySettings,
  implicitTlsPort: number | undefined,
  certificates: CertificateHolder | undefined,
): SessionContexts | undefined {
  const { tls } = settings;
  if (tls === 'off') {
    if (implicitTlsPort !== undefined) throw new Error('An implicit-TLS port needs TLS, which is off.');
    return undefined;
  }
  if (certificates === undefined) throw new Error(`TLS is ${tls}, but there is no certificate.`);
  return new SessionContexts(certificates, settings);
}
