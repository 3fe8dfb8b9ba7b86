/** Sessions one after another, which use the same TLS context: what the former one got is worth nothing in the next one. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { connect } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls, type SecureVersion, TLSSocket } from 'node:tls';
import { createCertificate, type TestCertificate } from '../../support/certificate.ts';
import { Dialogue, readAll } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';

/** How the former session ends. */
const ends: Readonly<Record<string, (client: Dialogue) => Promise<void>>> = {
  'that has logged out': (client) => client.quit(),
  'whose client closed its connection without a word': async (client) => {
    client.destroy();
    if (!client.socket.closed) await once(client.socket, 'close');
  },
  'whose client died in the handshake of a data connection': async (client) => {
    const data = await client.passive();
    await client.says('RETR /f', /^150 /);
    // A ClientHello that is not complete.
    data.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]));
    client.destroy();
    data.resetAndDestroy();
  },
};

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  for (const port of ['explicit', 'implicit'] as const) {
    describe(`sessions after one another with ${version} on the port with ${port} TLS`, () => {
      const only = { minVersion: version, maxVersion: version };
      const certificates: { current: TestCertificate } = { current: { chain: '', key: '' } };
      let gateway: TestGateway;
      before(async () => {
        certificates.current = await createCertificate('first');
        gateway = await startTestGateway({
          tls: 'required',
          implicitTls: true,
          tlsDataResumption: 'required',
          certificates,
        });
        gateway.filesystem.putFile('/f', 'content');
      });
      after(() => gateway.close());

      const logIn = async (): Promise<Dialogue> => {
        const client =
          port === 'implicit'
            ? await Dialogue.open({ port: gateway.implicitTlsPort!, implicitTls: only })
            : await Dialogue.open({ port: gateway.controlPort });
        await client.expect('220 Ready');
        if (port === 'explicit') await client.startTls(only);
        await client.says('USER alice', /^331 /);
        await client.says('PASS secret', /^230 /);
        await client.says('PROT P', /^200 /);
        return client;
      };

      for (const [which, end] of Object.entries(ends)) {
        it(`With ${version} and ${port} TLS, the ticket of a session ${which} is refused in the next session`, async () => {
          const former = await logIn();
          const stolen = former.tlsSessions.at(-1);
          assert.ok(stolen);
          const { sessionId } = await gateway.nextEvent('session-opened');
          await end(former);
          await gateway.nextEvent('session-closed', (event) => event.sessionId === sessionId);

          const next = await logIn();
          await gateway.nextEvent('session-opened');
          assert.match(await replyToDownload(next, version, stolen), /^522 /);
          assert.match(await replyToDownload(next, version, next.tlsSessions.at(-1)), /^226 /);
          assert.match(await replyToDownload(next, version, stolen), /^522 /);
          await next.quit();
        });
      }

      it(`With ${version} and ${port} TLS, tickets from before a renewal of the certificate are refused, those of running sessions excepted`, async () => {
        const ended = await logIn();
        const running = await logIn();
        const stolen = ended.tlsSessions.at(-1);
        await ended.quit();
        certificates.current = await createCertificate('renewed');
        const next = await logIn();
        assert.ok(next.socket instanceof TLSSocket);
        assert.equal(next.socket.getPeerCertificate().subject.CN, 'renewed');
        assert.match(await replyToDownload(next, version, stolen), /^522 /);
        assert.match(await replyToDownload(next, version, running.tlsSessions.at(-1)), /^522 /);
        assert.match(await replyToDownload(running, version, running.tlsSessions.at(-1)), /^226 /);
        await running.quit();
        await next.quit();
      });

      it(`With ${version} and ${port} TLS, a client that dies in its handshake leaves nothing that the next session accepts`, async () => {
        const donor = await logIn();
        const stolen = donor.tlsSessions.at(-1);
        await donor.quit();
        const hello = await clientHello(version, stolen);
        for (const sentBytes of [1, 5, 60, hello.length - 1, hello.length]) {
          const dying = connect({
            port: port === 'implicit' ? gateway.implicitTlsPort! : gateway.controlPort,
          });
          if (port === 'explicit') {
            await once(dying, 'data');
            dying.write('AUTH TLS\r\n');
            await once(dying, 'data');
          }
          dying.write(hello.subarray(0, sentBytes));
          // The server's flight.
          if (sentBytes === hello.length) await once(dying, 'data');
          dying.end(() => dying.destroy());
          await gateway.nextEvent('tls-failed');
          const next = await logIn();
          assert.match(await replyToDownload(next, version, stolen), /^522 /);
          assert.match(await replyToDownload(next, version, next.tlsSessions.at(-1)), /^226 /);
          await next.quit();
        }
      });
    });
  }
}

async function replyToDownload(
  client: Dialogue,
  version: SecureVersion,
  session: Buffer | undefined,
): Promise<string> {
  assert.ok(session);
  const data = await client.passive();
  await client.says('RETR /f', /^150 /);
  const secured = connectTls({
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    session,
    socket: data,
  });
  secured.on('error', () => undefined);
  const [reply] = await Promise.all([client.reply(), readAll(secured).catch(() => undefined)]);
  return reply;
}

/** The first message of a client that offers the ticket. */
async function clientHello(version: SecureVersion, session: Buffer | undefined): Promise<Buffer> {
  assert.ok(session);
  return new Promise((resolve) => {
    const line = new Duplex({
      read: () => undefined,
      write(bytes: Buffer, _encoding, callback) {
        callback();
        setImmediate(() => client.destroy());
        resolve(bytes);
      },
    });
    const client = connectTls({
      socket: line,
      rejectUnauthorized: false,
      minVersion: version,
      maxVersion: version,
      session,
    });
    client.on('error', () => undefined);
  });
}
