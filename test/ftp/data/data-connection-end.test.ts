/** Every way and time in which a client can end a data connection: the reply is immediate and correct. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SecureVersion } from 'node:tls';
import { deflateSync } from 'node:zlib';
import { Dialogue } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { LeakCheck } from '../../support/leak-check.ts';
import { proxyHeader } from '../../support/proxy-header.ts';
import { resetWithFinished, sendAndEnd, wireEnds, type WireOptions } from '../../support/tls-wire.ts';

const versions: readonly SecureVersion[] = ['TLSv1.2', 'TLSv1.3'];
const securities = ['explicit', 'implicit'] as const;
const modes = ['passive', 'active'] as const;
const timings = ['with the handshake', 'after the handshake'] as const;
type Security = (typeof securities)[number];
type Mode = (typeof modes)[number];

const leaks = new LeakCheck();
let gateway: TestGateway;
let clients: Dialogue[] = [];

before(async () => {
  // Timeouts longer than any reply in these tests may take.
  gateway = await startTestGateway({
    tls: 'optional',
    implicitTls: true,
    stallTimeoutMs: 60_000,
    dataConnectionTimeoutMs: 60_000,
  });
  gateway.filesystem.putFile('/nothing', '');
  gateway.filesystem.putDirectory('/empty');
});
afterEach(() => {
  for (const client of clients) client.destroy();
  clients = [];
});
after(async () => {
  await gateway.close();
  await leaks.assertNothingLeft();
});

/** A logged-in client under TLS of that version, whose data connections are protected. */
async function logIn(security: Security, version: SecureVersion): Promise<Dialogue> {
  const tls = { minVersion: version, maxVersion: version };
  const client = await (security === 'implicit'
    ? Dialogue.open({ port: gateway.implicitTlsPort!, implicitTls: tls })
    : Dialogue.open({ port: gateway.controlPort }));
  clients.push(client);
  await client.expect('220 Ready');
  if (security === 'explicit') await client.startTls(tls);
  await client.says('USER alice', /^331 /);
  await client.says('PASS secret', /^230 /);
  await client.says('PBSZ 0', /^200 /);
  await client.says('PROT P', /^200 /);
  await client.says('TYPE I', /^200 /);
  return client;
}

/** Sets up a data connection. The promise resolves to the client's socket; in active mode that is when the command runs. */
async function agree(client: Dialogue, mode: Mode): Promise<{ readonly connected: Promise<Socket> }> {
  if (mode === 'passive') {
    const data = await client.passive();
    return { connected: Promise.resolve(data) };
  }
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await client.says(`PORT 127,0,0,1,${port >> 8},${port & 255}`, /^200 /);
  const connected = once(server, 'connection').then(([socket]) => {
    server.close();
    return socket as Socket;
  });
  return { connected };
}

/** Runs a command whose data connection the client ends as asked; returns the reply after the 150. */
async function run(client: Dialogue, mode: Mode, command: string, wire: WireOptions): Promise<string> {
  const { connected } = await agree(client, mode);
  await client.says(command, /^150 /);
  const data = await connected;
  await sendAndEnd(data, wire);
  const reply = await client.reply();
  // A client that sent only close_notify still has its side open.
  data.destroy();
  return reply;
}

for (const version of versions) {
  for (const resumption of ['resumed', 'new'] as const) {
    for (const end of wireEnds) {
      const isStored = end !== 'RST';
      const outcome = isStored ? 'is stored and confirmed' : 'is refused and not stored';
      it(`An upload of 0 or 1 bytes on a ${resumption} ${version} session that the client ends by ${end} ${outcome}`, async () => {
        for (const security of securities) {
          const client = await logIn(security, version);
          for (const mode of modes)
            for (const timing of timings)
              for (const content of ['', 'x']) {
                const session = resumption === 'resumed' ? client.tlsSessions.at(-1) : undefined;
                assert.equal(session !== undefined, resumption === 'resumed', 'the server gave a ticket');
                const label = `${security}, ${mode}, ${timing}, ${content.length} bytes`;
                gateway.filesystem.putFile('/up', 'old');
                const reply = await run(client, mode, 'STOR up', { version, session, content, end, timing });
                assert.match(reply, isStored ? /^226 / : /^4(25|26) /, label);
                const stored = gateway.filesystem.readFile('/up')?.toString();
                assert.equal(stored, isStored ? content : 'old', label);
              }
          await client.quit();
        }
      });

      it(`A download or listing of nothing on a ${resumption} ${version} session is answered immediately when the client ends by ${end}`, async () => {
        for (const security of securities) {
          const client = await logIn(security, version);
          for (const mode of modes)
            for (const timing of timings)
              for (const command of ['RETR nothing', 'LIST empty', 'NLST empty', 'MLSD empty']) {
                const session = resumption === 'resumed' ? client.tlsSessions.at(-1) : undefined;
                const reply = await run(client, mode, command, {
                  version,
                  session,
                  content: '',
                  end,
                  timing,
                });
                // After a reset the gateway cannot know whether the client had seen the end.
                assert.match(
                  reply,
                  isStored ? /^226 / : /^(226|425|426) /,
                  `${security}, ${mode}, ${timing}`,
                );
              }
          await client.quit();
        }
      });
    }

    it(`An empty deflate stream on a ${resumption} ${version} session is stored as an empty file, and a missing stream is refused`, async () => {
      const client = await logIn('explicit', version);
      await client.says('MODE Z', /^200 /);
      for (const end of ['close_notify', 'close_notify and FIN', 'FIN'] as const)
        for (const timing of timings)
          for (const content of [deflateSync('').toString('latin1'), '']) {
            const session = resumption === 'resumed' ? client.tlsSessions.at(-1) : undefined;
            gateway.filesystem.putFile('/z', 'old');
            const wire = { version, session, content: Buffer.from(content, 'latin1'), end, timing };
            const reply = await run(client, 'passive', 'STOR z', wire);
            assert.match(reply, content === '' ? /^426 / : /^226 /, `${end}, ${timing}`);
            assert.equal(gateway.filesystem.readFile('/z')?.toString(), content === '' ? 'old' : '');
          }
      const session = resumption === 'resumed' ? client.tlsSessions.at(-1) : undefined;
      const wire = { version, session, content: '', end: 'FIN', timing: 'with the handshake' } as const;
      assert.match(await run(client, 'passive', 'RETR nothing', wire), /^226 /);
      await client.quit();
    });
  }
}

it('An upload that is reset together with the last record of a full TLS 1.2 handshake is refused and not stored', async () => {
  const client = await logIn('explicit', 'TLSv1.2');
  for (const mode of modes) {
    gateway.filesystem.putFile('/up', 'old');
    const { connected } = await agree(client, mode);
    await client.says('STOR up', /^150 /);
    await resetWithFinished(await connected);
    assert.match(await client.reply(), /^4(25|26) /);
    assert.equal(gateway.filesystem.readFile('/up')?.toString(), 'old');
  }
  await client.quit();
});

describe('A data connection that ends before the 150', () => {
  for (const mode of ['clear', 'TLS'] as const)
    for (const content of ['', 'x']) {
      const outcome = mode === 'clear' ? 'is a complete upload in clear' : 'is refused immediately under TLS';
      it(`A data connection that ends before the 150 with ${content.length} bytes ${outcome}`, async () => {
        const client = await logIn('explicit', 'TLSv1.3');
        if (mode === 'clear') await client.says('PROT C', /^200 /);
        gateway.filesystem.putFile('/early', 'old');
        const data = await client.passive();
        data.resume().on('error', () => undefined);
        await new Promise<void>((resolve) => data.end(content, resolve));
        await client.says('STOR early', /^150 /, mode === 'clear' ? /^226 / : /^425 /);
        const stored = gateway.filesystem.readFile('/early')?.toString();
        assert.equal(stored, mode === 'clear' ? content : 'old');
        await client.quit();
      });
    }

  it('A data connection that ends in the middle of its handshake is refused immediately', async () => {
    const client = await logIn('explicit', 'TLSv1.3');
    const data = await client.passive();
    data.resume().on('error', () => undefined);
    // The header of a handshake record (RFC 8446 5.1), and half of what it announces.
    data.end(Buffer.concat([Buffer.from([22, 3, 1, 0, 200, 1, 0, 0, 196]), Buffer.alloc(90)]));
    await client.says(
      'STOR early',
      /^150 /,
      '425 The TLS handshake of the data connection failed. [TLS-CUT]',
    );
    await client.quit();
  });

  it('A data connection that is reset before the 150 is refused immediately, in clear and under TLS', async () => {
    const client = await logIn('explicit', 'TLSv1.3');
    for (const level of ['C', 'P']) {
      await client.says(`PROT ${level}`, /^200 /);
      const data = await client.passive();
      await accepted();
      data.resetAndDestroy();
      await client.says('STOR early', /^150 /, /^4(25|26) /);
    }
    await client.quit();
  });
});

it('A client of the implicit-TLS port that sends no PROT and connects in clear gets a reply that TLS is missing', async () => {
  const client = await Dialogue.logIn({ port: gateway.implicitTlsPort!, implicitTls: true });
  clients.push(client);
  const data = await client.passive();
  data.resume().end('a file in clear');
  await client.says(
    'STOR up',
    /^150 /,
    '425 A data connection came, but in clear; this session protects them with TLS (PROT P). [TLS-NOT-STARTED]',
  );
  await client.quit();
});

describe('A control connection that ends with its first bytes', () => {
  const header = proxyHeader(['192.0.2.7', 40_000], ['192.0.2.1', 21]);
  let proxied: TestGateway;

  before(async () => {
    proxied = await startTestGateway({
      tls: 'optional',
      implicitTls: true,
      proxyProtocol: 'v2',
      activeMode: 'off',
      loginTimeoutMs: 60_000,
    });
  });
  after(() => proxied.close());

  for (const path of ['directly', 'behind a PROXY header'] as const)
    for (const version of versions)
      for (const end of ['close_notify', 'close_notify and FIN', 'FIN'] as const)
        for (const timing of timings) {
          it(`A control connection that ends with its first bytes leaves nothing behind: implicit ${version} ${path}, ended by ${end} ${timing}`, async () => {
            const target = path === 'directly' ? gateway : proxied;
            const closedBefore = sessionsClosed(target);
            const socket = connect({ host: '127.0.0.1', port: target.implicitTlsPort! });
            await once(socket, 'connect');
            if (path !== 'directly') socket.write(header);
            await sendAndEnd(socket, { version, content: '', end, timing });
            while (sessionsClosed(target) === closedBefore) await nextTurn();
            while (target.sessionCount > 0) await nextTurn();
            socket.destroy();
          });
        }

  for (const [what, bytes] of [
    ['half a PROXY header', header.subarray(0, 20)],
    ['a PROXY header', header],
    ['a PROXY header and a command', Buffer.concat([header, Buffer.from('NOOP\r\n')])],
  ] as const)
    for (const port of ['controlPort', 'implicitTlsPort'] as const) {
      it(`A control connection that ends with its first bytes leaves nothing behind: ${what} and FIN in one segment on the ${port}`, async () => {
        const socket = connect({ host: '127.0.0.1', port: proxied[port]! });
        await once(socket, 'connect');
        socket.resume().on('error', () => undefined);
        const closed = once(socket, 'close');
        socket.end(bytes);
        await closed;
        while (proxied.sessionCount > 0) await nextTurn();
      });
    }
});

function sessionsClosed({ events }: TestGateway): number {
  return events.filter(({ event }) => event === 'session-closed').length;
}

/** Resolves when the passive port has accepted every pending connection. */
async function accepted(): Promise<void> {
  while (gateway.passivePortUsage.leases > 0) await nextTurn();
}
