import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { after, afterEach, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { FilesystemError } from '../../../src/filesystem/filesystem-error.ts';
import type { Filesystem, Upload } from '../../../src/filesystem/filesystem.ts';
import { MemoryFilesystem } from '../../../src/filesystem/memory-filesystem.ts';
import { DataSide, readAll, type DataSideOptions } from '../data/data-side.ts';
import { LeakCheck } from '../../support/leak-check.ts';

const leaks = new LeakCheck();
let side: DataSide;

async function start(options: DataSideOptions = {}): Promise<MemoryFilesystem> {
  const filesystem = new MemoryFilesystem();
  side = await DataSide.start({ filesystem, ...options });
  return filesystem;
}

afterEach(() => side.close());
after(() => leaks.assertNothingLeft());

const sizes = [0, 1, 4096, 65_535, 65_536, 65_537, 3_000_000];
function payload(bytes: number): Buffer {
  const period = Buffer.from(Array.from({ length: 65_521 }, (_, index) => (index * 7 + (index >> 8)) & 0xff));
  return Buffer.alloc(bytes, bytes > 0 ? period : 0);
}

describe('RETR', () => {
  for (const size of sizes) {
    it(`RETR sends ${size} bytes and closes the data connection before its 226`, async () => {
      const filesystem = await start();
      filesystem.putFile('/f', payload(size));
      const client = await side.connection();
      const received = readAll(client);
      assert.equal(await side.command('RETR', 'f'), '226 Transfer complete.\r\n');
      assert.deepEqual(side.preliminaries, [
        `150 Opening BINARY mode data connection for f (${size} bytes).\r\n`,
      ]);
      const { bytes, end } = await received;
      assert.equal(end, 'clean');
      assert.ok(bytes.equals(payload(size)));
    });
  }

  it('RETR starts at the restart offset and announces the remaining bytes', async () => {
    const filesystem = await start();
    filesystem.putFile('/f', '0123456789');
    assert.equal(
      await side.command('REST', '4'),
      '350 Restarting at 4. Send STOR or RETR to begin the transfer.\r\n',
    );
    const received = readAll(await side.connection());
    await side.command('RETR', 'f');
    assert.equal((await received).bytes.toString(), '456789');
    assert.match(side.preliminaries[0]!, /\(6 bytes\)/);
  });

  it('RETR sends its 150 before the client connects', async () => {
    const filesystem = await start();
    filesystem.putFile('/f', 'abc');
    await side.command('EPSV');
    const reply = side.command('RETR', 'f');
    while (side.preliminaries.length === 0) await nextTurn();
    const received = readAll(await side.dial(side.ports.ports[0]!));
    assert.equal(await reply, '226 Transfer complete.\r\n');
    assert.equal((await received).bytes.toString(), 'abc');
  });

  it('RETR fails before its 150 when the file does not exist, and uses up the data connection', async () => {
    await start();
    const client = await side.connection();
    const gone = readAll(client);
    await assert.rejects(side.command('RETR', 'nofile'), { kind: 'not-found' });
    assert.deepEqual(side.preliminaries, []);
    await gone;
    assert.equal(
      await side.command('RETR', 'nofile'),
      '425 Use PASV, EPSV, PORT or EPRT first. [DATA-NO-MODE]\r\n',
    );
  });

  it('RETR fails with 425 when no data connection arrives in time', async () => {
    const filesystem = await start({ dataConnectionTimeoutMs: 30 });
    filesystem.putFile('/f', 'abc');
    await side.command('EPSV');
    assert.equal(
      await side.command('RETR', 'f'),
      `425 No connection from 127.0.0.1 reached port ${side.ports.ports[0]} within 1 s; a firewall may block it. Allow TCP ${side.ports.ports[0]}. [PASV-NONE]\r\n`,
    );
  });

  it('RETR sends every byte correctly to a client that reads slowly', async () => {
    const filesystem = await start();
    const content = payload(20_000_000);
    filesystem.putFile('/f', content);
    const client = await side.connection();
    const reply = side.command('RETR', 'f');
    const chunks: Buffer[] = [];
    for await (const chunk of client) {
      chunks.push(chunk as Buffer);
      if (chunks.length % 20 === 0) await nextTurn();
    }
    client.end();
    assert.equal(await reply, '226 Transfer complete.\r\n');
    assert.ok(Buffer.concat(chunks).equals(content));
  });

  it('RETR is aborted with 426 and a reset when the client reads nothing for the stall timeout', async () => {
    const filesystem = await start({ stallTimeoutMs: 100 });
    filesystem.putFile('/f', payload(30_000_000));
    const client = await side.connection();
    assert.equal(
      await side.command('RETR', 'f'),
      '426 No data moved for 1 s; transfer aborted. [DATA-STALLED]\r\n',
    );
    assert.equal((await readAll(client)).end, 'ECONNRESET');
  });

  it('RETR fails with 426 when the client closes the data connection', async () => {
    const filesystem = await start();
    filesystem.putFile('/f', payload(30_000_000));
    const client = await side.connection();
    const reply = side.command('RETR', 'f');
    await once(client, 'data');
    client.resetAndDestroy();
    assert.equal(await reply, '426 The data connection was closed; transfer aborted. [DATA-LOST]\r\n');
    assert.equal(side.events.at(-1)?.event, 'transfer');
  });

  for (const [cause, text] of [
    ['ABOR', '426 Connection closed; transfer aborted. [ABOR]\r\n'],
    ['DRAIN', '426 The gateway is stopping; transfer aborted. [DRAIN]\r\n'],
  ] as const) {
    it(`RETR ends immediately when it is aborted with ${cause}`, async () => {
      const filesystem = await start();
      filesystem.putFile('/f', payload(30_000_000));
      const client = await side.connection();
      const reply = side.command('RETR', 'f');
      await once(client, 'data');
      const { transfer } = side.session;
      transfer!.abort(cause);
      transfer!.abort('DATA-STALLED');
      assert.equal(await reply, text);
      assert.equal(side.session.transfer, undefined);
      const event = side.events.at(-1)!;
      assert.ok(event.event === 'transfer' && event.outcome === 'aborted' && event.cause === cause);
    });
  }

  it('A 150 names the file without its directory, for downloads and uploads', async () => {
    const filesystem = await start();
    filesystem.putFile('/d/f', 'content');
    const download = await side.connection();
    const retrieved = side.command('RETR', 'd/f');
    await readAll(download);
    await retrieved;
    const upload = await side.connection();
    upload.end('new content');
    await side.command('STOR', '/d/./f');
    assert.deepEqual(side.preliminaries, [
      '150 Opening BINARY mode data connection for f (7 bytes).\r\n',
      '150 Opening BINARY mode data connection for f.\r\n',
    ]);
  });

  it('RETR in TYPE A converts line ends, announces no size and refuses a restart offset', async () => {
    const filesystem = await start();
    filesystem.putFile('/f', 'one\ntwo\n');
    side.session.representationType = 'A';
    const received = readAll(await side.connection());
    await side.command('RETR', 'f');
    assert.equal((await received).bytes.toString(), 'one\r\ntwo\r\n');
    assert.deepEqual(side.preliminaries, ['150 Opening ASCII mode data connection for f.\r\n']);
    side.session.restartOffsetBytes = 2;
    assert.equal(await side.command('RETR', 'f'), '504 A restart needs TYPE I.\r\n');
  });

  it('RETR never reports a short download as complete', async () => {
    const filesystem = new MemoryFilesystem();
    filesystem.putFile('/f', 'abc');
    const short = overriding(filesystem, {
      openDownload: async (pathname, options) => {
        const download = await filesystem.openDownload(pathname, options);
        return { ...download, sizeBytes: 4 };
      },
    });
    side = await DataSide.start({ filesystem: short });
    const received = readAll(await side.connection());
    await assert.rejects(side.command('RETR', 'f'), FilesystemError);
    assert.equal((await received).end, 'ECONNRESET');
  });

  it('RETR requires a pathname', async () => {
    await start();
    assert.equal(await side.command('RETR'), '501 A pathname is needed.\r\n');
  });
});

describe('STOR', () => {
  for (const size of sizes) {
    it(`STOR stores ${size} bytes`, async () => {
      const filesystem = await start();
      const client = await side.connection();
      client.end(payload(size));
      assert.equal(await side.command('STOR', 'f'), '226 Transfer complete.\r\n');
      assert.deepEqual(side.preliminaries, ['150 Opening BINARY mode data connection for f.\r\n']);
      assert.ok(filesystem.readFile('/f')!.equals(payload(size)));
      const event = side.events.at(-1)!;
      assert.ok(event.event === 'transfer' && event.outcome === 'completed' && event.sizeBytes === size);
    });
  }

  for (const [how, breakOff, expected] of [
    [
      'the data connection is reset',
      (client: Socket) => client.resetAndDestroy(),
      '426 The data connection was closed; transfer aborted. [DATA-LOST]\r\n',
    ],
    [
      'the control connection is lost',
      () => side.endSession(),
      '426 The session has ended; transfer aborted. [CLIENT-CLOSED]\r\n',
    ],
  ] as const) {
    it(`STOR keeps the old file when ${how} during the upload`, async () => {
      const filesystem = await start();
      filesystem.putFile('/f', 'old');
      const client = await side.connection();
      const reply = side.command('STOR', 'f');
      client.write(payload(100_000));
      while ((side.session.transfer?.movedBytes ?? 0) < 100_000) await nextTurn();
      breakOff(client);
      assert.equal(await reply, expected);
      assert.equal(filesystem.readFile('/f')!.toString(), 'old');
    });
  }

  it('STOR keeps the old file when the control connection closes in the same event-loop turn as the data connection', async () => {
    const filesystem = await start();
    filesystem.putFile('/f', 'old');
    const client = await side.connection();
    const reply = side.command('STOR', 'f');
    client.end('new');
    // As soon as the gateway has read the FIN, it releases the data connection.
    while ((side.session.transfer?.movedBytes ?? 0) < 3) await nextTurn();
    side.endSession();
    assert.match(await reply, /^426 /);
    assert.equal(filesystem.readFile('/f')!.toString(), 'old');
  });

  it('STOR keeps the old file after ABOR', async () => {
    const filesystem = await start();
    filesystem.putFile('/f', 'old');
    const client = await side.connection();
    const reply = side.command('STOR', 'f');
    client.write('new');
    while ((side.session.transfer?.movedBytes ?? 0) < 3) await nextTurn();
    side.session.transfer!.abort('ABOR');
    assert.equal(await reply, '426 Connection closed; transfer aborted. [ABOR]\r\n');
    assert.equal(filesystem.readFile('/f')!.toString(), 'old');
  });

  it('STOR keeps the old file when the client sends nothing for the stall timeout', async () => {
    const filesystem = await start({ stallTimeoutMs: 50 });
    filesystem.putFile('/f', 'old');
    const client = await side.connection();
    client.write('new');
    assert.equal(
      await side.command('STOR', 'f'),
      '426 No data moved for 1 s; transfer aborted. [DATA-STALLED]\r\n',
    );
    assert.equal(filesystem.readFile('/f')!.toString(), 'old');
  });

  it('STOR does not time out while the storage is slow, and reads no more until it is ready', async (t) => {
    const filesystem = new MemoryFilesystem();
    let open!: () => void;
    const gate = new Promise<void>((resolve) => (open = resolve));
    let written = 0;
    const slow = overriding(filesystem, {
      openUpload: async (pathname, options) => {
        const upload = await filesystem.openUpload(pathname, options);
        return wrapping(upload, (bytes) => {
          written += 1;
          void upload.write(bytes);
          return gate;
        });
      },
    });
    side = await DataSide.start({ filesystem: slow, stallTimeoutMs: 400 });
    const client = await side.connection();
    client.end(payload(500_000));
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const reply = side.command('STOR', 'f');
    while (written === 0) await nextTurn();
    for (let stalls = 0; stalls < 3; stalls++) {
      t.mock.timers.tick(400);
      for (let turn = 0; turn < 10; turn++) await nextTurn();
    }
    assert.equal(written, 1);
    t.mock.timers.reset();
    open();
    assert.equal(await reply, '226 Transfer complete.\r\n');
    assert.ok(filesystem.readFile('/f')!.equals(payload(500_000)));
  });

  it('STOR fails with the error of the storage', async () => {
    const filesystem = new MemoryFilesystem();
    let abortedWith: unknown;
    const broken = overriding(filesystem, {
      openUpload: async (pathname, options) => ({
        ...(await filesystem.openUpload(pathname, options)),
        write: () => Promise.reject(new FilesystemError('storage-full', 'full')),
        abort: async (reason) => {
          abortedWith = reason;
          await nextTurn();
        },
      }),
    });
    side = await DataSide.start({ filesystem: broken });
    const client = await side.connection();
    client.write('x');
    await assert.rejects(side.command('STOR', 'f'), { kind: 'storage-full' });
    assert.ok(abortedWith instanceof FilesystemError);
    const event = side.events.at(-1)!;
    assert.ok(event.event === 'transfer' && event.outcome === 'failed');
  });

  it('STOR stores nothing when the upload has fewer or more bytes than ALLO announced', async () => {
    const filesystem = await start();
    for (const announced of [2, 4]) {
      const client = await side.connection();
      side.session.allocatedBytes = announced;
      client.end('abc');
      assert.equal(
        await side.command('STOR', 'f'),
        `426 ALLO announced ${announced} bytes, 3 came; nothing was stored. [ALLO-SHORT]\r\n`,
      );
    }
    assert.equal(filesystem.readFile('/f'), undefined);
    const client = await side.connection();
    side.session.allocatedBytes = 3;
    client.end('abc');
    assert.equal(await side.command('STOR', 'f'), '226 Transfer complete.\r\n');
  });

  it('STOR keeps the bytes before the restart offset', async () => {
    const filesystem = await start();
    filesystem.putFile('/f', '0123456789');
    await side.command('REST', '5');
    const client = await side.connection();
    client.end('XXXXX');
    assert.equal(await side.command('STOR', 'f'), '226 Transfer complete.\r\n');
    assert.equal(filesystem.readFile('/f')!.toString(), '01234XXXXX');
  });

  it('STOR converts line ends in TYPE A', async () => {
    const filesystem = await start();
    side.session.representationType = 'A';
    const client = await side.connection();
    client.end('one\r\ntwo\r\n\r');
    assert.equal(await side.command('STOR', 'f'), '226 Transfer complete.\r\n');
    assert.equal(filesystem.readFile('/f')!.toString(), 'one\ntwo\n\r');
  });

  it('STOR lets a write-only user create files, but not replace them', async () => {
    const filesystem = await start({ permissions: 'write-only' });
    filesystem.putFile('/old', 'old');
    await side.connection();
    await assert.rejects(side.command('STOR', 'old'), { kind: 'exists' });
    const client = await side.connection();
    client.end('new');
    assert.equal(await side.command('STOR', 'new'), '226 Transfer complete.\r\n');
    assert.equal(filesystem.readFile('/old')!.toString(), 'old');
  });

  it('REST and STOR tell a write-only user nothing about the name', async () => {
    const filesystem = await start({ permissions: 'write-only' });
    filesystem.putFile('/old', 'old');
    for (const name of ['old', 'missing']) {
      for (const offset of [1, 3, 5]) {
        await side.connection();
        side.session.restartOffsetBytes = offset;
        assert.equal(await side.command('STOR', name), '550 Permission denied. [FILE-PERMISSION]\r\n');
      }
    }
  });
});

describe('APPE', () => {
  it('APPE appends to a file and creates a missing one', async () => {
    const filesystem = await start();
    for (const chunk of ['one', 'two']) {
      const client = await side.connection();
      client.end(chunk);
      assert.equal(await side.command('APPE', 'f'), '226 Transfer complete.\r\n');
    }
    assert.equal(filesystem.readFile('/f')!.toString(), 'onetwo');
  });

  it('APPE keeps the file unchanged when the data connection breaks', async () => {
    const filesystem = await start();
    filesystem.putFile('/f', 'keep');
    const client = await side.connection();
    const reply = side.command('APPE', 'f');
    client.write('lost');
    while ((side.session.transfer?.movedBytes ?? 0) < 4) await nextTurn();
    client.resetAndDestroy();
    assert.match(await reply, /^426 /);
    assert.equal(filesystem.readFile('/f')!.toString(), 'keep');
  });
});

describe('STOU', () => {
  for (const [argument, pattern] of [
    ['', /^stou-[0-9a-f]{16}$/],
    ['scan.pdf', /^scan-[0-9a-f]{16}\.pdf$/],
    ['.profile', /^\.profile-[0-9a-f]{16}$/],
  ] as const) {
    it(`STOU names the file ${String(pattern)} for ${JSON.stringify(argument)}`, async () => {
      const filesystem = await start();
      const client = await side.connection();
      client.end('x');
      const reply = await side.command('STOU', argument);
      const [, name = ''] = /^150 FILE: (.*)\r\n$/.exec(side.preliminaries[0]!)!;
      assert.match(name, pattern);
      assert.equal(reply, `226 Transfer complete (unique file name: ${name}).\r\n`);
      assert.equal(filesystem.readFile(`/${name}`)!.toString(), 'x');
    });
  }
});

describe('REST', () => {
  for (const argument of ['', '-1', '5x', '1.5', '99999999999999999999']) {
    it(`REST refuses ${JSON.stringify(argument)}`, async () => {
      await start();
      assert.equal(await side.command('REST', argument), '501 REST needs a number of bytes.\r\n');
      assert.equal(side.session.restartOffsetBytes, 0);
    });
  }
});

function overriding(filesystem: MemoryFilesystem, methods: Partial<Filesystem>): Filesystem {
  return new Proxy<Filesystem>(filesystem, {
    get: (target, name: keyof Filesystem) => methods[name] ?? target[name]?.bind(target),
  });
}

function wrapping(upload: Upload, write: Upload['write']): Upload {
  return {
    write,
    prepare: () => upload.prepare(),
    commit: () => upload.commit(),
    abort: (reason) => upload.abort(reason),
  };
}
