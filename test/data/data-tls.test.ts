import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { connect as connectTls, createSecureContext, TLSSocket, type SecureVersion } from 'node:tls';
import { generate } from 'selfsigned';
import { MemoryFilesystem } from '../../src/filesystem/memory-filesystem.ts';
import { LeakCheck } from '../support/leak-check.ts';
import { DataSide, readAll, type DataSideOptions } from './data-side.ts';

const leaks = new LeakCheck();
let certificate: { key: string; cert: string };
let side: DataSide;
let filesystem: MemoryFilesystem;
const sockets: Socket[] = [];

before(async () => {
  const made = await generate([{ name: 'commonName', value: 'localhost' }]);
  certificate = { key: made.private, cert: made.cert };
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
  const { tls, session } = await controlConnection(version);
  side.session.tls = tls;
  side.session.protectionLevel = 'P';
  return session;
}

async function controlConnection(
  version: SecureVersion,
): Promise<{ tls: NonNullable<DataSide['session']['tls']>; session: Buffer }> {
  const secureContext = createSecureContext(certificate);
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
  const session = once(client, 'session') as Promise<[Buffer]>;
  const [raw] = await accepted;
  const socket = new TLSSocket(raw, { isServer: true, secureContext });
  sockets.push(client, socket, raw);
  for (const each of sockets) each.on('error', () => undefined);
  client.resume();
  const [bytes] = await session;
  server.close();
  return { tls: { socket, secureContext }, session: bytes };
}

const rawSockets = new WeakMap<TLSSocket, Socket>();

function rawOf(client: TLSSocket): Socket {
  return rawSockets.get(client)!;
}

/** The client: connects after EPSV, and begins its handshake only when it has read the 150, as most clients do. */
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

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  describe(`a data connection under ${version}`, () => {
    it('handshakes after the 150, downloads, and ends with close_notify before the 226', async () => {
      await start(version);
      const { connected } = await clientAfter150(version);
      const reply = side.command('RETR', 'f');
      const client = await connected;
      const { bytes, end } = await readAll(client);
      assert.equal(bytes.toString(), 'abc');
      assert.equal(end, 'clean');
      assert.equal(await reply, '226 Transfer complete.\r\n');
    });

    it('uploads', async () => {
      await start(version);
      const { connected } = await clientAfter150(version);
      const reply = side.command('STOR', 'up');
      const client = await connected;
      client.resume().end('x'.repeat(1_000_000));
      assert.equal(await reply, '226 Transfer complete.\r\n');
      assert.equal(filesystem.readFile('/up')?.length, 1_000_000);
    });

    it("resumes its own control connection's session, and no other's", async () => {
      const session = await start(version, { tlsDataResumption: 'required' });
      const { session: foreign } = await controlConnection(version);
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
            : "522 The data connection must resume the control connection's TLS session.\r\n",
        );
        const { bytes } = await received;
        assert.equal(bytes.toString(), isAccepted ? 'abc' : '');
      }
    });

    it('may be new where resumption is optional', async () => {
      await start(version);
      const { connected } = await clientAfter150(version);
      const reply = side.command('RETR', 'f');
      const client = await connected;
      void readAll(client);
      assert.equal(await reply, '226 Transfer complete.\r\n');
      assert.equal(client.isSessionReused(), false);
    });

    it('is aborted when the client sends no close_notify but a reset', async () => {
      await start(version);
      const { connected } = await clientAfter150(version);
      const reply = side.command('STOR', 'up');
      const client = await connected;
      client.write('half');
      while ((side.session.transfer?.movedBytes ?? 0) < 4)
        await new Promise((resolve) => setImmediate(resolve));
      rawOf(client).resetAndDestroy();
      assert.equal(await reply, '426 The data connection was closed; transfer aborted.\r\n');
      assert.equal(filesystem.readFile('/up'), undefined);
    });
  });
}

describe('a data connection under TLS', () => {
  it('that sends no ClientHello is 425, and harms nobody', async () => {
    await start('TLSv1.3');
    const client = await side.connection();
    client.end('GET / HTTP/1.0\r\n\r\n');
    assert.equal(await side.command('RETR', 'f'), '425 The TLS handshake of the data connection failed.\r\n');
  });

  it('that sends nothing is aborted after the stall timeout', async () => {
    await start('TLSv1.3', { stallTimeoutMs: 50 });
    await side.connection();
    assert.match(await side.command('RETR', 'f'), /^426 No data moved/);
  });

  it('is in clear after PROT C', async () => {
    await start('TLSv1.3');
    side.session.protectionLevel = 'C';
    const received = readAll(await side.connection());
    assert.equal(await side.command('RETR', 'f'), '226 Transfer complete.\r\n');
    assert.equal((await received).bytes.toString(), 'abc');
  });
});
