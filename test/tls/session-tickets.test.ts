import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { before, describe, it } from 'node:test';
import { connect, createSecureContext, TLSSocket, type SecureContext, type SecureVersion } from 'node:tls';
import { createSessionContext, defaultCiphers } from '../../src/tls/context.ts';
import { endTickets, limitTickets } from '../../src/tls/session-tickets.ts';
import { testCertificate, type TestCertificate } from '../support/certificate.ts';

type Handshake = { readonly isResumed: boolean; readonly tickets: readonly Buffer[] };

describe('session tickets', () => {
  let certificate: TestCertificate;

  before(async () => {
    certificate = await testCertificate();
  });

  const makeContext = (dataResumption: 'optional' | 'off'): SecureContext => {
    const context = createSecureContext({ cert: certificate.chain, key: certificate.key });
    assert.ok(
      limitTickets(context, dataResumption),
      'this Node has lost the hook that tickets are limited with',
    );
    return context;
  };

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    it(`TLS session tickets are issued to the first connection over ${version}, and resume the next one`, async () => {
      const context = makeContext('optional');
      const first = await shakeHands(context, version);
      assert.equal(first.isResumed, false);
      assert.ok(first.tickets.length > 0);
      const second = await shakeHands(context, version, first.tickets.at(-1));
      assert.equal(second.isResumed, true);
    });

    it(`TLS session tickets over ${version} are valid for seven days, longer than a session`, async () => {
      const context = createSessionContext(certificate, {
        tlsMinVersion: 'TLSv1.2',
        tlsCiphers: defaultCiphers,
        tlsDataResumption: 'optional',
      });
      const { tickets } = await shakeHands(context, version);
      // SSL_SESSION in ASN.1: [9] INTEGER, the lifetime hint (OpenSSL, ssl/ssl_asn1.c); 0x093a80 is 604,800.
      const hint = /a90\d020\d([0-9a-f]{2,8}?)aa/.exec(tickets.at(-1)?.toString('hex') ?? '');
      assert.equal(parseInt(hint?.[1] ?? '', 16), 604_800);
    });

    it(`TLS session tickets of another session are not accepted over ${version}`, async () => {
      const other = await shakeHands(makeContext('optional'), version);
      const handshake = await shakeHands(makeContext('optional'), version, other.tickets.at(-1));
      assert.equal(handshake.isResumed, false);
    });
  }

  it('TLS session tickets are not sent on later connections over TLS 1.3, where an unread ticket would cut off an upload', async () => {
    const context = makeContext('optional');
    const first = await shakeHands(context, 'TLSv1.3');
    assert.deepEqual((await shakeHands(context, 'TLSv1.3', first.tickets.at(-1))).tickets, []);
    assert.deepEqual((await shakeHands(context, 'TLSv1.3')).tickets, []);
  });

  it('TLS session tickets are not sent to data connections over TLS 1.2, whose session would not be that of the control connection', async () => {
    const context = makeContext('optional');
    assert.equal((await shakeHands(context, 'TLSv1.2')).tickets.length, 1);
    endTickets(context);
    assert.deepEqual((await shakeHands(context, 'TLSv1.2')).tickets, []);
  });

  it('TLS session tickets are never sent when data connections may not resume', async () => {
    const context = makeContext('off');
    assert.deepEqual((await shakeHands(context, 'TLSv1.3')).tickets, []);
  });
});

/** One connection, closed in order by the server after its handshake, so that every ticket it sent has come. */
async function shakeHands(
  context: SecureContext,
  version: SecureVersion,
  session?: Buffer,
): Promise<Handshake> {
  const server = createServer((socket) => {
    const secured = new TLSSocket(socket, { isServer: true, secureContext: context });
    secured.resume().once('secure', () => setImmediate(() => secured.end('done')));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const tickets: Buffer[] = [];
  const client = connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    servername: 'localhost',
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    ...(session !== undefined && { session }),
  });
  client.on('session', (ticket) => tickets.push(ticket));
  await once(client, 'secureConnect');
  const isResumed = client.isSessionReused();
  await once(client.resume(), 'close');
  server.close();
  return { isResumed, tickets };
}
