import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { connect as connectTls, type TLSSocket, type SecureVersion } from 'node:tls';
import { MemoryFilesystem } from '../../../src/filesystem/memory-filesystem.ts';
import { defaultCiphers } from '../../../src/tls/context.ts';
import { SessionContexts } from '../../../src/tls/session-contexts.ts';
import { testCertificate, type TestCertificate } from '../../support/certificate.ts';
import { LeakCheck } from '../../support/leak-check.ts';
import { DataSide, readAll, type DataSideOptions } from './data-side.ts';

const leaks = new LeakCheck();
let certificate: TestCertificate;
let side: DataSide;
let filesystem: MemoryFilesystem;
const sockets: Socket[] = [];
/** Those of the session's control connection, in the order of their arrival: one under TLS 1.2, two under TLS 1.3. */
let tickets: readonly Buffer[];

before(async () => {
  certificate = await testCertificate();
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await side.close();
});
after(() => leaks.assertNothingLeft());

/** A session whose control connection is under TLS; resolves to the client's TLS session, to be resumed or not. */
async function start(version: SecureVersion, options: DataSideOptions = {}): Promise<Buffer> {
  filesystem = new MemoryFilesystem();
  filesystem.putFile('/f', 'abc');
  side = await DataSide.start({ filesystem, ...options });
  const { tls, tickets: all } = await controlConnection(version);
  side.session.tls = tls;
  side.session.protectionLevel = 'P';
  tickets = all;
  return all.at(-1)!;
}

async function controlConnection(
  version: SecureVersion,
): Promise<{ tls: NonNullable<DataSide['session']['tls']>; tickets: Buffer[] }> {
  const contexts = new SessionContexts(
    { current: certificate },
    { tlsMinVersion: 'TLSv1.2', tlsCiphers: defaultCiphers, tlsDataResumption: 'optional' },
  );
  const context = contexts.take();
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = connectTls({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
  });
  const all: Buffer[] = [];
  const complete = new Promise<void>((resolve) => {
    client.on('session', (ticket) => {
      all.push(ticket);
      if (all.length === (version === 'TLSv1.3' ? 2 : 1)) resolve();
    });
  });
  const [raw] = await accepted;
  const socket = context.secure(raw);
  sockets.push(client, socket, raw);
  for (const each of sockets) each.on('error', () => undefined);
  client.resume();
  await complete;
  server.close();
  return { tls: { socket, context, canAlwaysResume: false }, tickets: all };
}

const rawSockets = new WeakMap<TLSSocket, Socket>();

function rawOf(client: TLSSocket): Socket {
  return rawSockets.get(client)!;
}

/** A client that connects after EPSV and begins its handshake when it has read the 150, as most clients do. */
async function clientAfter150(
  version: SecureVersion,
  session?: Buffer,
): Promise<{ connected: Promise<TLSSocket> }> {
  const raw = await side.connection();
  const connected = new Promise<TLSSocket>((resolve) => {
    side.onPreliminary = () => {
      const client = connectTls({
        socket: raw,
        host: '127.0.0.1',
        rejectUnauthorized: false,
        minVersion: version,
        maxVersion: version,
        ...(session !== undefined && { session }),
      });
      client.on('error', () => undefined);
      sockets.push(client);
      rawSockets.set(client, raw);
      resolve(client);
    };
  });
  return { connected };
}

type Handshakes = readonly (number | 'full')[];

/** What clients do where resumption is optional, and whether the last handshake, a full one, is accepted. */
const optionalResumption: Readonly<
  Record<
    'TLSv1.2' | 'TLSv1.3',
    readonly (readonly [client: string, handshakes: Handshakes, isLastAccepted: boolean])[]
  >
> = {
  'TLSv1.2': [
    ['never resumes', ['full', 'full'], true],
    ['has resumed once', ['full', -1, 'full'], false],
  ],
  'TLSv1.3': [
    ['never resumes', ['full', 'full'], true],
    // Debian 12's curl keeps the last ticket, and uses it once; Java and newer curls use each ticket once.
    ['keeps one ticket and has used it', [-1, 'full', 'full'], true],
    ['has used each of its tickets once', [-1, 0, 'full', 'full'], true],
    // lftp, FileZilla and Python use the last ticket for all data connections.
    ['has used one ticket twice', ['full', -1, 'full', -1, 'full'], false],
    ['has used its other ticket between two uses of one', [-1, 0, -1, 'full'], false],
  ],
};

/** Downloads once with each handshake, and resolves to the last reply. All before it must be accepted. */
async function retrieve(version: SecureVersion, handshakes: Handshakes): Promise<string> {
  let reply = '226 ';
  for (const handshake of handshakes) {
    assert.match(reply, /^226 /);
    reply = await retrieveWith(version, handshake === 'full' ? undefined : tickets.at(handshake));
  }
  return reply;
}

async function retrieveWith(version: SecureVersion, session: Buffer | undefined): Promise<string> {
  const { connected } = await clientAfter150(version, session);
  const reply = side.command('RETR', 'f');
  const client = await connected;
  void readAll(client);
  const text = await reply;
  assert.equal(client.isSessionReused(), session !== undefined && text.startsWith('226'));
  return text;
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  describe(`a data connection under ${version}`, () => {
    it(`A data connection under ${version} shakes hands after the 150, downloads, and ends with close_notify before the 226`, async () => {
      await start(version);
      const { connected } = await clientAfter150(version);
      const reply = side.command('RETR', 'f');
      const client = await connected;
      const { bytes, end } = await readAll(client);
      assert.equal(bytes.toString(), 'abc');
      assert.equal(end, 'clean');
      assert.equal(await reply, '226 Transfer complete.\r\n');
    });

    it(`A data connection under ${version} receives an upload`, async () => {
      await start(version);
      const { connected } = await clientAfter150(version);
      const reply = side.command('STOR', 'up');
      const client = await connected;
      client.resume().end('x'.repeat(1_000_000));
      assert.equal(await reply, '226 Transfer complete.\r\n');
      assert.equal(filesystem.readFile('/up')?.length, 1_000_000);
    });

    it(`A data connection under ${version} must resume the TLS session of its own control connection`, async () => {
      const session = await start(version, { tlsDataResumption: 'required' });
      const foreign = (await controlConnection(version)).tickets.at(-1);
      for (const [offered, isAccepted] of [
        [session, true],
        [foreign, false],
        [undefined, false],
      ] as const) {
        const { connected } = await clientAfter150(version, offered);
        const reply = side.command('RETR', 'f');
        const client = await connected;
        const received = readAll(client);
        assert.equal(
          await reply,
          isAccepted
            ? '226 Transfer complete.\r\n'
            : "522 The data connection must resume the control connection's TLS session. [TLS-NOT-RESUMED]\r\n",
        );
        const { bytes } = await received;
        assert.equal(bytes.toString(), isAccepted ? 'abc' : '');
      }
    });

    it(`A data connection under ${version} may start a new TLS session where resumption is optional`, async () => {
      await start(version);
      const { connected } = await clientAfter150(version);
      const reply = side.command('RETR', 'f');
      const client = await connected;
      void readAll(client);
      assert.equal(await reply, '226 Transfer complete.\r\n');
      assert.equal(client.isSessionReused(), false);
    });

    // 'full' does not resume; a number is the index of the ticket to resume with, -1 the last one.
    for (const [client, handshakes, isLastAccepted] of optionalResumption[version]) {
      it(`A full handshake under ${version} is ${isLastAccepted ? 'accepted' : 'refused'} where resumption is optional and the client ${client}`, async () => {
        await start(version);
        const reply = await retrieve(version, handshakes);
        assert.match(reply, isLastAccepted ? /^226 / : /^522 .* \[TLS-NOT-RESUMED\]/);
      });
    }

    it(`A data connection under ${version} that resumes a foreign session is refused where resumption is optional and the session always resumes`, async () => {
      await start(version);
      await retrieve(version, [-1, -1]);
      const foreign = (await controlConnection(version)).tickets[0]!;
      assert.match(await retrieveWith(version, foreign), /^522 .* \[TLS-NOT-RESUMED\]/);
      assert.match(await retrieve(version, [-1]), /^226 /, 'and the client goes on');
    });

    it(`An upload under ${version} is aborted when the client sends a reset and no close_notify`, async () => {
      await start(version);
      const { connected } = await clientAfter150(version);
      const reply = side.command('STOR', 'up');
      const client = await connected;
      client.write('half');
      while ((side.session.transfer?.movedBytes ?? 0) < 4)
        await new Promise((resolve) => setImmediate(resolve));
      rawOf(client).resetAndDestroy();
      assert.equal(await reply, '426 The data connection was closed; transfer aborted. [DATA-LOST]\r\n');
      assert.equal(filesystem.readFile('/up'), undefined);
    });
  });
}

describe('a data connection under TLS', () => {
  const inClear =
    '425 A data connection came, but in clear; this session protects them with TLS (PROT P). [TLS-NOT-STARTED]\r\n';
  const handshakeFailed = '425 The TLS handshake of the data connection failed. [TLS-CUT]\r\n';
  // A ClientHello that offers only TLS 1.0 (RFC 2246 7.4.1.2).
  const tls10ClientHello = Buffer.concat([
    Buffer.from([22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 1]),
    Buffer.alloc(32, 7),
    Buffer.from([0, 0, 2, 0, 47, 1, 0]),
  ]);
  for (const [what, bytes, reply] of [
    ['ends without a byte', '', inClear],
    ['sends one byte of a file and ends', 'x', inClear],
    ['sends a text in clear', 'Report of the day\n'.repeat(100), inClear],
    ['sends zeros in clear', Buffer.alloc(1000), inClear],
    ['sends a ZIP file in clear', Buffer.from('PK\x03\x04\x14\0\0\0\b\0'.repeat(50), 'latin1'), inClear],
    ['sends an HTTP request', 'GET / HTTP/1.0\r\n\r\n', inClear],
    ['offers TLS 1.0 alone', tls10ClientHello, handshakeFailed.replace('TLS-CUT', 'TLS-VERSION')],
    ['ends in the middle of its ClientHello', tls10ClientHello.subarray(0, 20), handshakeFailed],
  ] as const) {
    for (const [verb, argument] of [
      ['STOR', 'up'],
      ['RETR', 'f'],
    ] as const) {
      it(`A data connection that ${what} where TLS is expected is answered immediately in ${verb}: ${reply.trimEnd()}`, async () => {
        await start('TLSv1.3', { dataConnectionTimeoutMs: 60_000, stallTimeoutMs: 60_000 });
        const client = await side.connection();
        client.resume().end(bytes);
        assert.equal(await side.command(verb, argument), reply);
        assert.equal(filesystem.readFile('/up'), undefined);
      });
    }
  }

  it('A data connection that stays silent where TLS is expected is answered after DATA_CONNECTION_TIMEOUT', async () => {
    await start('TLSv1.3', { dataConnectionTimeoutMs: 50 });
    await side.connection();
    assert.equal(await side.command('RETR', 'f'), inClear);
  });

  it('A TLS handshake that stalls is answered after DATA_CONNECTION_TIMEOUT', async () => {
    await start('TLSv1.3', { dataConnectionTimeoutMs: 50 });
    const client = await side.connection();
    client.write(tls10ClientHello.subarray(0, 20));
    assert.equal(
      await side.command('RETR', 'f'),
      '425 The TLS handshake of the data connection took over 1 s. [TLS-TIMEOUT]\r\n',
    );
  });

  it('An ABOR during the TLS handshake ends the transfer immediately', async () => {
    await start('TLSv1.3', { dataConnectionTimeoutMs: 60_000, stallTimeoutMs: 60_000 });
    const client = await side.connection();
    const closed = once(client.resume(), 'close');
    client.write(tls10ClientHello.subarray(0, 20));
    const reply = side.command('RETR', 'f');
    while (side.preliminaries.length === 0) await new Promise((resolve) => setImmediate(resolve));
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    side.session.transfer?.abort('ABOR');
    assert.equal(await reply, '426 Connection closed; transfer aborted. [ABOR]\r\n');
    client.destroy();
    await closed;
  });

  it('A data connection that never arrives is not mistaken for one in clear', async () => {
    await start('TLSv1.3', { dataConnectionTimeoutMs: 50 });
    await side.command('EPSV');
    assert.equal(
      await side.command('RETR', 'f'),
      `425 No connection from 127.0.0.1 reached port ${side.ports.ports[0]} within 1 s; a firewall may block it. Allow TCP ${side.ports.ports[0]}. [PASV-NONE]\r\n`,
    );
  });

  it('A data connection is in clear after PROT C', async () => {
    await start('TLSv1.3');
    side.session.protectionLevel = 'C';
    const received = readAll(await side.connection());
    assert.equal(await side.command('RETR', 'f'), '226 Transfer complete.\r\n');
    assert.equal((await received).bytes.toString(), 'abc');
  });
});
