/** MODE Z: transfers as one deflate stream, and the handling of invalid streams. */
import assert from 'node:assert/strict';
import { createHook } from 'node:async_hooks';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { after, afterEach, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { createDeflate, deflateSync, inflateSync } from 'node:zlib';
import type { Filesystem } from '../../../src/filesystem/filesystem.ts';
import { MemoryFilesystem } from '../../../src/filesystem/memory-filesystem.ts';
import { Dialogue, readAll } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from '../../support/gateway.ts';
import { LeakCheck } from '../../support/leak-check.ts';

const leaks = new LeakCheck();
let gateway: TestGateway;
let client: Dialogue;

async function start(options: TestGatewayOptions = {}): Promise<void> {
  gateway = await startTestGateway(options);
  client = await Dialogue.logIn({ port: gateway.controlPort });
  await client.says('TYPE I', '200 Type is image.');
  await client.says('MODE Z', '200 Mode is deflate.');
}

afterEach(async () => {
  client.destroy();
  await gateway.close();
  await zlibIsReleased();
});
after(() => leaks.assertNothingLeft());

type Zlib = { readonly _handle: unknown };

/** Every zlib stream of this process, to check that its memory was freed; Node does not count them. */
const zlibs = new Set<Zlib>();
createHook({
  init: (_id, type, _trigger, resource) => {
    if (type !== 'ZLIB') return;
    // The handle is created before it refers to the stream that owns it.
    process.nextTick(() => {
      const owner = Object.getOwnPropertySymbols(resource).find(
        ({ description }) => description === 'owner_symbol',
      );
      assert.ok(owner, 'a zlib handle names its stream');
      zlibs.add((resource as Record<symbol, Zlib>)[owner]!);
    });
  },
}).enable();

/** A stream is destroyed a few event-loop turns after the transfer has ended, without an event. */
async function zlibIsReleased(): Promise<void> {
  const open = (): number => [...zlibs].filter(({ _handle }) => _handle !== null).length;
  for (let turn = 0; turn < 2_000 && open() > 0; turn += 1) await nextTurn();
  assert.ok(zlibs.size > 0);
  assert.equal(open(), 0, 'zlib streams left open');
}

function payload(bytes: number): Buffer {
  let state = 1;
  return Buffer.from(
    Uint8Array.from({ length: bytes }, () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 16) & 0x3f;
    }),
  );
}

const notDeflate = '426 The data are not a whole deflate stream; nothing was stored. [DATA-DEFLATE]';
const trailing = '426 Bytes came after the deflate stream; nothing was stored. [DATA-DEFLATE]';
const text = Buffer.from('one\ntwo\n');

describe('MODE Z', () => {
  for (const size of [0, 1, 65_536, 3_000_001]) {
    it(`In MODE Z, STOR stores ${size} bytes and RETR sends them back`, async () => {
      await start();
      const content = payload(size);
      await client.says(`ALLO ${size}`, '200 Noted.');
      await client.upload('STOR f', deflateSync(content));
      assert.ok(gateway.filesystem.readFile('/f')!.equals(content));
      const stored = await gateway.nextEvent('transfer');
      assert.deepEqual([stored.outcome, stored.sizeBytes], ['completed', size]);
      const sent = await client.download('RETR f');
      assert.ok(inflateSync(sent).equals(content));
      const retrieved = await gateway.nextEvent('transfer');
      assert.deepEqual([retrieved.outcome, retrieved.sizeBytes], ['completed', size]);
    });
  }

  it('In MODE Z, downloads are compressed at the level that OPTS sets', async () => {
    await start();
    const content = Buffer.from(Array.from({ length: 20_000 }, (_, index) => `${index * 7_919}\n`).join(''));
    gateway.filesystem.putFile('/f', content);
    await client.says('OPTS MODE Z LEVEL 1', '200 MODE Z LEVEL 1');
    const quick = await client.download('RETR f');
    await client.says('OPTS MODE Z LEVEL 9', '200 MODE Z LEVEL 9');
    const small = await client.download('RETR f');
    assert.ok(small.length < quick.length && quick.length < content.length);
    assert.ok(inflateSync(quick).equals(content) && inflateSync(small).equals(content));
  });

  it('In MODE Z, line ends are converted inside the deflate stream', async () => {
    await start();
    await client.says('TYPE A', '200 Type is ASCII.');
    await client.upload('STOR f', deflateSync('one\r\ntwo\r\n'));
    assert.deepEqual(gateway.filesystem.readFile('/f'), text);
    assert.equal(inflateSync(await client.download('RETR f')).toString(), 'one\r\ntwo\r\n');
  });

  it('In MODE Z, listings, APPE, STOU and restarts at uncompressed offsets work', async () => {
    await start();
    gateway.filesystem.putFile('/f', '0123456789');
    assert.equal(inflateSync(await client.download('NLST')).toString(), 'f\r\n');
    assert.match(inflateSync(await client.download('LIST')).toString(), / 10 .* f\r\n$/);
    assert.match(inflateSync(await client.download('MLSD')).toString(), /size=10;.* f\r\n$/);
    await client.says('REST 4', /^350 /);
    assert.equal(inflateSync(await client.download('RETR f')).toString(), '456789');
    await client.upload('APPE f', deflateSync('ab'));
    await client.says('REST 5', /^350 /);
    await client.upload('STOR f', deflateSync('XX'));
    assert.equal(gateway.filesystem.readFile('/f')!.toString(), '01234XX');
    await client.upload('STOU', deflateSync('unique'));
    const [name = ''] = gateway.filesystem.pathnames().filter((pathname) => pathname.includes('stou'));
    assert.equal(gateway.filesystem.readFile(name)!.toString(), 'unique');
  });

  it('In MODE Z, data is compressed inside TLS', async () => {
    await start({ tls: 'optional' });
    client.destroy();
    client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    await client.startTls();
    await client.says('USER alice', '331 Password required.');
    await client.says('PASS secret', '230 Logged in.');
    await client.says('PBSZ 0', /^200 /);
    await client.says('PROT P', /^200 /);
    await client.says('TYPE I', /^200 /);
    await client.says('MODE Z', '200 Mode is deflate.');
    const content = payload(500_000);
    const toStore = await client.passive();
    await client.says('STOR f', /^150 /);
    await readAll(protect(toStore).end(deflateSync(content)));
    await client.expect('226 Transfer complete.');
    assert.ok(gateway.filesystem.readFile('/f')!.equals(content));
    const toRetrieve = await client.passive();
    await client.says('RETR f', /^150 /);
    assert.ok(inflateSync(await readAll(protect(toRetrieve))).equals(content));
    await client.expect('226 Transfer complete.');
  });

  it('REIN and MODE S switch MODE Z off', async () => {
    await start();
    gateway.filesystem.putFile('/f', text);
    await client.says('REIN', /^220 /);
    await client.says('USER alice', /^331 /);
    await client.says('PASS secret', /^230 /);
    await client.says('TYPE I', /^200 /);
    assert.deepEqual(await client.download('RETR f'), text);
    await client.says('MODE Z', '200 Mode is deflate.');
    await client.says('MODE S', '200 Mode is stream.');
    assert.deepEqual(await client.download('RETR f'), text);
  });

  const whole = deflateSync(payload(200_000));
  const broken: readonly (readonly [what: string, bytes: Uint8Array, answer: string])[] = [
    ['nothing at all', Buffer.alloc(0), notDeflate],
    ['a stream cut in its middle', whole.subarray(0, whole.length >> 1), notDeflate],
    ['a stream cut in its checksum', whole.subarray(0, -1), notDeflate],
    [
      'a stream with a wrong checksum',
      Buffer.concat([whole.subarray(0, -1), Buffer.of(whole.at(-1)! ^ 1)]),
      notDeflate,
    ],
    ['bytes that are no deflate stream', payload(200_000), notDeflate],
    ['a byte after the stream', Buffer.concat([whole, Buffer.of(0)]), trailing],
    ['a second stream after the first', Buffer.concat([whole, whole]), trailing],
  ];
  for (const [what, bytes, answer] of broken) {
    it(`In MODE Z, STOR keeps the old file when it receives ${what}`, async () => {
      await start();
      gateway.filesystem.putFile('/f', 'old');
      const data = await client.passive();
      data.on('error', () => undefined);
      await client.says('STOR f', /^150 /);
      data.end(bytes);
      data.resume();
      await client.expect(answer);
      assert.equal(gateway.filesystem.readFile('/f')!.toString(), 'old');
      assert.equal((await gateway.nextEvent('transfer')).outcome, 'aborted');
    });
  }

  it('In MODE Z, STOR refuses a byte that arrives in a later segment than the end of the stream', async () => {
    await start();
    const data = await client.passive();
    data.on('error', () => undefined);
    await client.says('STOR f', /^150 /);
    data.write(deflateSync('all'));
    while (!(await client.ask('STAT')).includes('STOR /f: 3 bytes moved')) await nextTurn();
    data.end('x');
    await client.expect(trailing);
    assert.equal(gateway.filesystem.readFile('/f'), undefined);
  });

  it('In MODE Z, 256 MiB of zeros are inflated in small chunks that never block the event loop', async () => {
    const sink = discarding();
    await start({ filesystemFor: () => sink.filesystem });
    const inflatedBytes = 256 * 1024 ** 2;
    const bomb = await zeros(inflatedBytes);
    assert.ok(bomb.length < 275_000);
    const data = await client.passive();
    await client.says('STOR f', /^150 /);
    const before = process.memoryUsage.rss();
    let turns = 0;
    const over = new AbortController();
    const counting = (async () => {
      for (; !over.signal.aborted; turns += 1) await nextTurn();
    })();
    data.end(bomb);
    data.resume();
    assert.equal(await client.reply(60_000), '226 Transfer complete.');
    over.abort();
    await counting;
    assert.equal(sink.receivedBytes(), inflatedBytes);
    assert.ok(sink.largestBytes() <= 65_536);
    assert.ok(turns > inflatedBytes / 65_536 / 4, `${turns} turns`);
    assert.ok(process.memoryUsage.rss() - before < 128 * 1024 ** 2);
  });

  it('In MODE Z, no more is inflated while the storage is blocked, and ABOR then releases everything', async () => {
    const sink = discarding(new Promise(() => undefined));
    await start({ filesystemFor: () => sink.filesystem });
    const data = await client.passive();
    data.on('error', () => undefined);
    await client.says('STOR f', /^150 /);
    data.write(await zeros(100_000_000));
    while (sink.receivedBytes() === 0) await nextTurn();
    for (let turn = 0; turn < 1_000; turn += 1) await nextTurn();
    assert.ok(sink.receivedBytes() <= 65_536);
    await client.says(
      'ABOR',
      '426 Connection closed; transfer aborted. [ABOR]',
      '226 ABOR command successful.',
    );
    await zlibIsReleased();
    assert.equal(sink.isAborted(), true);
    data.destroy();
  });

  it('In MODE Z, ABOR ends a running download and a running upload and releases everything', async () => {
    await start();
    gateway.filesystem.putFile('/f', payload(8_000_000));
    const sending = await client.passive();
    sending.on('error', () => undefined);
    await client.says('RETR f', /^150 /);
    await once(sending, 'data');
    sending.pause();
    await client.says(
      'ABOR',
      '426 Connection closed; transfer aborted. [ABOR]',
      '226 ABOR command successful.',
    );
    await zlibIsReleased();
    const receiving = await client.passive();
    receiving.on('error', () => undefined);
    await client.says('STOR f', /^150 /);
    receiving.write(whole.subarray(0, 100_000));
    while (!/STOR \/f: [1-9]/.test(await client.ask('STAT'))) await nextTurn();
    await client.says(
      'ABOR',
      '426 Connection closed; transfer aborted. [ABOR]',
      '226 ABOR command successful.',
    );
    await zlibIsReleased();
    assert.equal(gateway.filesystem.readFile('/f')!.length, 8_000_000);
    sending.destroy();
    receiving.destroy();
  });
});

function protect(socket: Socket): Socket {
  return connectTls({ socket, rejectUnauthorized: false, servername: 'localhost' });
}

/** Deflates so many zeros without holding them in memory. */
async function zeros(bytes: number): Promise<Buffer> {
  const deflate = createDeflate({ level: 9 });
  const compressed = deflate.toArray();
  const chunk = Buffer.alloc(1024 * 1024);
  for (let left = bytes; left > 0; left -= chunk.length) {
    if (!deflate.write(chunk.subarray(0, left))) await once(deflate, 'drain');
  }
  deflate.end();
  return Buffer.concat((await compressed) as Buffer[]);
}

type Discarding = {
  readonly filesystem: Filesystem;
  receivedBytes(): number;
  largestBytes(): number;
  isAborted(): boolean;
};

/** Discards its input; has room again when `room` resolves, or immediately. */
function discarding(room?: Promise<void>): Discarding {
  let receivedBytes = 0;
  let largestBytes = 0;
  let isAborted = false;
  const filesystem = new MemoryFilesystem();
  filesystem.openUpload = () =>
    Promise.resolve({
      write: (bytes) => {
        receivedBytes += bytes.length;
        largestBytes = Math.max(largestBytes, bytes.length);
        return room;
      },
      prepare: () => Promise.resolve(),
      commit: () => Promise.resolve(),
      abort: () => {
        isAborted = true;
        return Promise.resolve();
      },
    });
  return {
    filesystem,
    receivedBytes: () => receivedBytes,
    largestBytes: () => largestBytes,
    isAborted: () => isAborted,
  };
}
