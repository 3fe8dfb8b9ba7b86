/** What ends or exhausts stock ftp-srv 4.6.3 from outside, and what the gateway does instead. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Networks } from '../../../src/net/networks.ts';
import type { Authenticate } from '../../../src/users/user.ts';
import { closed, Dialogue, readAll } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { LeakCheck } from '../../support/leak-check.ts';

const mebibyte = 1024 * 1024;

async function connectTo(port: number, localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** Writes as much as the other side takes, until it has been offered `totalBytes` or takes nothing for 200 ms. */
async function offer(socket: Socket, bytes: Buffer, totalBytes: number): Promise<number> {
  let offered = 0;
  while (offered < totalBytes && !socket.destroyed) {
    offered += bytes.length;
    if (socket.write(bytes)) continue;
    const stopped = AbortSignal.timeout(200);
    try {
      await once(socket, 'drain', { signal: stopped });
    } catch {
      break;
    }
  }
  return offered - socket.writableLength;
}

describe('denial of service by hostile clients', () => {
  const leaks = new LeakCheck();
  let gateway: TestGateway;
  before(async () => {
    gateway = await startTestGateway({ dataConnectionTimeoutMs: 300, passivePorts: [0, 0] });
    gateway.filesystem.putFile('/f', Buffer.alloc(mebibyte, 'f'));
  });
  after(async () => {
    await gateway.close();
    await leaks.assertNothingLeft();
  });
  const logIn = (): Promise<Dialogue> => Dialogue.logIn({ port: gateway.controlPort });

  it('Connections that are reset on a passive port affect neither the process nor the session', async () => {
    // With time for all of the connections: the port is leased from the EPSV on.
    const unhurried = await startTestGateway({ passivePorts: [0, 0] });
    unhurried.filesystem.putFile('/f', Buffer.alloc(mebibyte, 'f'));
    const client = await Dialogue.logIn({ port: unhurried.controlPort });
    const answer = await client.ask('EPSV');
    const port = Number(/\|\|\|(\d+)\|/.exec(answer)?.[1]);
    for (let attempt = 0; attempt < 200; attempt++) {
      const socket = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.9' });
      socket.on('error', () => undefined);
      socket.once('connect', () => socket.resetAndDestroy());
      await closed(socket);
    }
    const data = await connectTo(port);
    const content = readAll(data);
    await client.says('RETR /f', /^150 /, /^226 /);
    assert.equal((await content).length, mebibyte);
    await client.quit();
    await unhurried.close();
  });

  it('An active data connection that arrives after QUIT is not used', async () => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const client = await logIn();
    await client.says(`PORT 127,0,0,1,${port >> 8},${port & 255}`, '200 PORT command successful.');
    const connected = once(server, 'connection') as Promise<[Socket]>;
    await client.send('RETR /f\r\nQUIT\r\n');
    const [data] = await connected;
    client.destroy();
    data.resume();
    await closed(data);
    server.close();
    await (await logIn()).quit();
  });

  it('A flood of lines from clients that read no replies is not read into memory', async () => {
    const line = Buffer.from('h\r\n'.repeat(20_000));
    const before = process.memoryUsage().rss;
    const sockets = await Promise.all(Array.from({ length: 10 }, () => connectTo(gateway.controlPort)));
    for (const socket of sockets) socket.pause();
    const taken = await Promise.all(sockets.map((socket) => offer(socket, line, 64 * mebibyte)));
    for (const bytes of taken) assert.ok(bytes < 32 * mebibyte, `${bytes} bytes were taken of 64 MiB`);
    const grown = process.memoryUsage().rss - before;
    assert.ok(grown < 128 * mebibyte, `memory grew by ${Math.round(grown / mebibyte)} MiB`);
    for (const socket of sockets) socket.destroy();
    await (await logIn()).quit();
  });

  it('A line of 64 MiB without an end gets one 500 without an echo, and the session continues', async () => {
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    for (let sent = 0; sent < 64; sent++) await client.send(Buffer.alloc(mebibyte, 'x'));
    await client.send('\r\nNOOP\r\n');
    await client.expect('500 Command line too long.', /^200 /);
    client.destroy();
  });

  it('A session is read on when the turn of the event loop ends within an overlong line', async (context) => {
    // Each look at the clock takes longer than a turn may, as on a busy machine.
    const now = performance.now.bind(performance);
    let aheadMs = 0;
    context.mock.method(performance, 'now', () => now() + (aheadMs += 6));
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    for (let sent = 0; sent < 4; sent++) await client.send(Buffer.alloc(mebibyte, 'x'));
    await client.send('\r\nNOOP\r\n');
    await client.expect('500 Command line too long.', /^200 /);
    client.destroy();
  });

  it('A client that keeps sending overlong lines is disconnected', async () => {
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    const overlong = `${'x'.repeat(9_000)}\r\n`;
    await client.send(overlong.repeat(8));
    for (let line = 0; line < 8; line++) await client.expect('500 Command line too long.');
    await client.expect(
      '421 Too many overlong command lines; closing the control connection. [LIMIT-COMMANDS]',
    );
    await client.expectClosed();
  });

  it('A connection from another address does not affect the session whose port it reaches', async () => {
    const client = await logIn();
    const port = Number(/\|\|\|(\d+)\|/.exec(await client.ask('EPSV'))?.[1]);
    const foreign = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' });
    await closed(foreign);
    const content = readAll(await connectTo(port));
    await client.says('RETR /f', /^150 /, /^226 /);
    assert.equal((await content).length, mebibyte);
    await client.quit();
  });

  it('A session that repeats PASV holds only one port', async () => {
    const greedy = await logIn();
    for (let attempt = 0; attempt < 20; attempt++) await greedy.says('EPSV', /^229 /);
    assert.deepEqual(gateway.passivePortUsage, { leases: 1, waiting: 0 });
    const other = await logIn();
    await other.says('EPSV', /^229 /);
    greedy.destroy();
    await other.quit();
  });

  it('Data connections that never arrive leave nothing running', async () => {
    const client = await logIn();
    await client.says('EPSV', /^229 /);
    const before = timers();
    for (let attempt = 0; attempt < 5; attempt++) {
      await client.says('EPSV', /^229 /);
      await client.says('RETR /f', /^150 /, /^425 No connection from /);
    }
    await client.says('ABOR', '226 ABOR command successful.');
    for (let turn = 0; turn < 100 && timers() > before - 1; turn++) await nextTurn();
    assert.ok(timers() <= before, `${timers()} timers run, ${before} before`);
    await client.quit();
  });
});

function timers(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
}

describe('sessions without a login', () => {
  it('A connection that never logs in is closed after the login timeout', async () => {
    const gateway = await startTestGateway({ loginTimeoutMs: 100 });
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect(
      '220 Ready',
      '421 The login took too long; closing the control connection. [LOGIN-TIMEOUT]',
    );
    await client.expectClosed();
    const { cause } = await gateway.nextEvent('session-closed');
    assert.equal(cause, 'LOGIN-TIMEOUT');
    await gateway.close();
  });

  it('A client that keeps sending commands without logging in is closed after the login timeout', async () => {
    const gateway = await startTestGateway({ loginTimeoutMs: 150 });
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    let answer = '';
    while (!answer.startsWith('421')) answer = await client.ask('NOOP');
    client.destroy();
    await gateway.close();
  });

  for (const [command, reply] of [
    ['REIN', '220 Service ready for new user.'],
    ['USER alice', '331 Password required.'],
  ] as const) {
    it(`A client that repeats ${command} without logging in is closed after the login timeout`, async () => {
      const gateway = await startTestGateway({ loginTimeoutMs: 200 });
      const client = await Dialogue.open({ port: gateway.controlPort });
      await client.expect('220 Ready');
      const startMs = performance.now();
      let answer = reply;
      while (answer === reply && performance.now() - startMs < 5_000)
        answer = (await client.ask(command)) as never;
      assert.equal(answer, '421 The login took too long; closing the control connection. [LOGIN-TIMEOUT]');
      client.destroy();
      await gateway.close();
    });
  }

  it('REIN after a login gives the next login its whole time', async () => {
    const gateway = await startTestGateway({ loginTimeoutMs: 300 });
    const client = await Dialogue.logIn({ port: gateway.controlPort });
    await client.says('NOOP', /^200 /);
    const startMs = performance.now();
    await client.says('REIN', '220 Service ready for new user.');
    await client.expect('421 The login took too long; closing the control connection. [LOGIN-TIMEOUT]');
    assert.ok(performance.now() - startMs >= 290, 'the timeout began at REIN');
    await client.expectClosed();
    await gateway.close();
  });

  it('The third wrong password closes the connection, and each refusal is slower than the one before', async () => {
    const gateway = await startTestGateway({ maxLoginAttempts: 3 });
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    const tookMs: number[] = [];
    // In one packet: attempts cannot be made at the same time either.
    await client.send(
      'USER alice\r\nPASS a\r\nUSER alice\r\nPASS b\r\nUSER alice\r\nPASS c\r\nUSER alice\r\nPASS secret\r\n',
    );
    for (let attempt = 0; attempt < 3; attempt++) {
      const startMs = performance.now();
      await client.expect('331 Password required.', '530 Login incorrect. [LOGIN-REFUSED]');
      tookMs.push(performance.now() - startMs);
    }
    await client.expectClosed();
    const [first = 0, second = 0, third = 0] = tookMs;
    assert.ok(first >= 200 && second >= 400 && third >= 900, `replies took ${tookMs.join(', ')} ms`);
    const { cause } = await gateway.nextEvent('session-closed');
    assert.equal(cause, 'LOGIN-ATTEMPTS');
    await gateway.close();
  });

  it('After too many distinct wrong passwords, even the correct one is refused for some time, and only from that address', async () => {
    const gateway = await startTestGateway({ maxLoginFailures: 6, maxLoginAttempts: 10 });
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    for (const password of ['wrong', 'worse', 'wrong', 'third']) {
      await client.says('USER alice', '331 Password required.');
      await client.says(`PASS ${password}`, '530 Login incorrect. [LOGIN-REFUSED]');
    }
    await client.says('USER alice', '331 Password required.');
    const startMs = performance.now();
    await client.says(
      'PASS secret',
      /^530 Too many failed logins; try again in \d+0 s\. \[LOGIN-THROTTLED\]$/,
    );
    assert.ok(performance.now() - startMs > 4_900, 'the refusal is held back');
    const ban = await gateway.nextEvent('login-ban');
    assert.deepEqual([ban.source, ban.username], ['127.0.0.1', 'alice']);
    assert.equal(gateway.loginBans.length, 1);
    await (await Dialogue.logIn({ port: gateway.controlPort, localAddress: '127.0.0.2' })).quit();
    client.destroy();
    await gateway.close();
  });

  it('A source that is exempt from bans logs in however many passwords were wrong', async () => {
    const loginBanExempt = Networks.parse('127.0.0.0/24');
    const gateway = await startTestGateway({ maxLoginFailures: 2, maxLoginAttempts: 10, loginBanExempt });
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    for (const password of ['a', 'b', 'c']) {
      await client.says('USER alice', '331 Password required.');
      await client.says(`PASS ${password}`, '530 Login incorrect. [LOGIN-REFUSED]');
    }
    await client.says('USER alice', '331 Password required.');
    await client.says('PASS secret', '230 Logged in.');
    await client.quit();
    await gateway.close();
  });

  it('USER with a name of more than 256 characters is refused, and no event has a long name', async () => {
    const gateway = await startTestGateway();
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    await client.says(`USER ${'x'.repeat(257)}`, '501 The user name is too long.');
    await client.says(`USER ${'x'.repeat(256)}`, '331 Password required.');
    await client.says('PASS wrong', '530 Login incorrect. [LOGIN-REFUSED]');
    assert.equal((await gateway.nextEvent('login')).username.length, 129);
    client.destroy();
    await gateway.close();
  });

  /** Checks that end only with their signal. */
  const neverChecked: Authenticate = (_credentials, signal) =>
    new Promise((_resolve, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
    );

  it('A login that waits for its check ends with the login timeout', async () => {
    const gateway = await startTestGateway({ loginTimeoutMs: 200, authenticate: neverChecked });
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    await client.says('USER alice', '331 Password required.');
    await client.send('PASS secret\r\n');
    await client.expect('421 The login took too long; closing the control connection. [LOGIN-TIMEOUT]');
    await client.expectClosed();
    await gateway.nextEvent('session-closed');
    await nextTurn();
    assert.equal(gateway.sessionCount, 0);
    await gateway.close();
  });

  it('A client that sends more than 16 KiB behind a password is disconnected, so that its end is noticed', async () => {
    const gateway = await startTestGateway({ authenticate: neverChecked });
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    await client.says('USER alice', '331 Password required.');
    await client.send(`PASS secret\r\n${'NOOP\r\n'.repeat(40_000)}`).catch(() => undefined);
    assert.equal((await gateway.nextEvent('session-closed')).cause, 'LIMIT-COMMANDS');
    await nextTurn();
    assert.equal(gateway.sessionCount, 0);
    client.destroy();
    await gateway.close();
  });
});
