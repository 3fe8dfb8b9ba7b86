/** The switch that lets an accepted socket read into given buffers: it is Node's own, and not documented for such sockets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { canReadInto, readInto } from '../../../src/ftp/data/read-into.ts';
import { testCertificate } from '../../support/certificate.ts';
import { bytesOf } from '../../s3/transfer.ts';

const bufferBytes = 50_000;
const content = bytesOf(1_000_003);

it('This version of Node has the switch with which uploads are read into buffers', () => {
  assert.equal(canReadInto, true);
});

for (const security of ['clear text', 'TLS'] as const) {
  describe(`a socket that reads into buffers, in ${security}`, () => {
    let server: Server;
    let sockets: Socket[];

    beforeEach(async () => {
      sockets = [];
      server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
    });
    afterEach(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });

    /** Both ends of a connection: the one that was accepted, which has emitted its first bytes as `data`, and the client's. */
    async function open(first: string): Promise<{ accepted: Socket; client: Socket; raw: Socket }> {
      const { chain: cert, key } = await testCertificate();
      const { port } = server.address() as AddressInfo;
      const raw = connect(port, '127.0.0.1');
      const [incoming] = (await once(server, 'connection')) as [Socket];
      const isTls = security === 'TLS';
      const accepted = isTls ? new TLSSocket(incoming, { isServer: true, cert, key }) : incoming;
      const client = isTls ? connectTls({ socket: raw, rejectUnauthorized: false }) : raw;
      for (const socket of [raw, incoming, accepted, client]) socket.on('error', () => undefined);
      sockets.push(raw, incoming, accepted, client);
      client.write(first);
      const [bytes] = (await once(accepted, 'data')) as [Buffer];
      assert.equal(String(bytes), first);
      return { accepted, client, raw };
    }

    /** Switches the socket, and collects what it reads; `onBytes` is called after each read. */
    function collect(socket: Socket, onBytes: () => void = () => undefined): { bytes(): Buffer } {
      const full: Buffer[] = [];
      let buffer = Buffer.alloc(bufferBytes);
      let used = 0;
      const isSwitched = readInto(socket, {
        nextBuffer: () => buffer.subarray(used),
        onBytes(byteCount) {
          used += byteCount;
          if (used === buffer.length) {
            full.push(buffer);
            buffer = Buffer.alloc(bufferBytes);
            used = 0;
          }
          onBytes();
        },
      });
      assert.equal(isSwitched, true);
      socket.removeAllListeners('data');
      return { bytes: () => Buffer.concat([...full, buffer.subarray(0, used)]) };
    }

    it('A socket that reads into buffers gets every byte, and ends', async () => {
      const { accepted, client } = await open('first');
      const collected = collect(accepted);
      client.end(content);
      await once(accepted, 'end');
      assert.ok(collected.bytes().equals(content));
    });

    it('A socket that reads into buffers can be paused and resumed after any read', async () => {
      const { accepted, client } = await open('first');
      let reads = 0;
      const collected = collect(accepted, () => {
        reads += 1;
        accepted.pause();
        setImmediate(() => accepted.resume());
      });
      client.end(content);
      await once(accepted, 'end');
      assert.ok(collected.bytes().equals(content));
      assert.ok(reads > 3);
    });

    it('A socket that reads into buffers and stays paused stops its client', async () => {
      const { accepted, client } = await open('first');
      const collected = collect(accepted, () => accepted.pause());
      client.write(content);
      const before = bufferBytes + 64 * 1024;
      while (collected.bytes().length === 0) await once(accepted, 'pause');
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
      assert.ok(collected.bytes().length <= before, `${collected.bytes().length} bytes`);
    });

    it('A socket that reads into buffers closes without an end when its client resets the connection', async () => {
      const { accepted, client, raw } = await open('first');
      let hasEnded = false;
      accepted.once('end', () => (hasEnded = true));
      let wake: (() => void) | undefined;
      const collected = collect(accepted, () => wake?.());
      client.write(content.subarray(0, 70_000));
      while (collected.bytes().length < 70_000) await new Promise<void>((resolve) => (wake = resolve));
      raw.resetAndDestroy();
      await once(accepted, 'close').catch(() => undefined);
      assert.equal(hasEnded, false);
      assert.ok(collected.bytes().equals(content.subarray(0, 70_000)));
    });
  });
}
