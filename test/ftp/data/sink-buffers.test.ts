/** Uploads that are read into buffers of the sink: with buffers and without, with ends and breaks at every place of a buffer. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import type { Filesystem, ReceiveBuffer, Upload } from '../../../src/filesystem/filesystem.ts';
import { MemoryFilesystem } from '../../../src/filesystem/memory-filesystem.ts';
import { minBufferedBytes } from '../../../src/ftp/data/receive.ts';
import { bytesOf } from '../../s3/transfer.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { Random } from '../../support/random.ts';

/** No multiple of a TLS record, so that records are split over two buffers. */
const bufferBytes = 40_000;
const sizes = [
  0,
  minBufferedBytes - 1,
  minBufferedBytes,
  minBufferedBytes + 1,
  ...[1, 2, 5].flatMap((count) => [-1, 0, 1].map((more) => minBufferedBytes + count * bufferBytes + more)),
  3_000_000,
];
const unused = 0xee;

/** An upload that lends buffers, takes them back at once, and finds out what is written to them afterwards. */
class LendingUpload implements Upload {
  readonly #upload: Upload;
  readonly #random: Random;
  readonly #idle: Buffer[] = [];
  #lent: (ReceiveBuffer & { readonly bytes: Buffer }) | undefined;
  returns = 0;
  readonly mistakes: string[] = [];

  constructor(upload: Upload, seed: number) {
    this.#upload = upload;
    this.#random = new Random(seed);
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#lent) this.mistakes.push('write while a buffer is lent');
    return this.#sometimesLater(this.#upload.write(bytes));
  }

  takeBuffer(): ReceiveBuffer | undefined {
    if (this.#lent) this.mistakes.push('two buffers at a time');
    if (this.#random.isIn(0.2)) return undefined;
    const bytes = this.#idle.shift() ?? Buffer.alloc(bufferBytes, unused);
    if (!bytes.every((byte) => byte === unused)) this.mistakes.push('a write to a buffer that was returned');
    return (this.#lent = { bytes, usedBytes: 0 });
  }

  writeBuffer(): Promise<void> | undefined {
    const lent = this.#lent;
    if (!lent) {
      this.mistakes.push('no buffer was lent');
      return undefined;
    }
    this.#lent = undefined;
    this.returns += 1;
    const taken = this.#upload.write(Buffer.from(lent.bytes.subarray(0, lent.usedBytes)));
    this.#idle.push(lent.bytes.fill(unused));
    return this.#sometimesLater(taken);
  }

  prepare(): Promise<void> {
    return this.#upload.prepare();
  }

  commit(): Promise<void> {
    return this.#upload.commit();
  }

  abort(reason: unknown): Promise<void> {
    return this.#upload.abort(reason);
  }

  async #later(): Promise<void> {
    for (let turns = this.#random.below(4); turns >= 0; turns--) await nextTurn();
  }

  #sometimesLater(room: Promise<void> | undefined): Promise<void> | undefined {
    return room ?? (this.#random.isIn(0.3) ? this.#later() : undefined);
  }
}

/** A stream over the socket that leaves the socket free to send other bytes as well. */
function overWire(raw: Socket): Duplex {
  const wire = new Duplex({
    read: () => undefined,
    write: (bytes: Buffer, _encoding, done) => raw.write(bytes, done),
    final: (done) => raw.end(done),
  });
  raw.on('data', (bytes) => wire.push(bytes));
  raw.on('close', () => wire.destroy());
  return wire;
}

/** A record of application data that no key of the connection has made. */
const forgedRecord = Buffer.concat([Buffer.from([23, 3, 3, 0, 80]), Buffer.alloc(80)]);

for (const security of ['clear text', 'TLS'] as const) {
  describe(`uploads into lent buffers, in ${security}`, () => {
    let gateway: TestGateway;
    const memory = new MemoryFilesystem();
    let upload: LendingUpload;
    let seed = 0;

    before(async () => {
      const openUpload: Filesystem['openUpload'] = async (pathname, options) =>
        (upload = new LendingUpload(await memory.openUpload(pathname, options), ++seed));
      const filesystem = new Proxy<Filesystem>(memory, {
        get: (target, name: keyof Filesystem) =>
          name === 'openUpload' ? openUpload : target[name]?.bind(target),
      });
      const tls = security === 'TLS' ? 'optional' : 'off';
      gateway = await startTestGateway({ tls, filesystemFor: () => filesystem });
    });
    after(() => gateway.close());

    async function logIn(): Promise<Dialogue> {
      const client = await Dialogue.open({ port: gateway.controlPort });
      await client.expect(/^220 /);
      if (security === 'TLS') await client.startTls();
      await client.says('USER alice', /^331 /);
      await client.says('PASS secret', /^230 /);
      if (security === 'TLS') await client.says('PROT P', /^200 /);
      await client.says('TYPE I', /^200 /);
      return client;
    }

    async function begin(client: Dialogue, name = 'f'): Promise<{ data: Socket; raw: Socket }> {
      memory.putFile(`/${name}`, 'old');
      const raw = await client.passive();
      raw.on('error', () => undefined);
      await client.says(`STOR ${name}`, /^150 /);
      if (security === 'clear text') return { data: raw.resume(), raw };
      const data = connectTls({ socket: overWire(raw), rejectUnauthorized: false }).resume();
      data.on('error', () => undefined);
      await once(data, 'secureConnect');
      return { data, raw };
    }

    /** Writes in slices of random sizes, each of which may have to wait. */
    async function send(data: Socket, content: Buffer): Promise<void> {
      const random = new Random(content.length);
      for (let start = 0; start < content.length;) {
        const end = start + 1 + random.below(100_000);
        if (!data.write(content.subarray(start, end))) await once(data, 'drain');
        start = end;
      }
    }

    const isOld = (name: string): boolean => String(memory.readFile(`/${name}`)) === 'old';

    it('An upload of any size that is received into lent buffers is stored unchanged', async () => {
      const client = await logIn();
      for (const size of sizes) {
        const content = bytesOf(size, size + 1);
        const { data } = await begin(client);
        await send(data, content);
        data.end();
        await client.expect(/^226 /);
        assert.ok(memory.readFile('/f')!.equals(content), `${size} bytes`);
        assert.deepEqual(upload.mistakes, [], `${size} bytes`);
      }
      assert.ok(upload.returns > 40, `${upload.returns} buffers were used`);
      await client.quit();
    });

    it('An upload into lent buffers that is broken at any place stores nothing', async () => {
      const breaks: Record<string, (data: Socket, raw: Socket, client: Dialogue) => unknown> = {
        reset: (_data, raw) => raw.resetAndDestroy(),
        abort: (_data, _raw, client) => client.send('ABOR\r\n'),
        'lost control connection': (_data, _raw, client) => client.destroy(),
        ...(security === 'TLS' && {
          'forged record': (_data: Socket, raw: Socket) => raw.write(forgedRecord),
        }),
      };
      for (const [what, breakIt] of Object.entries(breaks)) {
        for (const size of sizes.filter((size) => size >= minBufferedBytes && size < 1_000_000)) {
          const client = await logIn();
          const name = `${what} ${size}`;
          const { data, raw } = await begin(client, name);
          const ended = gateway.nextEvent('transfer', ({ pathname }) => pathname === `/${name}`);
          await send(data, bytesOf(size));
          breakIt(data, raw, client);
          const { outcome } = await ended;
          assert.equal(outcome, 'aborted', name);
          assert.ok(isOld(name), name);
          assert.deepEqual(upload.mistakes, []);
          client.destroy();
          raw.destroy();
        }
      }
    });

    it('A client that stops in the middle of a lent buffer runs into the stall timeout', async () => {
      const slow = await startTestGateway({
        tls: security === 'TLS' ? 'optional' : 'off',
        stallTimeoutMs: 300,
        filesystemFor: () =>
          new Proxy<Filesystem>(memory, {
            get: (target, name: keyof Filesystem) =>
              name === 'openUpload'
                ? async (...args: Parameters<Filesystem['openUpload']>) =>
                    new LendingUpload(await memory.openUpload(...args), ++seed)
                : target[name]?.bind(target),
          }),
      });
      const first = gateway;
      gateway = slow;
      const client = await logIn();
      const { data } = await begin(client);
      // Slower than one buffer in the stall timeout, but never silent for so long.
      data.write(bytesOf(minBufferedBytes + 10));
      for (const untilMs = performance.now() + 500; performance.now() < untilMs;) {
        data.write('x');
        for (const nextMs = performance.now() + 5; performance.now() < nextMs;) await nextTurn();
      }
      assert.equal(
        slow.events.some(({ event }) => event === 'transfer'),
        false,
      );
      await client.expect(/^426 /);
      assert.ok(isOld('f'));
      client.destroy();
      gateway = first;
      await slow.close();
    });
  });
}
