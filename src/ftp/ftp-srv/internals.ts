/**
 * What the adapter touches inside ftp-srv 4.6.3, of which its own types show little, and the check that all of it is
 * where it was. See docs/decisions/0001-ftp-srv-behind-one-adapter.md.
 */
import type { EventEmitter } from 'node:events';
import type { Server, Socket } from 'node:net';
import ftpSrv from 'ftp-srv';
import ftpSrvPackage from 'ftp-srv/package.json' with { type: 'json' };

/** The one version whose inside is known. */
export const ftpSrvVersion = '4.6.3';

/** Everything ftp-srv writes to; bunyan is loaded by it, but not used. */
export type FtpSrvLog = {
  child(): FtpSrvLog;
  trace(): void;
  debug(): void;
  info(): void;
  warn(): void;
  error(): void;
  fatal(): void;
};

export type FtpSrvCommand = {
  readonly directive: string;
  readonly arg: string | null;
  readonly flags: readonly string[];
  readonly raw: string;
};

export type FtpSrvCommands = {
  /** Looks the directive up in ftp-srv's registry and runs its handler; `parse`, which mangles arguments, is passed by. */
  handle(command: FtpSrvCommand): PromiseLike<unknown>;
};

/** What is used of its emitters. */
type Emitter = Pick<EventEmitter, 'on' | 'once' | 'emit'>;

export type FtpSrvConnection = {
  readonly id: string;
  commandSocket: Socket;
  readonly commands: FtpSrvCommands;
  authenticated: boolean | undefined;
  username: string | undefined;
  fs: unknown;
  secure: boolean;
  login(username: string, password: string): PromiseLike<unknown>;
};

export type FtpSrvServer = Emitter & {
  /** Never listens: sockets are handed to it by its own `connection` event. */
  readonly server: Server;
  readonly connections: Record<string, FtpSrvConnection>;
};

export type FtpSrvOptions = {
  readonly log: FtpSrvLog;
  readonly url: string;
  readonly greeting: readonly string[];
  readonly timeout: number;
};

export type FtpSrvConstructor = new (options: FtpSrvOptions) => FtpSrvServer & {
  close(): PromiseLike<void>;
  quit(): PromiseLike<void>;
  disconnectClient(id: string): PromiseLike<unknown>;
};

/** Hands out ftp-srv, which is imported so that the image's bundle holds it. Throws where another version is installed. */
export function loadFtpSrv(): FtpSrvConstructor {
  const { version } = ftpSrvPackage;
  if (version !== ftpSrvVersion) {
    throw new Error(
      `ftp-srv ${version} is installed, but the engine adapter knows the inside of ${ftpSrvVersion} only; install that version.`,
    );
  }
  return ftpSrv as unknown as FtpSrvConstructor;
}

type Place = readonly [name: string, isThere: boolean];

/** Throws an error that names the first server field that is not what it was in 4.6.3. */
export function checkServer(server: FtpSrvServer): void {
  const prototype = Object.getPrototypeOf(Object.getPrototypeOf(server)) as Record<string, unknown>;
  checkPlaces([
    ['server.server', typeof server.server.emit === 'function' && !server.server.listening],
    ['server.server "connection" listener', server.server.listenerCount('connection') === 1],
    ['server.connections', isObject(server.connections)],
    ['server.disconnectClient', typeof prototype['disconnectClient'] === 'function'],
    ['server.quit', typeof prototype['quit'] === 'function'],
    ['server.close', typeof prototype['close'] === 'function'],
  ]);
}

/** Throws an error that names the first connection field that is not what it was in 4.6.3. */
export function checkConnection(connection: FtpSrvConnection, socket: Socket): void {
  checkPlaces([
    ['connection.id', typeof connection.id === 'string'],
    ['connection.commandSocket', connection.commandSocket === socket],
    ['connection.commandSocket "data" listener', socket.listenerCount('data') === 1],
    ['connection.commands.handle', typeof connection.commands.handle === 'function'],
    ['connection.login', typeof connection.login === 'function'],
    ['connection.secure', 'secure' in connection],
  ]);
}

function checkPlaces(places: readonly Place[]): void {
  for (const [name, isThere] of places) {
    if (!isThere) throw new Error(`ftp-srv is not as the engine adapter knows it: ${name} has changed.`);
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}
