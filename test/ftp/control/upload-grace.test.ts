/** What the gateway does while it waits for the control connection of a client that may have been killed. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, describe, it } from 'node:test';
import { FilesystemError } from '../../../src/filesystem/filesystem-error.ts';
import type { Filesystem, Upload } from '../../../src/filesystem/filesystem.ts';
import { MemoryFilesystem } from '../../../src/filesystem/memory-filesystem.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';

const content = Buffer.alloc(10_000, 'x');
/** The longest grace time; a test that waited for its end would take as long. */
const longMs = 5_000;

describe('the grace time of an upload', () => {
  let filesystem: MemoryFilesystem;
  let gateway: TestGateway | undefined;
  let calls: string[];
  /** Resolves when the gateway has read the whole file. */
  let received: PromiseWithResolvers<void>;

  afterEach(() => gateway?.close());

  async function start(
    uploadGraceMs: number,
    prepare: (upload: Upload) => Promise<void> = (upload) => upload.prepare(),
  ): Promise<Dialogue> {
    filesystem = new MemoryFilesystem();
    filesystem.putFile('/f', 'old');
    calls = [];
    received = Promise.withResolvers();
    gateway = await startTestGateway({ uploadGraceMs, filesystemFor: () => recording(prepare) });
    const client = await Dialogue.logIn({ port: gateway.controlPort });
    await client.says('TYPE I', /^200 /);
    return client;
  }

  /** The filesystem, with its uploads' calls recorded and another `prepare`. */
  function recording(prepare: (upload: Upload) => Promise<void>): Filesystem {
    const openUpload: Filesystem['openUpload'] = async (pathname, options) => {
      const upload = await filesystem.openUpload(pathname, options);
      let missingBytes = content.length;
      return {
        write: (bytes) => {
          missingBytes -= bytes.length;
          if (missingBytes === 0) received.resolve();
          return upload.write(bytes);
        },
        prepare: () => {
          calls.push('prepare');
          return prepare(upload);
        },
        commit: () => {
          calls.push('commit');
          return upload.commit();
        },
        abort: (reason) => {
          calls.push('abort');
          return upload.abort(reason);
        },
      };
    };
    return new Proxy<Filesystem>(filesystem, {
      get: (target, name: keyof Filesystem) =>
        name === 'openUpload' ? openUpload : target[name]?.bind(target),
    });
  }

  /**
   * Sends the file, is silent for a moment as a killed client is, and resolves when the gateway has read the end of the data
   * connection.
   */
  async function send(client: Dialogue): Promise<void> {
    const data = await client.passive();
    await client.says('STOR f', /^150 /);
    data.resume().write(content);
    await received.promise;
    const untilMs = performance.now() + 6;
    while (performance.now() < untilMs) await nextTurn();
    data.end();
    await once(data, 'end');
  }

  it('An upload whose client is silent before it ends it is published after the grace time', async () => {
    const client = await start(40);
    const startedAtMs = performance.now();
    await send(client);
    await client.expect(/^226 /);
    // Timers count whole milliseconds.
    assert.ok(performance.now() - startedAtMs >= 39);
    assert.deepEqual(calls, ['prepare', 'commit']);
    await client.quit();
  });

  it('An upload is aborted immediately when its client closes the control connection within the grace time', async () => {
    const client = await start(longMs);
    const startedAtMs = performance.now();
    await send(client);
    client.socket.end();
    const { outcome } = await gateway!.nextEvent('transfer');
    assert.equal(outcome, 'aborted');
    assert.ok(performance.now() - startedAtMs < longMs / 2);
    assert.deepEqual(calls, ['prepare', 'abort']);
    assert.equal(String(filesystem.readFile('/f')), 'old');
    client.destroy();
  });

  it('A grace time of 0 publishes an upload when its data connection has ended', async () => {
    const client = await start(0);
    await send(client);
    await client.expect(/^226 /);
    assert.ok(filesystem.readFile('/f')!.equals(content));
    await client.quit();
  });

  it('An upload in TYPE A, which may end in half a line end, is not prepared within the grace time', async () => {
    const client = await start(1);
    await client.says('TYPE A', /^200 /);
    await send(client);
    await client.expect(/^226 /);
    assert.deepEqual(calls, ['commit']);
    await client.quit();
  });

  it('ABOR within the grace time aborts the upload and is answered immediately', async () => {
    const client = await start(longMs);
    const startedAtMs = performance.now();
    await send(client);
    await client.says(
      'ABOR',
      '426 Connection closed; transfer aborted. [ABOR]',
      '226 ABOR command successful.',
    );
    assert.ok(performance.now() - startedAtMs < longMs / 2);
    assert.equal(String(filesystem.readFile('/f')), 'old');
    await client.quit();
  });

  it('An upload whose preparation fails within the grace time is refused immediately', async () => {
    const client = await start(longMs, () => Promise.reject(new FilesystemError('storage-full', 'full')));
    const startedAtMs = performance.now();
    await send(client);
    await client.expect(/^552 /);
    assert.ok(performance.now() - startedAtMs < longMs / 2);
    assert.deepEqual(calls, ['prepare', 'abort']);
    const transfers = gateway!.events.filter(({ event }) => event === 'transfer');
    assert.equal(transfers.length, 1);
    assert.equal(String(filesystem.readFile('/f')), 'old');
    await client.quit();
  });

  it('An upload that a command confirms within the grace time is committed when its preparation is complete', async () => {
    const prepared = Promise.withResolvers<undefined>();
    const client = await start(longMs, async (upload) => {
      await prepared.promise;
      await upload.prepare();
    });
    await send(client);
    await client.send('NOOP\r\n');
    for (let turn = 0; turn < 25; turn++) await nextTurn();
    assert.deepEqual(calls, ['prepare']);
    prepared.resolve(undefined);
    await client.expect(/^226 /, /^200 /);
    assert.ok(filesystem.readFile('/f')!.equals(content));
    await client.quit();
  });
});
