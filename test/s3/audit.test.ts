import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import { Dialogue } from '../support/dialogue.ts';
import { startS3Gateway, type S3Gateway } from '../support/s3-gateway.ts';

describe('audit of what is stored', () => {
  let gateway: S3Gateway;
  before(async () => {
    gateway = await startS3Gateway();
  });
  after(() => gateway.close());

  const logIn = (): Promise<Dialogue> =>
    Dialogue.logIn({ port: gateway.server('plain').port }, 'demo', 'demo');

  for (const [size, bytes] of [
    ['small', Buffer.from('content')],
    ['large', Buffer.alloc(12 * 1024 * 1024, 'l')],
  ] as const) {
    it(`The event of a ${size} upload has the bucket, the key and the checksum that S3 has confirmed`, async () => {
      const client = await logIn();
      await client.says('TYPE I', /^200 /);
      await client.upload(`STOR ${size}.bin`, bytes);
      const event = await gateway.nextEvent('transfer', ({ pathname }) => pathname === `/${size}.bin`);
      assert.equal(event.key, `home/${size}.bin`);
      assert.ok(event.bucket !== undefined && event.dataMode === 'passive' && event.dataPort > 0);
      const checksum = Buffer.alloc(4);
      checksum.writeUInt32BE(crc32(bytes));
      // A server without whole-object checksums names none.
      assert.ok([undefined, `CRC32 ${checksum.toString('base64')}`].includes(event.checksum), event.checksum);
      await client.quit();
    });
  }

  it('A rename and a deletion have one event each, with the keys before and after', async () => {
    const client = await logIn();
    await client.upload('STOR old.txt', 'content');
    await client.says('RNFR old.txt', /^350 /);
    await client.says('RNTO new.txt', /^250 /);
    await client.says('DELE new.txt', /^250 /);
    const renamed = await gateway.nextEvent('command', ({ verb }) => verb === 'RNTO');
    const { pathname, to, key, toKey, outcome, username } = renamed;
    assert.deepEqual(
      { pathname, to, key, toKey, outcome, username },
      {
        pathname: '/old.txt',
        to: '/new.txt',
        key: 'home/old.txt',
        toKey: 'home/new.txt',
        outcome: 'completed',
        username: 'demo',
      },
    );
    const deleted = await gateway.nextEvent('command', ({ verb }) => verb === 'DELE');
    assert.equal(deleted.key, 'home/new.txt');
    assert.deepEqual(
      gateway.events.filter(({ event }) => event === 'command').length,
      2,
      'RNFR alone changes nothing',
    );
    await client.quit();
  });

  it('A refused RNFR has an event with the cause, the name and the key, and no RNTO is needed for it', async () => {
    const client = await logIn();
    const reply = await client.ask('RNFR missing.txt');
    assert.match(reply, /^550 .*\[FILE-NOT-FOUND\]$/);
    const refused = await gateway.nextEvent('command', ({ verb }) => verb === 'RNFR');
    const { pathname, key, outcome, cause, replyCode, username } = refused;
    assert.deepEqual(
      { pathname, key, outcome, cause, replyCode, username },
      {
        pathname: '/missing.txt',
        key: 'home/missing.txt',
        outcome: 'refused',
        cause: 'FILE-NOT-FOUND',
        replyCode: 550,
        username: 'demo',
      },
    );
    await client.quit();
  });
});
