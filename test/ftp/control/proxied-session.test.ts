/** Sessions behind a load balancer that puts a PROXY header in front of what the client sends first. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, afterEach, beforeEach, describe, it } from 'node:test';
import { Networks } from '../../../src/net/networks.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { LeakCheck } from '../../support/leak-check.ts';
import { localProxyHeader, proxyHeader } from '../../support/proxy-header.ts';

const client: readonly [string, number] = ['127.0.7.7', 40_000];
const header = proxyHeader(client, ['10.0.1.5', 21]);

describe('behind a load balancer', () => {
  const leaks = new LeakCheck();
  let gateway: TestGateway;
  beforeEach(async () => {
    gateway = await startTestGateway({
      proxyProtocol: 'v2',
      activeMode: 'off',
      tls: 'optional',
      implicitTls: true,
      maxSessionsPerAddress: 2,
      advertisedAddress: {
        kind: 'by-subnet',
        subnets: [{ network: '10.0.1.0', prefixBits: 24, address: '203.0.113.11' }],
      },
    });
    gateway.filesystem.putFile('/f', 'content');
  });
  afterEach(() => gateway.close());
  after(() => leaks.assertNothingLeft());

  it('Behind a load balancer, the greeting does not wait for the PROXY header, and the session uses its address', async () => {
    const session = await Dialogue.open({ port: gateway.controlPort });
    await session.expect('220 Ready');
    await session.send(Buffer.concat([header, Buffer.from('USER alice\r\nPASS secret\r\n')]));
    await session.expect('331 Password required.', '230 Logged in.');
    assert.equal((await gateway.nextEvent('session-opened')).clientAddress, '127.0.7.7');
    assert.equal((await gateway.nextEvent('login')).clientAddress, '127.0.7.7');
    await session.quit();
  });

  it('A PROXY header with TLVs that arrives byte by byte is read', async () => {
    const tlv = Buffer.from([0xea, 0x00, 0x05, 0x01, 0x76, 0x70, 0x63, 0x65]);
    const session = await Dialogue.open({ port: gateway.controlPort });
    await session.expect('220 Ready');
    for (const byte of proxyHeader(client, ['10.0.1.5', 21], tlv)) await session.send(Buffer.from([byte]));
    await session.says('NOOP', /^200 /);
    await session.quit();
  });

  it('Behind a load balancer, 227 names the address of the node that the client used, and only the client may connect', async () => {
    const session = await Dialogue.logIn({ port: gateway.controlPort, preamble: header });
    const answer = await session.ask('PASV');
    const [, high, low] = /^227 Entering Passive Mode \(203,0,113,11,(\d+),(\d+)\)\.$/.exec(answer) ?? [];
    const port = Number(high) * 256 + Number(low);
    const data = connect({ port, host: '127.0.0.1', localAddress: client[0] });
    await once(data, 'connect');
    await session.says('RETR /f', /^150 /);
    const [bytes] = (await once(data, 'data')) as [Buffer];
    assert.equal(String(bytes), 'content');
    await session.expect(/^226 /);
    await session.quit();
    data.destroy();
  });

  it('Sessions are limited by the address in the PROXY header, and the refusal explains it', async () => {
    const two = [
      await Dialogue.logIn({ port: gateway.controlPort, preamble: header }),
      await Dialogue.logIn({ port: gateway.controlPort, preamble: header }),
    ];
    const third = await Dialogue.open({ port: gateway.controlPort, preamble: header });
    await third.expect(
      '220 Ready',
      '421 Too many sessions from your address; try again later. [LIMIT-ADDRESS]',
    );
    await third.expectClosed();
    const elsewhere = proxyHeader(['127.0.7.8', 1], ['10.0.1.5', 21]);
    await (await Dialogue.logIn({ port: gateway.controlPort, preamble: elsewhere })).quit();
    for (const session of two) await session.quit();
    await (await Dialogue.logIn({ port: gateway.controlPort, preamble: header })).quit();
  });

  it('The session limit of an address counts the client in the PROXY header on the clear and the implicit-TLS port together', async () => {
    const implicit = { port: gateway.implicitTlsPort!, preamble: header, implicitTls: true } as const;
    const sessions = [
      await Dialogue.logIn(implicit),
      await Dialogue.logIn({ port: gateway.controlPort, preamble: header }),
    ];
    // Its address is known before the greeting.
    const third = await Dialogue.open(implicit);
    await third.expect('421 Too many sessions from your address; try again later. [LIMIT-ADDRESS]');
    await third.expectClosed();
    const refused = await gateway.nextEvent('session-refused');
    assert.deepEqual([refused.cause, refused.clientAddress], ['LIMIT-ADDRESS', client[0]]);
    for (const session of sessions) await session.quit();
  });

  it('A health check with a LOCAL header or without one does not count as a session', async () => {
    const silent = await Dialogue.open({ port: gateway.controlPort });
    await silent.expect('220 Ready');
    silent.destroy();
    const local = await Dialogue.open({ port: gateway.controlPort, preamble: localProxyHeader() });
    await local.expect('220 Ready');
    await local.quit();
    assert.equal((await gateway.nextEvent('session-closed')).cause, 'QUIT');
    assert.deepEqual(
      gateway.events.filter(({ event }) => event === 'session-refused'),
      [],
    );
  });

  for (const [what, bytes] of [
    ['no header', Buffer.from('USER alice\r\n')],
    ['a header of another version', Buffer.concat([header.subarray(0, 12), Buffer.from([0x11, 0x11, 0, 0])])],
    ['a header of UDP', Buffer.concat([header.subarray(0, 13), Buffer.from([0x12]), header.subarray(14)])],
    ['a header that claims 64 KiB', Buffer.concat([header.subarray(0, 14), Buffer.from([0xff, 0xff])])],
  ] as const) {
    it(`A connection with ${what} is closed`, async () => {
      const session = await Dialogue.open({ port: gateway.controlPort });
      await session.expect('220 Ready');
      await session.send(bytes);
      await session.expectClosed();
      assert.equal((await gateway.nextEvent('session-refused')).cause, 'PROXY-HEADER');
    });
  }

  it('A second PROXY header is read as invalid commands', async () => {
    const session = await Dialogue.logIn({ port: gateway.controlPort, preamble: header });
    await session.send(proxyHeader(['127.0.9.9', 1], ['10.0.1.5', 21]));
    for (let line = 0; line < 3; line++) await session.expect('500 Command not understood.');
    await session.expect('221 Goodbye.');
    await session.expectClosed();
  });

  it('The PROXY header precedes AUTH, and precedes the handshake on the implicit-TLS port', async () => {
    const explicit = await Dialogue.open({ port: gateway.controlPort, preamble: header });
    await explicit.expect('220 Ready');
    await explicit.startTls();
    assert.match(await explicit.ask('STAT'), /Connected from 127\.0\.7\.7/);
    await explicit.quit();
    const implicit = await Dialogue.logIn({
      port: gateway.implicitTlsPort!,
      preamble: header,
      implicitTls: true,
    });
    assert.match(await implicit.ask('STAT'), /Connected from 127\.0\.7\.7/);
    await implicit.quit();
  });

  it('A connection from outside the networks of the load balancer is closed on both ports, whatever header it sends', async () => {
    const trusting = await startTestGateway({
      proxyProtocol: 'v2',
      proxyProtocolFrom: Networks.parse('127.0.5.0/24'),
      activeMode: 'off',
      tls: 'optional',
      implicitTls: true,
    });
    for (const port of [trusting.controlPort, trusting.implicitTlsPort!]) {
      const forged = await Dialogue.open({ port, localAddress: '127.0.6.1' });
      await forged.send(header).catch(() => undefined);
      await forged.expectClosed();
      const { cause, clientAddress } = await trusting.nextEvent('session-refused');
      assert.deepEqual([cause, clientAddress], ['PROXY-SOURCE', '127.0.6.1']);
    }
    const { controlPort: port } = trusting;
    await (await Dialogue.logIn({ port, localAddress: '127.0.5.9', preamble: header })).quit();
    await trusting.close();
  });

  it('The gateway does not start with PROXY headers and active mode, or with PROXY headers but no networks to accept them from', async () => {
    await assert.rejects(startTestGateway({ proxyProtocol: 'v2', activeMode: 'on' }), {
      message: 'PROXY headers exclude active mode.',
    });
    await assert.rejects(
      startTestGateway({ proxyProtocol: 'v2', activeMode: 'off', proxyProtocolFrom: Networks.none }),
      { message: 'PROXY headers need the networks of their load balancer.' },
    );
  });

  it('A handshake without a PROXY header is closed on the implicit-TLS port', async () => {
    await assert.rejects(Dialogue.open({ port: gateway.implicitTlsPort!, implicitTls: true }));
    assert.equal((await gateway.nextEvent('session-refused')).cause, 'PROXY-HEADER');
  });
});
