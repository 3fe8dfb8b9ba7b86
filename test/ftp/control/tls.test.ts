/** What stock ftp-srv 4.6.3 gets wrong under TLS, and what the gateway does instead. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls, TLSSocket, type ConnectionOptions, type SecureVersion } from 'node:tls';
import { createCertificate } from '../../support/certificate.ts';
import { Dialogue, readAll } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';

const versions: readonly SecureVersion[] = ['TLSv1.2', 'TLSv1.3'];

async function protect(socket: Socket, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const secured = connectTls({ rejectUnauthorized: false, ...options, socket });
  await once(secured, 'secureConnect');
  return secured;
}

/** Explicit TLS and a login on a new connection. */
async function logInUnderTls(gateway: TestGateway, options: ConnectionOptions = {}): Promise<Dialogue> {
  const client = await Dialogue.open({ port: gateway.controlPort });
  await client.expect('220 Ready');
  await client.startTls(options);
  await client.says('USER alice', '331 Password required.');
  await client.says('PASS secret', '230 Logged in.');
  await client.says('PBSZ 0', '200 PBSZ=0');
  await client.says('PROT P', '200 Data connections are protected.');
  return client;
}

function subjectOf({ socket }: Dialogue): string | string[] | undefined {
  assert.ok(socket instanceof TLSSocket);
  return socket.getPeerCertificate().subject.CN;
}

/** What somebody on the path can write into an encrypted connection. */
const brokenRecords = [
  // Application data of which the authentication tag is wrong (RFC 8446 5.2).
  ['a forged record', Buffer.concat([Buffer.from([23, 3, 3, 0, 80]), Buffer.alloc(80)])],
  ['text that is no TLS', Buffer.from('USER mallory\r\n')],
] as const;

describe('FTPS', () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startTestGateway({ tls: 'optional', implicitTls: true });
    gateway.filesystem.putFile('/f', Buffer.alloc(100_000, 'f'));
    gateway.filesystem.putFile('/large', Buffer.alloc(30_000_000, 'l'));
  });
  after(() => gateway.close());

  it('The TLS handshake succeeds however early the client starts it', async () => {
    for (let attempt = 0; attempt < 100; attempt++) {
      const client = await Dialogue.open({ port: gateway.controlPort });
      await client.expect('220 Ready');
      await client.startTls();
      await client.says('NOOP', /^200 /);
      client.destroy();
    }
  });

  for (const smuggled of ['USER injected\r\n', 'x', '\n']) {
    it(`A client that sends ${JSON.stringify(smuggled)} in clear behind AUTH is disconnected`, async () => {
      const client = await Dialogue.open({ port: gateway.controlPort });
      await client.expect('220 Ready');
      await client.send(`AUTH TLS\r\n${smuggled}`);
      await client.expect('234 Proceed with the TLS handshake.');
      await client.expectClosed();
    });
  }

  it('A command that is sent in clear in place of the handshake is not executed', async () => {
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    await client.says('AUTH TLS', '234 Proceed with the TLS handshake.');
    await client.send('USER alice\r\nPASS secret\r\n');
    await assert.rejects(client.reply(), /The connection is closed/);
  });

  for (const version of versions) {
    const only = { minVersion: version, maxVersion: version };

    for (const [what, record] of brokenRecords) {
      it(`With ${version}, ${what} on the control connection ends the session at once, also during a download`, async () => {
        for (const port of [gateway.controlPort, gateway.implicitTlsPort!]) {
          for (const isBusy of [false, true]) {
            const client = await Dialogue.open({ port });
            const raw = client.socket;
            if (port === gateway.implicitTlsPort) await client.handshake(only);
            await client.expect('220 Ready');
            if (port === gateway.controlPort) await client.startTls(only);
            await client.says('USER alice', /^331 /);
            await client.says('PASS secret', /^230 /);
            await client.says('PROT C', /^200 /);
            const opened = gateway.events.findLast(({ event }) => event === 'session-opened');
            assert.ok(opened?.event === 'session-opened');
            if (isBusy) {
              // The data connection is not read, so the download would last until the stall timeout.
              (await client.passive()).pause();
              await client.says('RETR /large', /^150 /);
            }
            raw.write(record);
            const startedAtMs = performance.now();
            const { cause } = await gateway.nextEvent(
              'session-closed',
              (event) => event.sessionId === opened.sessionId,
            );
            assert.equal(cause, 'CONTROL-LOST');
            assert.ok(performance.now() - startedAtMs < 1_000);
            client.destroy();
          }
        }
      });
    }

    it(`With ${version}, the gateway serves clients that start the data handshake before or after the 150`, async () => {
      const client = await logInUnderTls(gateway, only);
      let data = await client.passive();
      await client.says('RETR /f', /^150 /);
      assert.equal((await readAll(await protect(data, only))).length, 100_000);
      await client.expect(/^226 /);
      data = await client.passive();
      const early = protect(data, only);
      await client.says('RETR /f', /^150 /);
      assert.equal((await readAll(await early)).length, 100_000);
      await client.expect(/^226 /);
      await client.quit();
    });

    it(`With ${version}, data connections resume the TLS session of their own control connection and no other`, async () => {
      const one = await logInUnderTls(gateway, only);
      const other = await logInUnderTls(gateway, only);
      await one.says('NOOP', /^200 /);
      await other.says('NOOP', /^200 /);
      const reused = async (client: Dialogue, session: Buffer | undefined): Promise<boolean> => {
        assert.ok(session);
        const data = await client.passive();
        await client.says('RETR /f', /^150 /);
        const secured = await protect(data, { ...only, session });
        await readAll(secured);
        await client.expect(/^226 /);
        return secured.isSessionReused();
      };
      // In this order: a session that has resumed its own must go on doing so.
      assert.equal(await reused(one, other.tlsSessions.at(-1)), false);
      assert.equal(await reused(one, one.tlsSessions.at(-1)), true);
      await one.quit();
      await other.quit();
    });
  }

  it('CCC is refused, and a renegotiation under TLS 1.2 ends in an error of the client and not of others', async () => {
    const client = await logInUnderTls(gateway, { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' });
    assert.match(await client.ask('CCC'), /^5\d\d /);
    const { socket } = client;
    assert.ok(socket instanceof TLSSocket);
    const refused = await new Promise((resolve) => {
      socket.once('error', resolve);
      socket.once('close', () => resolve('closed'));
      socket.renegotiate({ rejectUnauthorized: false }, (error) => resolve(error ?? 'renegotiated'));
    });
    assert.notEqual(refused, 'renegotiated');
    client.destroy();
    const other = await logInUnderTls(gateway);
    await other.says('NOOP', /^200 /);
    await other.quit();
  });

  it('Data connections are in clear after PROT C and before any PROT', async () => {
    const client = await logInUnderTls(gateway);
    await client.says('PROT C', '200 Data connections are in clear.');
    assert.equal((await client.download('RETR /f')).length, 100_000);
    const silent = await Dialogue.open({ port: gateway.controlPort });
    await silent.expect('220 Ready');
    await silent.startTls();
    await silent.says('USER alice', '331 Password required.');
    await silent.says('PASS secret', '230 Logged in.');
    assert.equal((await silent.download('RETR /f')).length, 100_000);
    await client.quit();
    await silent.quit();
  });

  it('A second AUTH is refused, and the first one resets a login made in clear', async () => {
    const client = await Dialogue.logIn({ port: gateway.controlPort });
    await client.startTls();
    await client.says('AUTH TLS', '503 The control connection is under TLS already.');
    await client.says('PWD', '530 Please log in with USER and PASS.');
    await client.quit();
  });

  it('AUTH resets a user name that was sent in clear', async () => {
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    await client.says('USER alice', '331 Password required.');
    await client.startTls();
    await client.says('PASS secret', '503 Send USER first.');
    await client.quit();
  });

  it('The implicit-TLS port speaks TLS from the first byte and protects data by default', async () => {
    const client = await Dialogue.logIn({ port: gateway.implicitTlsPort!, implicitTls: true });
    const data = await client.passive();
    await client.says('RETR /f', /^150 /);
    assert.equal((await readAll(await protect(data))).length, 100_000);
    await client.expect(/^226 /);
    await client.quit();
  });

  it('The implicit-TLS port survives everything that is not a handshake', async () => {
    for (const bytes of ['NOOP\r\n', '\x16\x03\x01\xff\xff', '\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00']) {
      const client = await Dialogue.open({ port: gateway.implicitTlsPort! });
      await client.send(Buffer.from(bytes, 'latin1'));
      client.socket.end();
      await once(client.socket, 'close');
    }
    const client = await Dialogue.logIn({ port: gateway.implicitTlsPort!, implicitTls: true });
    await client.quit();
  });
});

describe('FTPS, by configuration,', () => {
  it('With TLS=off, AUTH is unknown and FEAT does not list it', async () => {
    const gateway = await startTestGateway();
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    await client.says('AUTH TLS', '502 TLS is not available here.');
    assert.doesNotMatch(await client.ask('FEAT'), /AUTH|PBSZ|PROT/);
    await client.quit();
    await gateway.close();
  });

  it('With TLS=required, neither logins nor data are accepted in clear', async () => {
    const gateway = await startTestGateway({ tls: 'required' });
    gateway.filesystem.putFile('/f', 'f');
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    await client.says('USER alice', '530 TLS is required here: send AUTH TLS before USER. [TLS-REQUIRED]');
    await client.says('PASS secret', '503 Send USER first.');
    await client.startTls();
    await client.says('USER alice', '331 Password required.');
    await client.says('PASS secret', '230 Logged in.');
    await client.says('PROT C', '534 PROT P is required here.');
    await client.passive();
    for (const command of ['RETR /f', 'STOR /g', 'APPE /g', 'STOU', 'LIST', 'NLST', 'MLSD']) {
      await client.says(
        command,
        '521 Data connections must be protected here: send PBSZ 0 and PROT P first. [TLS-PROT]',
      );
    }
    await client.says('PROT P', '200 Data connections are protected.');
    const data = await client.passive();
    await client.says('RETR /f', /^150 /);
    assert.equal(String(await readAll(await protect(data))), 'f');
    await client.expect(/^226 /);
    await client.quit();
    await gateway.close();
  });

  it('With TLS_MIN_VERSION=TLSv1.3, older versions are refused', async () => {
    const gateway = await startTestGateway({ tls: 'optional', tlsMinVersion: 'TLSv1.3' });
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    await assert.rejects(client.startTls({ maxVersion: 'TLSv1.2' }));
    const newer = await logInUnderTls(gateway, { minVersion: 'TLSv1.3' });
    await newer.quit();
    await gateway.close();
  });

  it('A renewed certificate is used for the next session and ends none', async () => {
    const renewed = await createCertificate('renewed');
    const certificates = { current: await createCertificate('first') };
    const gateway = await startTestGateway({ tls: 'optional', certificates });
    gateway.filesystem.putFile('/f', 'f');
    const older = await logInUnderTls(gateway);
    certificates.current = renewed;
    const newer = await logInUnderTls(gateway);
    assert.equal(subjectOf(older), 'first');
    assert.equal(subjectOf(newer), 'renewed');
    const data = await older.passive();
    await older.says('RETR /f', /^150 /);
    assert.equal(String(await readAll(await protect(data))), 'f');
    await older.expect(/^226 /);
    await older.quit();
    await newer.quit();
    await gateway.close();
  });

  it('The gateway does not start with a key that does not match its certificate', async () => {
    const [one, other] = await Promise.all([createCertificate(), createCertificate()]);
    const certificates = { current: { chain: one.chain, key: other.key } };
    await assert.rejects(startTestGateway({ tls: 'optional', certificates }), /key values mismatch/);
  });
});
