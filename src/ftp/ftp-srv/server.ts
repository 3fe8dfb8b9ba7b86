/**
 * ftp-srv as the gateway uses it: its server object, one connection object for each session, its greeting and its `login`
 * event. Everything else of a session is the gateway's own: docs/decisions/0001-ftp-srv-behind-one-adapter.md.
 */
import type { Socket } from 'node:net';
import {
  checkConnection,
  checkServer,
  loadFtpSrv,
  type FtpSrvConnection,
  type FtpSrvLog,
} from './internals.ts';

/** A control connection as ftp-srv sees it. */
export type FtpSrvSession = {
  readonly id: string;
  /** Reports that the control connection is under TLS from now on. */
  secured(socket: Socket): void;
  /** Makes ftp-srv emit its `login` event, with the filesystem given here as its result. Nothing waits for it. */
  loggedIn(username: string, filesystem: unknown): void;
  loggedOut(): void;
};

const quietLog: FtpSrvLog = {
  child: () => quietLog,
  trace: () => undefined,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  fatal: () => undefined,
};

const FtpSrv = loadFtpSrv();
const signals = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const;

export class FtpSrvServer extends FtpSrv {
  #isConnectionChecked = false;

  /** Throws where ftp-srv is not the version whose internals are known. */
  constructor() {
    const before = signals.map((signal) => new Set(process.listeners(signal)));
    super({ log: quietLog, url: 'ftp://127.0.0.1', greeting: [], timeout: 0 });
    // ftp-srv would exit the process on a signal, and its listeners would outlive it.
    signals.forEach((signal, index) => {
      for (const listener of process.listeners(signal)) {
        if (before[index]?.has(listener) !== true) process.removeListener(signal, listener);
      }
    });
    checkServer(this);
    this.on('login', this.#onLogin);
  }

  /**
   * Makes a socket one of ftp-srv's connections. ftp-srv writes the greeting and then resumes the socket; reading from it is
   * left to the caller, who must add its `data` listener afterwards. Throws, the first time it is called, where a connection
   * of ftp-srv is not as this adapter knows it.
   */
  attach(socket: Socket): FtpSrvSession {
    const connection = this.#connect(socket);
    if (!this.#isConnectionChecked) checkConnection(connection, socket);
    this.#isConnectionChecked = true;
    // ftp-srv's own framing takes every chunk for whole lines.
    socket.removeAllListeners('data');
    let login: { readonly username: string; readonly filesystem: unknown } | undefined;
    const update = (): void => {
      connection.authenticated = login !== undefined;
      connection.username = login?.username;
      connection.fs = login?.filesystem;
    };
    return {
      id: connection.id,
      secured(tlsSocket) {
        connection.commandSocket = tlsSocket;
        connection.secure = true;
      },
      loggedIn(username, filesystem) {
        login = { username, filesystem };
        update();
        // ftp-srv sets its fields some turns later, when the session may be logged out again.
        void connection.login(username, '').then(update);
      },
      loggedOut() {
        login = undefined;
        update();
      },
    };
  }

  /** ftp-srv's own implementation leaves a timer of a second behind for each session that ends. */
  override disconnectClient(id: string): Promise<void> {
    Reflect.deleteProperty(this.connections, id);
    return Promise.resolve();
  }

  /** ftp-srv's own implementation exits the process. */
  override quit(): PromiseLike<void> {
    return this.close();
  }

  #connect(socket: Socket): FtpSrvConnection {
    let connection: FtpSrvConnection | undefined;
    this.once(
      'connect',
      (event: { readonly connection: FtpSrvConnection }) => (connection = event.connection),
    );
    this.server.emit('connection', socket);
    if (connection === undefined) throw new Error('ftp-srv made no connection of a socket.');
    return connection;
  }

  readonly #onLogin = (
    { connection }: { readonly connection: FtpSrvConnection },
    resolve: (granted: { readonly fs: unknown }) => void,
  ): void => resolve({ fs: connection.fs });
}
