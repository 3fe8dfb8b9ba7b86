/**
 * The internals of ftp-srv 4.6.3 that the adapter uses, of which ftp-srv's own types show few, and the check that they are
 * unchanged. See docs/decisions/0001-ftp-srv-behind-one-adapter.md.
 */
import type { EventEmitter } from 'node:events';
import type { Server, Socket } from 'node:net';
import ftpSrv from 'ftp-srv';
import ftpSrvPackage from 'ftp-srv/package.json' with { type: 'json' };

/** The only version whose internals are known. */
export const ftpSrvVersion = '4.6.3';

/** ftp-srv's log. ftp-srv loads bunyan, which is not used. */
export type FtpSrvLog = {
  child(): FtpSrvLog;
  trace(): void;
  debug(): void;
  info(): void;
  warn(): void;
  error(): void;
  fatal(): void;
};

/** The methods that are used of its emitters. */
type Emitter = Pick<EventEmitter, 'on' | 'once' | 'emit'>;

export type FtpSrvConnection = {
  readonly id: string;
  commandSocket: Socket;
  authenticated: boolean | undefined;
  username: string | undefined;
  fs: unknown;
  secure: boolean;
  login(username: string, password: string): PromiseLike<unknown>;
};

export type FtpSrvServerInternals = Emitter & {
  /** Never listens: it receives sockets through its own `connection` event. */
  readonly server: Server;
  readonly connections: Record<string, FtpSrvConnection>;
};

export type FtpSrvOptions = {
  readonly log: FtpSrvLog;
  readonly url: string;
  readonly greeting: readonly string[];
  readonly timeout: number;
};

export type FtpSrvConstructor = new (options: FtpSrvOptions) => FtpSrvServerInternals & {
  close(): PromiseLike<void>;
  quit(): PromiseLike<void>;
  disconnectClient(id: string): PromiseLike<unknown>;
};

/** Returns ftp-srv; a static import, so that the image's bundle contains it. Throws where another version is installed. */
export function loadFtpSrv(): FtpSrvConstructor {
  const { version } = ftpSrvPackage;
  if (version !== ftpSrvVersion) {
    throw new Error(
      `ftp-srv ${version} is installed, but the gateway works with ${ftpSrvVersion} only; install that version.`,
    );
  }
  return ftpSrv as unknown as FtpSrvConstructor;
}

type Field = readonly [name: string, isUnchanged: boolean];

/** Throws an error that names the first field of the server that differs from 4.6.3. */
export function checkServer(server: FtpSrvServerInternals): void {
  const prototype = Object.getPrototypeOf(Object.getPrototypeOf(server)) as Record<string, unknown>;
  checkFields([
    ['server.server', typeof server.server.emit === 'function' && !server.server.listening],
    ['server.server "connection" listener', server.server.listenerCount('connection') === 1],
    ['server.connections', isObject(server.connections)],
    ['server.disconnectClient', typeof prototype['disconnectClient'] === 'function'],
    ['server.quit', typeof prototype['quit'] === 'function'],
    ['server.close', typeof prototype['close'] === 'function'],
  ]);
}

/** Throws an error that names the first field of the connection that differs from 4.6.3. */
export function checkConnection(connection: FtpSrvConnection, socket: Socket): void {
  checkFields([
    ['connection.id', typeof connection.id === 'string'],
    ['connection.commandSocket', connection.commandSocket === socket],
    ['connection.commandSocket "data" listener', socket.listenerCount('data') === 1],
    ['connection.login', typeof connection.login === 'function'],
    ['connection.secure', 'secure' in connection],
  ]);
}

function checkFields(fields: readonly Field[]): void {
  for (const [name, isUnchanged] of fields) {
    if (!isUnchanged) throw new Error(`ftp-srv is not as the gateway knows it: ${name} has changed.`);
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}
