/** The contract with ftp-srv 4.6.3: every place the adapter touches is there, and does what it is touched for. */
import assert from 'node:assert/strict';
import { once, type EventEmitter } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { FtpSrvServer } from '../../../src/ftp/ftp-srv/server.ts';
import {
  checkConnection,
  checkServer,
  ftpSrvVersion,
  type FtpSrvConnection,
} from '../../../src/ftp/ftp-srv/internals.ts';

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

describe('the engine adapter', () => {
  let engine: FtpSrvServer;
  before(() => {
    engine = new FtpSrvServer();
  });
  after(() => engine.close());

  it('The ftp-srv server turns a socket into a connection, sends the greeting and resumes the socket', async () => {
    const { client, socket, close } = await socketPair();
    const connection = engine.adopt(socket);
    assert.match(connection.id, /^[0-9a-f-]{36}$/);
    assert.equal(await readLine(client), '220 Ready\r\n');
    assert.deepEqual(Object.keys(engine.connections), [connection.id]);
    const received = once(socket, 'data');
    client.write('NOOP\r\n');
    assert.equal(String((await received)[0]), 'NOOP\r\n', 'bytes are ours, and nothing answers them');
    const gone = once(socket, 'close');
    client.destroy();
    await gone;
    assert.deepEqual(Object.keys(engine.connections), [], 'ftp-srv forgets a connection that is closed');
    close();
  });

  it('The ftp-srv server passes logins through the login event and keeps what they grant', async () => {
    const { socket, close } = await socketPair();
    const connection = engine.adopt(socket);
    const filesystem = { name: 'a filesystem' };
    const asked: string[] = [];
    const observer = ({ username, password }: { username: string; password: string }): void => {
      asked.push(`${username} ${password}`);
    };
    const emitter = engine as unknown as EventEmitter;
    emitter.on('login', observer);
    const refused = await connection.login<object>('alice', 'wrong', () => Promise.resolve(undefined));
    assert.equal(refused, undefined);
    const known = engine.connections[connection.id];
    assert.ok(known);
    assert.equal(known.authenticated, undefined);
    assert.equal(await connection.login('alice', 'right', () => Promise.resolve(filesystem)), filesystem);
    assert.equal(known.authenticated, true);
    assert.equal(known.username, 'alice');
    assert.equal(known.fs, filesystem);
    connection.logout();
    assert.equal(known.authenticated, false);
    assert.deepEqual(asked, ['alice wrong', 'alice right']);
    emitter.removeListener('login', observer);
    close();
  });

  it('The ftp-srv server rejects a login with the error of the authenticator', async () => {
    const { socket, close } = await socketPair();
    const connection = engine.adopt(socket);
    const failure = new Error('no users');
    await assert.rejects(
      connection.login('alice', 'right', () => Promise.reject(failure)),
      (error) => error === failure,
    );
    close();
  });

  const stock: readonly (readonly [verb: string, argument: string, code: number, text: string])[] = [
    ['NOOP', '', 200, 'The requested action has been successfully completed'],
    ['SYST', '', 215, 'UNIX Type: L8'],
    ['STRU', 'F', 200, 'The requested action has been successfully completed'],
    ['STRU', 'R', 504, 'Command parameter not supported'],
  ];
  for (const [verb, argument, code, text] of stock) {
    it(`ftp-srv itself answers ${verb} ${argument}`, async () => {
      assert.deepEqual(await engine.runStock(verb, argument), { code, text });
    });
  }

  it('ftp-srv answers many commands in parallel, each with its own reply', async () => {
    const verbs = Array.from({ length: 100 }, (_, index) => (index % 2 === 0 ? 'NOOP' : 'SYST'));
    const replies = await Promise.all(verbs.map((verb) => engine.runStock(verb, '')));
    assert.deepEqual(
      replies.map(({ code }) => code),
      verbs.map((verb) => (verb === 'NOOP' ? 200 : 215)),
    );
  });

  it('Many ftp-srv servers in one process leave no signal listeners behind and cause no warning', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => {
      warnings.push(warning);
    };
    process.on('warning', onWarning);
    const before = process.listenerCount('SIGTERM');
    const engines = Array.from({ length: 20 }, () => new FtpSrvServer());
    assert.equal(process.listenerCount('SIGTERM'), before);
    assert.equal(process.listenerCount('SIGINT'), 0);
    assert.equal(process.listenerCount('SIGQUIT'), 0);
    await Promise.all(engines.map((each) => each.quit()));
    process.removeListener('warning', onWarning);
    assert.deepEqual(warnings, []);
  });
});

describe('the start-up check names what has moved:', () => {
  const connectionOf = async (): Promise<{
    connection: FtpSrvConnection;
    socket: Socket;
    close: () => void;
  }> => {
    const { socket, close } = await socketPair();
    const engine = new FtpSrvServer();
    let connection: FtpSrvConnection | undefined;
    engine.once('connect', (event: { connection: FtpSrvConnection }) => (connection = event.connection));
    engine.server.emit('connection', socket);
    assert.ok(connection);
    return { connection, socket, close };
  };

  it('The start-up check of ftp-srv passes with the installed version', async () => {
    const { connection, socket, close } = await connectionOf();
    checkConnection(connection, socket);
    checkServer(new FtpSrvServer());
    close();
  });

  const places: readonly (readonly [place: string, move: (connection: FtpSrvConnection) => void])[] = [
    ['connection.id', (connection) => Object.assign(connection, { id: 1 })],
    ['connection.commandSocket', (connection) => Object.assign(connection, { commandSocket: undefined })],
    ['connection.commands.handle', (connection) => Object.assign(connection, { commands: {} })],
    ['connection.login', (connection) => Object.assign(connection, { login: undefined })],
    [
      'connection.commandSocket "data" listener',
      (connection) => connection.commandSocket.removeAllListeners('data'),
    ],
  ];
  for (const [place, move] of places) {
    it(`The start-up check of ftp-srv fails when ${place} has changed`, async () => {
      const { connection, socket, close } = await connectionOf();
      move(connection);
      assert.throws(() => checkConnection(connection, socket), {
        message: `ftp-srv is not as the engine adapter knows it: ${place} has changed.`,
      });
      close();
    });
  }

  it('The start-up check of ftp-srv fails when server.connections has changed', () => {
    const engine = new FtpSrvServer();
    Object.assign(engine, { connections: undefined });
    assert.throws(() => checkServer(engine), /: server\.connections has changed\.$/);
  });

  it('package.json pins the version of ftp-srv exactly', async () => {
    const { default: manifest } = (await import('../../../package.json', { with: { type: 'json' } })) as {
      default: { dependencies: Record<string, string> };
    };
    assert.equal(manifest.dependencies['ftp-srv'], ftpSrvVersion);
  });
});
