/**
 * ftp-srv as the engine, and the only place that names what is inside it. It keeps ftp-srv's server and connection
 * objects, their bookkeeping, greeting, `login` event and a few commands; everything else of a session is ours.
 */
import { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import { reply, type Reply } from '../commands/reply.ts';
import {
  checkConnection,
  checkServer,
  loadFtpSrv,
  type FtpSrvCommands,
  type FtpSrvConnection,
  type FtpSrvLog,
} from './internals.ts';

/** One control connection, as ftp-srv knows it. */
export type FtpSrvSession = {
  readonly id: string;
  /** The control connection is TLS from now on. */
  secured(socket: Socket): void;
  /**
   * Passes a login through ftp-srv's `login` event. `authenticate` answers it: with the filesystem of the user who is
   * logged in then, or undefined. Rejects as `authenticate` does.
   */
  login<Filesystem>(
    username: string,
    password: string,
    authenticate: () => Promise<Filesystem | undefined>,
  ): Promise<Filesystem | undefined>;
  /** REIN: nobody is logged in any more. */
  logout(): void;
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
  /** What answers the `login` event of a connection, while it is under way. */
  readonly #logins = new WeakMap<FtpSrvConnection, () => Promise<unknown>>();
  /** A connection to nowhere: shows that ftp-srv is as it was, and runs the commands that need no session. */
  readonly #standIn: FtpSrvConnection;

  /** Throws where ftp-srv is not the version whose inside is known. */
  constructor() {
    const before = signals.map((signal) => new Set(process.listeners(signal)));
    super({ log: quietLog, url: 'ftp://127.0.0.1', greeting: [], timeout: 0 });
    // What a signal means is the process's to say; ftp-srv would exit, and its listeners would outlive it.
    signals.forEach((signal, index) => {
      for (const listener of process.listeners(signal)) {
        if (before[index]?.has(listener) !== true) process.removeListener(signal, listener);
      }
    });
    checkServer(this);
    this.on('login', this.#onLogin);
    const nowhere = new Nowhere() as unknown as Socket;
    this.#standIn = this.#connect(nowhere);
    checkConnection(this.#standIn, nowhere);
    this.#standIn.authenticated = true;
    Reflect.deleteProperty(this.connections, this.#standIn.id);
  }

  /**
   * Makes a socket one of ftp-srv's connections. The greeting is written at once, and then the socket resumed; what it
   * delivers is the caller's.
   */
  adopt(socket: Socket): FtpSrvSession {
    const connection = this.#connect(socket);
    // Its own framing takes every chunk for whole lines.
    socket.removeAllListeners('data');
    return {
      id: connection.id,
      secured(tlsSocket) {
        connection.commandSocket = tlsSocket;
        connection.secure = true;
      },
      login: (username, password, authenticate) => this.#login(connection, username, password, authenticate),
      logout() {
        connection.authenticated = false;
        connection.username = undefined;
        connection.fs = undefined;
      },
    };
  }

  /** Runs one of ftp-srv's own commands that need no session, and returns the reply that it would have sent. */
  async runStock(verb: string, argument: string): Promise<Reply> {
    let text = '';
    const commandSocket = {
      writable: true,
      address: () => ({ port: 0 }),
      write(line: string, _encoding: string, written: () => void) {
        text += line;
        written();
      },
    };
    const connection = Object.create(this.#standIn, { commandSocket: { value: commandSocket } }) as unknown;
    const commands = Object.create(this.#standIn.commands, {
      connection: { value: connection },
    }) as FtpSrvCommands;
    await commands.handle({
      directive: verb,
      arg: argument === '' ? null : argument,
      flags: [],
      raw: `${verb} ${argument}`,
    });
    const [, code, message] = /^(\d{3}) ([^\r\n]*)\r\n$/.exec(text) ?? [];
    if (code === undefined || message === undefined) throw new Error(`ftp-srv gave no reply to ${verb}.`);
    return reply(Number(code), message);
  }

  /** The stock way leaves a timer of a second behind for every session that ends. */
  override disconnectClient(id: string): Promise<void> {
    Reflect.deleteProperty(this.connections, id);
    return Promise.resolve();
  }

  /** The stock way ends the process. */
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

  async #login<Filesystem>(
    connection: FtpSrvConnection,
    username: string,
    password: string,
    authenticate: () => Promise<Filesystem | undefined>,
  ): Promise<Filesystem | undefined> {
    let filesystem: Filesystem | undefined;
    let failure: { readonly error: unknown } | undefined;
    this.#logins.set(connection, async () => {
      try {
        filesystem = await authenticate();
      } catch (error) {
        failure = { error };
      }
      return filesystem;
    });
    connection.username = username;
    try {
      await connection.login(username, password);
    } catch (error) {
      if (failure === undefined && !(error instanceof LoginRefused)) throw error;
    }
    if (failure !== undefined) throw failure.error;
    return filesystem;
  }

  readonly #onLogin = (
    { connection }: { readonly connection: FtpSrvConnection },
    resolve: (grant: { readonly fs: unknown }) => void,
    reject: (error: Error) => void,
  ): void => {
    const login = this.#logins.get(connection);
    this.#logins.delete(connection);
    if (login === undefined) {
      reject(new LoginRefused());
      return;
    }
    void login().then((fs) => {
      if (fs === undefined) reject(new LoginRefused());
      else resolve({ fs });
    });
  };
}

class LoginRefused extends Error {
  override readonly name = 'LoginRefused';
}

/** The socket of the stand-in: takes everything and delivers nothing. */
class Nowhere extends Duplex {
  address(): { readonly port: number } {
    return { port: 0 };
  }

  override _read(): void {
    // Nothing ever comes.
  }

  override _write(_bytes: Buffer, _encoding: BufferEncoding, written: () => void): void {
    written();
  }
}
