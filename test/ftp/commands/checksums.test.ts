import assert from 'node:assert/strict';
import { afterEach, before, beforeEach, after, describe, it } from 'node:test';
import { MemoryFilesystem } from '../../../src/filesystem/memory-filesystem.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';

/** Reads until it is stopped. */
class SlowFilesystem extends MemoryFilesystem {
  started = Promise.withResolvers<AbortSignal>();

  override async checksum(...[, { signal }]: Parameters<MemoryFilesystem['checksum']>): Promise<string> {
    this.started.resolve(signal);
    return await new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });
  }
}

describe('checksums of large files', () => {
  let gateway: TestGateway;
  let filesystem: SlowFilesystem;
  let client: Dialogue;

  before(async () => {
    gateway = await startTestGateway({ filesystemFor: () => filesystem });
  });
  after(() => gateway.close());
  beforeEach(async () => {
    filesystem = new SlowFilesystem();
    filesystem.putFile('/large', 'content');
    client = await Dialogue.logIn({ port: gateway.controlPort });
  });
  afterEach(() => client.destroy());

  for (const command of ['HASH large', 'XSHA512 large', 'XCRC "large" 0 5']) {
    it(`ABOR ends ${command} at once, is answered after it, and the session continues`, async () => {
      await client.send(`${command}\r\n`);
      const signal = await filesystem.started.promise;
      await client.says('ABOR', '426 Command aborted. [ABOR]', '226 ABOR command successful.');
      assert.ok(signal.aborted);
      await client.says('PWD', /^257 /);
    });
  }

  it('Commands that arrive during HASH are answered after it, in their order', async () => {
    await client.send('HASH large\r\n');
    await filesystem.started.promise;
    await client.send('PWD\r\nSTAT\r\nABOR\r\nNOOP\r\n');
    await client.expect(
      '426 Command aborted. [ABOR]',
      /^257 /,
      /^211-/,
      '226 ABOR command successful.',
      /^200 /,
    );
  });

  it('A checksum ends with its session', async () => {
    await client.send('HASH large\r\n');
    const signal = await filesystem.started.promise;
    client.destroy();
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    await gateway.nextEvent('session-closed');
    assert.deepEqual(
      gateway.events.filter(({ event }) => event === 'unexpected-error'),
      [],
    );
  });
});
