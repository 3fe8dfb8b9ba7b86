/** A gateway on free ports of 127.0.0.1, over a filesystem in memory unless the test brings another. */
import { MemoryFilesystem } from '../../src/filesystem/memory-filesystem.ts';
import type { Filesystem } from '../../src/filesystem/filesystem.ts';
import { startGateway, type GatewayOptions } from '../../src/ftp/gateway.ts';
import type { Gateway } from '../../src/ftp/running-gateway.ts';
import { Networks } from '../../src/net/networks.ts';
import type { GatewayEvent, Observe } from '../../src/observability/event.ts';
import type { Authenticate, Home, PermissionSet, User } from '../../src/users/user.ts';
import { testCertificate, writeCaFile, type TestCertificate } from './certificate.ts';

export type TestUser = {
  readonly name: string;
  readonly password: string;
  readonly permissions?: PermissionSet;
  readonly home?: Home;
};

export type TestGatewayOptions = Partial<Omit<GatewayOptions, 'controlPort' | 'implicitTlsPort'>> & {
  /** Alice, who may do everything, by default. */
  readonly users?: readonly TestUser[];
  /** One filesystem in memory for all by default. */
  readonly filesystemFor?: (user: User, sessionId: string) => Filesystem;
  readonly authenticate?: Authenticate;
  readonly implicitTls?: boolean;
  readonly certificates?: { readonly current: TestCertificate };
  readonly observe?: Observe;
};

export type TestGateway = Gateway & {
  /** What every user sees, unless the test brings its own. */
  readonly filesystem: MemoryFilesystem;
  /** Everything that was observed so far. */
  readonly events: readonly GatewayEvent[];
  /** Adds an event of a part that the test has started itself, such as the storage. */
  readonly observe: Observe;
  /** The next event of that name that fits, or the first one already there that has not been returned yet. */
  nextEvent<Name extends GatewayEvent['event']>(
    name: Name,
    fits?: (event: EventOf<Name>) => boolean,
  ): Promise<EventOf<Name>>;
  /** PEM file with which clients trust the gateway; empty where TLS is off. */
  readonly caFile: string;
};

type EventOf<Name extends GatewayEvent['event']> = Extract<GatewayEvent, { event: Name }>;

export const alice: TestUser = { name: 'alice', password: 'secret' };

/**
 * Grace time of uploads in tests whose clients stay connected until their uploads are over. Tests of clients that disconnect
 * earlier set the default of the gateway.
 */
export const testUploadGraceMs = 10;

/** Where it differs from `gatewayDefaults`: shorter timeouts, and room for many sessions of one user. */
const testOptions: GatewayOptions = {
  listenAddress: '127.0.0.1',
  controlPort: 0,
  passivePorts: [0, 0],
  proxyProtocolFrom: Networks.parse('127.0.0.0/8'),
  fileTimes: 'client',
  idleTimeoutMs: 60_000,
  dataConnectionTimeoutMs: 10_000,
  passivePortWaitMs: 5_000,
  stallTimeoutMs: 10_000,
  uploadGraceMs: testUploadGraceMs,
  maxUnauthenticated: 20_000,
  maxUnauthenticatedPerAddress: 20_000,
  maxSessions: 20_000,
  maxSessionsPerAddress: 20_000,
  maxSessionsPerUser: 20_000,
};

export async function startTestGateway(options: TestGatewayOptions = {}): Promise<TestGateway> {
  const {
    users = [alice],
    filesystemFor,
    authenticate,
    implicitTls,
    certificates,
    observe,
    ...rest
  } = options;
  const filesystem = new MemoryFilesystem();
  const log = new EventLog();
  const hasTls = rest.tls !== undefined && rest.tls !== 'off';
  const caFile = hasTls ? await writeCaFile(await testCertificate()) : undefined;
  const gateway = await startGateway(
    { ...testOptions, ...rest, ...(implicitTls === true && { implicitTlsPort: 0 }) },
    {
      authenticate: authenticate ?? authenticateAmong(users),
      filesystemFor: filesystemFor ?? (() => filesystem),
      observe: (event) => {
        log.add(event);
        observe?.(event);
      },
      ...(hasTls && { certificates: certificates ?? { current: await testCertificate() } }),
    },
  );
  return {
    controlPort: gateway.controlPort,
    implicitTlsPort: gateway.implicitTlsPort,
    get passivePorts() {
      return gateway.passivePorts;
    },
    get sessionCount() {
      return gateway.sessionCount;
    },
    get loginBans() {
      return gateway.loginBans;
    },
    get passivePortUsage() {
      return gateway.passivePortUsage;
    },
    get transfersStartedAtMs() {
      return gateway.transfersStartedAtMs;
    },
    endIdleSessions: (idleMs) => gateway.endIdleSessions(idleMs),
    endSessions: (timeoutMs) => gateway.endSessions(timeoutMs),
    endSessionsOf: (usernames) => gateway.endSessionsOf(usernames),
    refuseSessions: () => gateway.refuseSessions(),
    drain: (timeoutMs) => gateway.drain(timeoutMs),
    async close() {
      await gateway.close();
      await caFile?.remove();
    },
    filesystem,
    events: log.events,
    observe: (event) => log.add(event),
    nextEvent: (name, fits) => log.next(name, fits),
    caFile: caFile?.path ?? '',
  };
}

/** Passwords in clear, compared as they are: logins cost nothing, so that tests and measurements see the gateway alone. */
function authenticateAmong(users: readonly TestUser[]): Authenticate {
  return ({ username, password }) => {
    const found = users.find((user) => user.name === username && user.password === password);
    if (found === undefined) {
      const isKnown = users.some(({ name }) => name === username);
      return Promise.resolve(isKnown ? 'LOGIN-PASSWORD' : 'LOGIN-USER');
    }
    const { name, home = { bucket: 'test', prefix: '' }, permissions = 'read-write' } = found;
    return Promise.resolve({ name, home, permissions });
  };
}

class EventLog {
  readonly events: GatewayEvent[] = [];
  readonly #asked = new Set<GatewayEvent>();
  readonly #waiting: {
    readonly fits: (event: GatewayEvent) => boolean;
    readonly take: (event: GatewayEvent) => void;
  }[] = [];

  add(event: GatewayEvent): void {
    this.events.push(event);
    const index = this.#waiting.findIndex(({ fits }) => fits(event));
    if (index < 0) return;
    const [waiter] = this.#waiting.splice(index, 1);
    this.#asked.add(event);
    waiter?.take(event);
  }

  next<Name extends GatewayEvent['event']>(
    name: Name,
    isWanted: (event: EventOf<Name>) => boolean = () => true,
  ): Promise<EventOf<Name>> {
    const fits = (event: GatewayEvent) => event.event === name && isWanted(event as EventOf<Name>);
    const found = this.events.find((event) => fits(event) && !this.#asked.has(event));
    if (found !== undefined) {
      this.#asked.add(found);
      return Promise.resolve(found as EventOf<Name>);
    }
    return new Promise((resolve) => {
      this.#waiting.push({ fits, take: (event) => resolve(event as EventOf<Name>) });
    });
  }
}
