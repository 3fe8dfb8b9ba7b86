/** The contract with ftp-srv 4.6.3: each field that the gateway uses exists, and does what it is used for. */
import assert from 'node:assert/strict';
import { once, type EventEmitter } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { FtpSrvServer } from '../../../src/ftp/ftp-srv/server.ts';
import {
  checkConnection,
  checkServer,
  ftpSrvVersion,
  type FtpSrvConnection,
} from '../../../src/ftp/ftp-srv/internals.ts';

type LoginEvent = {
  readonly connection: FtpSrvConnection;
  readonly username: string;
  readonly password: string;
};

/** Both ends of a connection; the server's is paused, as a listener of the gateway hands it over. */
type SocketPair = { readonly client: Socket; readonly socket: Socket; readonly close: () => void };

async function socketPair(): Promise<SocketPair> {
  const server = createServer({ pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [Socket];
  return {
    client,
    socket,
    close() {
      client.destroy();
      socket.destroy();
      server.close();
    },
  };
}

async function readLine(client: Socket): Promise<string> {
  const [bytes] = (await once(client, 'data')) as [Buffer];
  return bytes.toString();
}

describe('FtpSrvServer', () => {
  let server: FtpSrvServer;
  before(() => {
    server = new FtpSrvServer();
  });
  after(() => server.close());

  it('The ftp-srv server turns a socket into a connection, sends the greeting and resumes the socket', async () => {
    const { client, socket, close } = await socketPair();
    const session = server.attach(socket);
    assert.match(session.id, /^[0-9a-f-]{36}$/);
    assert.equal(await readLine(client), '220 Ready\r\n');
    assert.deepEqual(Object.keys(server.connections), [session.id]);
    const received = once(socket, 'data');
    client.write('NOOP\r\n');
    assert.equal(String((await received)[0]), 'NOOP\r\n', 'ftp-srv reads and answers nothing itself');
    const socketClosed = once(socket, 'close');
    client.destroy();
    await socketClosed;
    assert.deepEqual(Object.keys(server.connections), [], 'ftp-srv forgets a connection that is closed');
    close();
  });

  it('The ftp-srv server emits the login event for a login, without its password, and keeps the filesystem', async () => {
    const { socket, close } = await socketPair();
    const session = server.attach(socket);
    const filesystem = { name: 'a filesystem' };
    const logins: unknown[] = [];
    const observer = ({ connection, username, password }: LoginEvent): void => {
      logins.push([connection.id, username, password]);
    };
    const emitter = server as unknown as EventEmitter;
    emitter.on('login', observer);
    session.loggedIn('alice', filesystem);
    await setImmediate();
    const connection = server.connections[session.id];
    assert.ok(connection);
    assert.deepEqual(logins, [[session.id, 'alice', '']]);
    assert.equal(connection.authenticated, true);
    assert.equal(connection.username, 'alice');
    assert.equal(connection.fs, filesystem);
    session.loggedOut();
    assert.equal(connection.authenticated, false);
    assert.equal(connection.fs, undefined);
    emitter.removeListener('login', observer);
    close();
  });

  it('The ftp-srv server leaves a connection logged out when the logout precedes its handling of the login', async () => {
    const { socket, close } = await socketPair();
    const session = server.attach(socket);
    session.loggedIn('alice', { name: 'a filesystem' });
    session.loggedOut();
    await setImmediate();
    const connection = server.connections[session.id];
    assert.equal(connection?.authenticated, false);
    assert.equal(connection.username, undefined);
    assert.equal(connection.fs, undefined);
    close();
  });

  it('The ftp-srv server knows the second of two logins that follow each other in one tick', async () => {
    const { socket, close } = await socketPair();
    const session = server.attach(socket);
    const second = { name: 'the second' };
    session.loggedIn('alice', { name: 'the first' });
    session.loggedOut();
    session.loggedIn('bob', second);
    await setImmediate();
    const connection = server.connections[session.id];
    assert.equal(connection?.authenticated, true);
    assert.equal(connection.username, 'bob');
    assert.equal(connection.fs, second);
    close();
  });

  it('The ftp-srv server checks the first connection that it makes and throws if ftp-srv has changed', async () => {
    const { socket, close } = await socketPair();
    const changed = new FtpSrvServer();
    changed.once('connect', ({ connection }: { connection: FtpSrvConnection }) =>
      Object.assign(connection, { login: undefined }),
    );
    assert.throws(() => changed.attach(socket), /: connection\.login has changed\.$/);
    close();
  });

  it('Many ftp-srv servers in one process leave no signal listeners behind and cause no warning', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => {
      warnings.push(warning);
    };
    process.on('warning', onWarning);
    const before = process.listenerCount('SIGTERM');
    const servers = Array.from({ length: 20 }, () => new FtpSrvServer());
    assert.equal(process.listenerCount('SIGTERM'), before);
    assert.equal(process.listenerCount('SIGINT'), 0);
    assert.equal(process.listenerCount('SIGQUIT'), 0);
    await Promise.all(servers.map((each) => each.quit()));
    process.removeListener('warning', onWarning);
    assert.deepEqual(warnings, []);
  });
});

describe('The check of ftp-srv', () => {
  const connectionOf = async (): Promise<{
    connection: FtpSrvConnection;
    socket: Socket;
    close: () => void;
  }> => {
    const { socket, close } = await socketPair();
    const server = new FtpSrvServer();
    let connection: FtpSrvConnection | undefined;
    server.once('connect', (event: { connection: FtpSrvConnection }) => (connection = event.connection));
    server.server.emit('connection', socket);
    assert.ok(connection);
    return { connection, socket, close };
  };

  it('The start-up check of ftp-srv passes with the installed version', async () => {
    const { connection, socket, close } = await connectionOf();
    checkConnection(connection, socket);
    checkServer(new FtpSrvServer());
    close();
  });

  const fields: readonly (readonly [field: string, change: (connection: FtpSrvConnection) => void])[] = [
    ['connection.id', (connection) => Object.assign(connection, { id: 1 })],
    ['connection.commandSocket', (connection) => Object.assign(connection, { commandSocket: undefined })],
    ['connection.login', (connection) => Object.assign(connection, { login: undefined })],
    [
      'connection.commandSocket "data" listener',
      (connection) => connection.commandSocket.removeAllListeners('data'),
    ],
  ];
  for (const [field, change] of fields) {
    it(`The start-up check of ftp-srv names ${field} if it has changed`, async () => {
      const { connection, socket, close } = await connectionOf();
      change(connection);
      assert.throws(() => checkConnection(connection, socket), {
        message: `ftp-srv is not as the gateway knows it: ${field} has changed.`,
      });
      close();
    });
  }

  it('The start-up check of ftp-srv names server.connections if it has changed', () => {
    const server = new FtpSrvServer();
    Object.assign(server, { connections: undefined });
    assert.throws(() => checkServer(server), /: server\.connections has changed\.$/);
  });

  it('package.json pins the exact version of ftp-srv', async () => {
    const { default: manifest } = (await import('../../../package.json', { with: { type: 'json' } })) as {
      default: { dependencies: Record<string, string> };
    };
    assert.equal(manifest.dependencies['ftp-srv'], ftpSrvVersion);
  });
});
