/** How many sessions there may be, how long they may last, and how the gateway stops. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, describe, it } from 'node:test';
import type { Authenticate, User } from '../../../src/users/user.ts';
import { closed, Dialogue, readAll } from '../../support/dialogue.ts';
import { startTestGateway, type TestGatewayOptions } from '../../support/gateway.ts';
import { LeakCheck } from '../../support/leak-check.ts';

const leaks = new LeakCheck();
after(() => leaks.assertNothingLeft());

const big = Buffer.alloc(64 * 1024 * 1024, 'b');

async function withGateway(
  options: TestGatewayOptions,
  test: (gateway: Awaited<ReturnType<typeof startTestGateway>>) => Promise<void>,
): Promise<void> {
  const gateway = await startTestGateway(options);
  try {
    await test(gateway);
  } finally {
    await gateway.close();
  }
}

describe('of sessions there are', () => {
  it('A session beyond the total limit is refused with an explanation, and the next one is served when a session ends', () =>
    withGateway({ maxSessions: 2 }, async (gateway) => {
      const two = [
        await Dialogue.logIn({ port: gateway.controlPort }),
        await Dialogue.logIn({ port: gateway.controlPort }),
      ];
      const third = await Dialogue.open({ port: gateway.controlPort });
      await third.expect('421 Too many sessions; try again later. [LIMIT-SESSIONS]');
      await third.expectClosed();
      assert.equal((await gateway.nextEvent('session-refused')).cause, 'LIMIT-SESSIONS');
      await two[0]!.quit();
      await gateway.nextEvent('session-closed');
      await (await Dialogue.logIn({ port: gateway.controlPort })).quit();
      await two[1]!.quit();
    }));

  it('A session beyond the limit under implicit TLS is refused under TLS', () =>
    withGateway({ maxSessions: 1, tls: 'optional', implicitTls: true }, async (gateway) => {
      const options = { port: gateway.implicitTlsPort!, implicitTls: true } as const;
      const one = await Dialogue.logIn(options);
      const next = await Dialogue.open(options);
      await next.expect('421 Too many sessions; try again later. [LIMIT-SESSIONS]');
      await next.expectClosed();
      await one.quit();
    }));

  it('A session beyond the limit of its address is refused', () =>
    withGateway({ maxSessionsPerAddress: 1 }, async (gateway) => {
      const one = await Dialogue.logIn({ port: gateway.controlPort });
      const next = await Dialogue.open({ port: gateway.controlPort });
      await next.expect('421 Too many sessions from your address; try again later. [LIMIT-ADDRESS]');
      await next.expectClosed();
      const elsewhere = await Dialogue.logIn({ port: gateway.controlPort, localAddress: '127.0.0.2' });
      await elsewhere.quit();
      await one.quit();
    }));

  it('A session beyond the limit of its user is refused until the user quits or logs in as another user', () =>
    withGateway(
      {
        maxSessionsPerUser: 1,
        users: [
          { name: 'alice', password: 'secret' },
          { name: 'bob', password: 'secret' },
        ],
      },
      async (gateway) => {
        const one = await Dialogue.logIn({ port: gateway.controlPort });
        const next = await Dialogue.open({ port: gateway.controlPort });
        await next.expect('220 Ready');
        await next.says('USER alice', '331 Password required.');
        await next.says('PASS secret', '421 Too many sessions of this user; try again later. [LIMIT-USER]');
        await next.expectClosed();
        await one.says('USER bob', '331 Password required.');
        await one.says('PASS secret', '230 Logged in.');
        const again = await Dialogue.logIn({ port: gateway.controlPort });
        await again.quit();
        await one.quit();
      },
    ));
});

describe('connections without a login', () => {
  const refused = '421 Too many connections without a login; try again later. [LIMIT-BEFORE-LOGIN]';

  it('One address holds only its share of connections without a login, on the clear and on the implicit-TLS port', () =>
    withGateway({ maxUnauthenticatedPerAddress: 3, tls: 'optional', implicitTls: true }, async (gateway) => {
      const localAddress = '127.0.0.9';
      // Without a byte: the limit applies before the handshake.
      const silent = Array.from({ length: 2 }, () =>
        connect({ port: gateway.implicitTlsPort!, host: '127.0.0.1', localAddress }),
      );
      await Promise.all(silent.map((socket) => once(socket, 'connect')));
      const greeted = await Dialogue.open({ port: gateway.controlPort, localAddress });
      await greeted.expect('220 Ready');
      for (const options of [
        { port: gateway.controlPort },
        { port: gateway.implicitTlsPort!, implicitTls: true },
      ] as const) {
        const next = await Dialogue.open({ ...options, localAddress });
        await next.expect(refused);
        await next.expectClosed();
        assert.equal((await gateway.nextEvent('session-refused')).cause, 'LIMIT-BEFORE-LOGIN');
        await (await Dialogue.logIn(options)).quit();
      }
      silent.forEach((socket) => socket.destroy());
      greeted.destroy();
    }));

  it('The session limit of an address applies on the implicit-TLS port before the handshake', () =>
    withGateway({ maxSessionsPerAddress: 2, tls: 'optional', implicitTls: true }, async (gateway) => {
      const { implicitTlsPort: port = 0 } = gateway;
      const silent = Array.from({ length: 2 }, () => connect({ port, host: '127.0.0.1' }));
      await Promise.all(silent.map((socket) => once(socket, 'connect')));
      const next = await Dialogue.open({ port, implicitTls: true });
      await next.expect('421 Too many sessions from your address; try again later. [LIMIT-ADDRESS]');
      await next.expectClosed();
      await (await Dialogue.logIn({ port, implicitTls: true, localAddress: '127.0.0.2' })).quit();
      silent.forEach((socket) => socket.destroy());
    }));

  it('Clients that hold all connections without a login keep no partner out', () =>
    withGateway({ maxUnauthenticated: 20 }, async (gateway) => {
      const { controlPort: port } = gateway;
      const strangers = await Promise.all(
        Array.from({ length: 20 }, (_, host) => Dialogue.open({ port, localAddress: `127.0.9.${host + 1}` })),
      );
      for (const stranger of strangers) await stranger.expect('220 Ready');
      const partner = await Dialogue.logIn({ port });
      await strangers[0]!.expect(refused);
      await strangers[0]!.expectClosed();
      assert.equal((await gateway.nextEvent('session-closed')).cause, 'LIMIT-BEFORE-LOGIN');
      await strangers[1]!.says('NOOP', /^200 /);
      await partner.quit();
      strangers.forEach((stranger) => stranger.destroy());
    }));

  it('A TLS handshake that does not come is closed after the handshake timeout, on both ports', () =>
    withGateway({ handshakeTimeoutMs: 200, tls: 'optional', implicitTls: true }, async (gateway) => {
      const implicit = connect({ port: gateway.implicitTlsPort!, host: '127.0.0.1' });
      await closed(implicit);
      const explicit = await Dialogue.open({ port: gateway.controlPort });
      await explicit.expect('220 Ready');
      await explicit.says('AUTH TLS', '234 Proceed with the TLS handshake.');
      await explicit.expectClosed();
      assert.equal((await gateway.nextEvent('session-closed')).cause, 'TLS-TIMEOUT');
      // A handshake in time stops the timer.
      const prompt = await Dialogue.open({ port: gateway.controlPort });
      await prompt.expect('220 Ready');
      await prompt.startTls();
      await new Promise((resolve) => setTimeout(resolve, 300));
      await prompt.says('NOOP', /^200 /);
      await prompt.quit();
    }));

  it('A PROXY header that does not come is closed after the handshake timeout', () =>
    withGateway({ handshakeTimeoutMs: 200, proxyProtocol: 'v2', activeMode: 'off' }, async (gateway) => {
      const client = await Dialogue.open({ port: gateway.controlPort });
      await client.expect('220 Ready');
      await client.expectClosed();
      assert.equal((await gateway.nextEvent('session-refused')).cause, 'PROXY-HEADER');
    }));
});

describe('the limit of failed logins', () => {
  it('A client that leaves before its correct password is checked does not count as a failed login', async () => {
    const started = Promise.withResolvers<undefined>();
    const checked = Promise.withResolvers<undefined>();
    const user: User = { name: 'alice', home: { bucket: 'test', prefix: '' }, permissions: 'read-write' };
    let logins = 0;
    const authenticate: Authenticate = async (_credentials, signal) => {
      logins += 1;
      if (logins > 1) return user;
      started.resolve(undefined);
      await once(signal, 'abort');
      checked.resolve(undefined);
      return user;
    };
    await withGateway({ authenticate, maxLoginFailures: 1 }, async (gateway) => {
      const leaving = await Dialogue.open({ port: gateway.controlPort });
      await leaving.expect('220 Ready');
      await leaving.says('USER alice', '331 Password required.');
      await leaving.send('PASS secret\r\n');
      await started.promise;
      leaving.destroy();
      await checked.promise;
      await gateway.nextEvent('login');
      await (await Dialogue.logIn({ port: gateway.controlPort })).quit();
    });
  });
});

describe('the idle timeout', () => {
  it('The idle timeout ends a session that sends nothing', () =>
    withGateway({ idleTimeoutMs: 100 }, async (gateway) => {
      const client = await Dialogue.logIn({ port: gateway.controlPort });
      await client.expect('421 Idle for too long; closing the control connection. [IDLE-TIMEOUT]');
      await client.expectClosed();
      assert.equal((await gateway.nextEvent('session-closed')).cause, 'IDLE-TIMEOUT');
    }));

  it('The idle timeout pauses during a transfer and restarts after it', () =>
    withGateway({ idleTimeoutMs: 150 }, async (gateway) => {
      const client = await Dialogue.logIn({ port: gateway.controlPort });
      const data = await client.passive();
      await client.says('STOR /slow', /^150 /);
      for (let part = 0; part < 8; part++) {
        data.write('part');
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      data.end();
      data.resume();
      await client.expect(/^226 /);
      await client.says('NOOP', /^200 /);
      await client.expect('421 Idle for too long; closing the control connection. [IDLE-TIMEOUT]');
      await client.expectClosed();
    }));

  it('The idle timeout ends a session whose client sends commands but never reads replies', () =>
    withGateway({ idleTimeoutMs: 200 }, async (gateway) => {
      const client = await Dialogue.logIn({ port: gateway.controlPort });
      client.socket.pause();
      const flood = Buffer.from('FEAT\r\n'.repeat(10_000));
      for (let piece = 0; piece < 200 && client.socket.write(flood); piece++);
      const { cause } = await gateway.nextEvent('session-closed');
      assert.equal(cause, 'REPLIES-UNREAD');
      client.destroy();
    }));
});

describe('a user who is removed or changed', () => {
  it('Sessions of a user whose entry changed end with 421, and one with a transfer after it', () =>
    withGateway(
      {
        users: [
          { name: 'alice', password: 'secret' },
          { name: 'bob', password: 'secret' },
        ],
      },
      async (gateway) => {
        gateway.filesystem.putFile('/big', big);
        const port = gateway.controlPort;
        const idle = await Dialogue.logIn({ port });
        const busy = await Dialogue.logIn({ port });
        const other = await Dialogue.logIn({ port }, 'bob');
        const data = await busy.passive();
        await busy.says('RETR /big', /^150 /);
        gateway.endSessionsOf(new Set(['alice']));
        const farewell = '421 Your account has changed; log in again. [USER-REVOKED]';
        await idle.expect(farewell);
        await idle.expectClosed();
        assert.equal((await readAll(data)).length, big.length);
        await busy.expect(/^226 /, farewell);
        await busy.expectClosed();
        assert.equal((await gateway.nextEvent('session-closed')).cause, 'USER-REVOKED');
        await other.says('NOOP', /^200 /);
        await other.quit();
      },
    ));
});

describe('the longest lifetime of a session', () => {
  it('A session that sends NOOP for ever ends with 421 at its longest lifetime', () =>
    withGateway({ maxSessionMs: 200 }, async (gateway) => {
      const client = await Dialogue.logIn({ port: gateway.controlPort });
      let answer = '200';
      while (answer.startsWith('200')) answer = await client.ask('NOOP');
      assert.equal(answer, '421 The session has lasted too long; connect again. [SESSION-LIFETIME]');
      assert.equal((await gateway.nextEvent('session-closed')).cause, 'SESSION-LIFETIME');
      client.destroy();
    }));

  it('A transfer that runs at the longest lifetime is finished', () =>
    withGateway({ maxSessionMs: 200 }, async (gateway) => {
      gateway.filesystem.putFile('/big', big);
      const client = await Dialogue.logIn({ port: gateway.controlPort });
      const data = await client.passive();
      await client.says('RETR /big', /^150 /);
      data.pause();
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.equal((await readAll(data)).length, big.length);
      await client.expect(/^226 /, '421 The session has lasted too long; connect again. [SESSION-LIFETIME]');
      await client.expectClosed();
    }));
});

describe('a client whose session the gateway ends', () => {
  it('A client that must leave is disconnected after a while, even if it keeps sending', () =>
    withGateway({ idleTimeoutMs: 50 }, async (gateway) => {
      const client = await Dialogue.logIn({ port: gateway.controlPort });
      await client.expect('421 Idle for too long; closing the control connection. [IDLE-TIMEOUT]');
      const { socket } = client;
      socket.allowHalfOpen = true;
      const babble = setInterval(() => socket.write('NOOP\r\n'), 100);
      await closed(socket);
      clearInterval(babble);
      await gateway.nextEvent('session-closed');
      assert.equal(gateway.sessionCount, 0);
    }));
});

describe('a drain', () => {
  it('A drain ends idle sessions immediately, and sessions with a transfer after it', () =>
    withGateway({}, async (gateway) => {
      gateway.filesystem.putFile('/big', big);
      const idle = await Dialogue.logIn({ port: gateway.controlPort });
      const busy = await Dialogue.logIn({ port: gateway.controlPort });
      const data = await busy.passive();
      await busy.says('RETR /big', /^150 /);
      const drained = gateway.drain(60_000);
      await idle.expect('421 The gateway is stopping; closing the control connection. [DRAIN]');
      await idle.expectClosed();
      await assert.rejects(Dialogue.open({ port: gateway.controlPort }), { code: 'ECONNREFUSED' });
      assert.equal((await readAll(data)).length, big.length);
      await busy.expect(/^226 /, '421 The gateway is stopping; closing the control connection. [DRAIN]');
      await busy.expectClosed();
      await drained;
      assert.equal(gateway.sessionCount, 0);
    }));

  it('A drain waits for a transfer whose data connection was already agreed on', () =>
    withGateway({}, async (gateway) => {
      const client = await Dialogue.logIn({ port: gateway.controlPort });
      const data = await client.passive();
      const drained = gateway.drain(60_000);
      await client.says('TYPE I', /^200 /);
      await client.says('STOR /agreed', /^150 /);
      const gone = closed(data);
      data.resume();
      data.end('whole');
      await client.expect(/^226 /, '421 The gateway is stopping; closing the control connection. [DRAIN]');
      await client.expectClosed();
      await Promise.all([drained, gone]);
      assert.equal(gateway.filesystem.readFile('/agreed')?.toString(), 'whole');
    }));

  it('A drain waits for no transfer beyond its time limit', () =>
    withGateway({}, async (gateway) => {
      const client = await Dialogue.logIn({ port: gateway.controlPort });
      const data = await client.passive();
      await gateway.drain(10);
      await client.expect('421 The gateway is stopping; closing the control connection. [DRAIN]');
      await client.expectClosed();
      const gone = closed(data);
      data.destroy();
      await gone;
    }));

  it('A drain at its time limit aborts running transfers and stores nothing of them', () =>
    withGateway({}, async (gateway) => {
      const client = await Dialogue.logIn({ port: gateway.controlPort });
      const data = await client.passive();
      await client.says('STOR /half', /^150 /);
      data.write('half');
      const gone = closed(data);
      data.resume();
      await gateway.drain(50);
      await gone;
      await client.expect(
        '426 The gateway is stopping; transfer aborted. [DRAIN]',
        '421 The gateway is stopping; closing the control connection. [DRAIN]',
      );
      await client.expectClosed();
      assert.equal(gateway.filesystem.readFile('/half'), undefined);
    }));
});

describe('closing the gateway', () => {
  it('close() ends all sessions immediately, in any state', async () => {
    const gateway = await startTestGateway({ tls: 'optional', implicitTls: true });
    gateway.filesystem.putFile('/big', big);
    const greeted = await Dialogue.open({ port: gateway.controlPort });
    await greeted.expect('220 Ready');
    const handshaking = await Dialogue.open({ port: gateway.implicitTlsPort! });
    const busy = await Dialogue.logIn({ port: gateway.controlPort });
    const data = await busy.passive();
    await busy.says('RETR /big', /^150 /);
    const gone = [greeted, handshaking, busy].map(({ socket }) => closed(socket));
    data.pause();
    await gateway.close();
    await Promise.all(gone);
    assert.equal(gateway.sessionCount, 0);
    data.destroy();
    assert.equal((await gateway.nextEvent('transfer')).outcome, 'aborted');
  });

  it('The gateway does not start when a port is taken, and names the port', async () => {
    const gateway = await startTestGateway();
    await assert.rejects(startTestGateway({ controlPort: gateway.controlPort } as TestGatewayOptions), {
      message: `Control port ${gateway.controlPort} on 127.0.0.1 cannot be opened: address already in use (EADDRINUSE).`,
    });
    await gateway.close();
  });
});
