/**
 * Uploads that break in their middle, and the client that reconnects: which replies it gets, what other users see meanwhile, and
 * what is stored in the end. See docs/decisions/0008-resume-interrupted-uploads.md.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import { digest } from '../../s3/transfer.ts';
import { startS3Gateway, type S3Gateway } from '../../support/s3-gateway.ts';
import { breakUpload, connections, logIn, wholeFile, write } from './broken-upload.ts';

const minuteMs = 60_000;

describe('an interrupted upload', () => {
  let gateway: S3Gateway;

  before(async () => {
    gateway = await startS3Gateway({ resumeWindowMs: 60 * minuteMs });
  });
  after(() => gateway.close());

  for (const connection of connections) {
    for (const restart of ['REST and STOR', 'APPE'] as const) {
      it(`An upload interrupted by a reset of its ${connection} is resumed in a new session with ${restart}, invisible until it is complete`, async () => {
        const pathname = `/${connection.slice(0, 4)}-${restart.slice(0, 4)}.bin`;
        const offeredBytes = await breakUpload(gateway, pathname, connection);
        await assertUnseen(pathname);

        const client = await logIn(gateway);
        await client.says(`SIZE ${pathname}`, `213 ${offeredBytes}`);
        assert.match(await client.ask(`MLST ${pathname}`), new RegExp(`size=${offeredBytes};`, 'i'));
        const data = await client.passive();
        if (restart === 'APPE') await client.says(`APPE ${pathname}`, /^150 /);
        else {
          await client.says(`REST ${offeredBytes}`, /^350 /);
          await client.says(`STOR ${pathname}`, /^150 /);
        }
        await write(data, wholeFile.subarray(offeredBytes));
        await assertUnseen(pathname);
        data.end();
        data.resume();
        await client.expect('226 Transfer complete.');

        assert.equal(digest(await gateway.getObject(pathname)), digest(wholeFile));
        await client.says(`SIZE ${pathname}`, `213 ${wholeFile.byteLength}`);
        assert.ok(!(await gateway.unfinishedUploads()).includes(pathname), 'nothing unfinished is left');
        await client.quit();
      });
    }
  }

  it('A resumed upload may break again without losing what the first attempt sent', async () => {
    const pathname = '/twice.bin';
    const offeredBytes = await breakUpload(gateway, pathname, 'control connection');
    await breakUpload(gateway, pathname, 'data connection', offeredBytes);
    const client = await logIn(gateway);
    await client.says(`SIZE ${pathname}`, `213 ${offeredBytes}`);
    await client.says(`REST ${offeredBytes}`, /^350 /);
    await client.upload(`STOR ${pathname}`, wholeFile.subarray(offeredBytes));
    assert.equal(digest(await gateway.getObject(pathname)), digest(wholeFile));
    assert.ok(!(await gateway.unfinishedUploads()).includes(pathname), 'nothing unfinished is left');
    await client.quit();
  });

  it('An interrupted upload leaves the existing file visible to all readers until the new one is complete', async () => {
    const pathname = '/old.bin';
    const old = Buffer.from('the version of yesterday');
    await gateway.putObject(pathname, old);
    // S3 tells times in whole seconds, and within one of them the published file counts.
    await delay(1_000 - (Date.now() % 1_000));
    const offeredBytes = await breakUpload(gateway, pathname, 'data connection');
    const [client, reader] = [await logIn(gateway), await logIn(gateway, 'other')];
    await client.says(`SIZE ${pathname}`, `213 ${offeredBytes}`);
    assert.deepEqual(await client.download(`RETR ${pathname}`), old);
    await reader.says(`SIZE ${pathname}`, `213 ${old.byteLength}`);
    assert.match(
      String(await reader.download('MLSD /')),
      new RegExp(`size=${old.byteLength};.* old\\.bin\\r\\n`, 'i'),
    );
    assert.deepEqual(await reader.download(`RETR ${pathname}`), old);

    await client.says(`SIZE ${pathname}`, `213 ${offeredBytes}`);
    await client.says(`REST ${offeredBytes}`, /^350 /);
    await client.upload(`STOR ${pathname}`, wholeFile.subarray(offeredBytes));
    assert.equal(digest(await reader.download(`RETR ${pathname}`)), digest(wholeFile));
    await Promise.all([client.quit(), reader.quit()]);
  });

  it('An interrupted upload is neither visible to another user of the same path nor resumed by one', async () => {
    const pathname = '/mine.bin';
    const offeredBytes = await breakUpload(gateway, pathname, 'data connection');
    const other = await logIn(gateway, 'other');
    await other.says(`SIZE ${pathname}`, /^550 /);
    await other.says(`MLST ${pathname}`, /^550 /);
    await other.says(`REST ${offeredBytes}`, /^350 /);
    const data = await other.passive();
    await other.says(`STOR ${pathname}`, /^554 /);
    data.destroy();
    await assertUnseen(pathname);

    const theirs = Buffer.from('a file of their own');
    await other.upload(`APPE ${pathname}`, theirs);
    assert.deepEqual(await gateway.getObject(pathname), theirs);
    await other.quit();
    const owner = await logIn(gateway);
    await owner.says(`SIZE ${pathname}`, `213 ${theirs.byteLength}`);
    await owner.quit();
  });

  /** That no reader finds anything of it, nor the other user anything at all. */
  async function assertUnseen(pathname: string): Promise<void> {
    const name = pathname.slice(1);
    for (const username of ['demo', 'other'] as const) {
      const reader = await logIn(gateway, username);
      const data = await reader.passive();
      await reader.says(`RETR ${pathname}`, /^550 /);
      data.destroy();
      for (const listing of ['LIST', 'NLST', 'MLSD']) {
        assert.doesNotMatch(String(await reader.download(listing)), new RegExp(name.replace('.', '\\.')));
      }
      if (username === 'other') await reader.says(`SIZE ${pathname}`, /^550 /);
      await reader.quit();
    }
    assert.equal(await gateway.getObject(pathname), undefined);
  }
});

describe('an interrupted upload without a resume window', () => {
  it('An interrupted upload leaves nothing behind without a resume window', async () => {
    const gateway = await startS3Gateway();
    for (const connection of connections) {
      await breakUpload(gateway, '/gone.bin', connection);
      const client = await logIn(gateway);
      await client.says('SIZE /gone.bin', /^550 /);
      await client.says('MLST /gone.bin', /^550 /);
      await client.quit();
      assert.deepEqual(await gateway.unfinishedUploads(), []);
    }
    await gateway.close();
  });
});
