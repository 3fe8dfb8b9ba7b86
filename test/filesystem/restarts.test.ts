import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { statForRestart } from '../../src/commands/restart-size.ts';
import { FilesystemError } from '../../src/filesystem/filesystem-error.ts';
import type { Filesystem } from '../../src/filesystem/filesystem.ts';
import type { Pathname } from '../../src/filesystem/pathname.ts';
import { S3Filesystem } from '../../src/filesystem/s3-filesystem.ts';
import {
  bytesOf,
  digest,
  getObject,
  mib,
  neverAborted as signal,
  putObject,
  storageOn,
  writeAll,
  type TestStorage,
} from '../s3/transfer.ts';
import { skippedOnEmulator, startS3Server, type S3Server } from '../support/s3-server.ts';

/** S3 tells times in whole seconds. */
const nextSecond = () => delay(1_000 - (Date.now() % 1_000));

describe('restarts of uploads that broke', { skip: skippedOnEmulator('ListMultipartUploads') }, () => {
  let s3: S3Server;
  let storage: TestStorage;

  before(async () => {
    s3 = await startS3Server();
    storage = storageOn(s3.endpoint);
  });
  after(async () => {
    storage.client.destroy();
    await s3.close();
  });

  const login = (owner = 'alice', windowMs = 60_000) =>
    new S3Filesystem(storage, { bucket: s3.bucket, prefix: 'home/' }, { owner, windowMs });
  const objectAt = (pathname: Pathname) => getObject(s3.client, s3.bucket, `home${pathname}`);
  const upload = async (
    filesystem: Filesystem,
    pathname: Pathname,
    offset: number | 'end',
    bytes: Uint8Array,
    end: 'commit' | 'break',
  ): Promise<void> => {
    const opened = await filesystem.openUpload(pathname, { offset, ifExists: 'replace', signal });
    await writeAll(opened, bytes);
    await (end === 'commit' ? opened.commit() : opened.abort(new Error('the client vanished')));
  };
  const sizeOf = async (filesystem: Filesystem, pathname: Pathname) =>
    (await statForRestart(filesystem, pathname, signal)).sizeBytes;
  const bytes = bytesOf(20 * mib, 3);

  for (const restart of ['REST + STOR', 'APPE'] as const) {
    it(`go on with ${restart} from what SIZE tells, in a new session`, async () => {
      const pathname = `/new-${restart.length}` as Pathname;
      await upload(login(), pathname, 0, bytes.subarray(0, 19 * mib), 'break');
      const again = login();
      await assert.rejects(again.stat(pathname, { signal }), FilesystemError, 'nothing is visible');
      assert.equal(await sizeOf(again, pathname), 8 * mib);
      const offset = restart === 'APPE' ? 'end' : 8 * mib;
      await upload(again, pathname, offset, bytes.subarray(8 * mib), 'commit');
      assert.equal(digest(await objectAt(pathname)), digest(bytes));
      assert.equal(await sizeOf(again, pathname), 20 * mib);
    });
  }

  it('go on without SIZE where the offset can mean nothing else', async () => {
    const pathname = '/remembered' as Pathname;
    await upload(login(), pathname, 0, bytes.subarray(0, 17 * mib), 'break');
    await upload(login(), pathname, 8 * mib, bytes.subarray(8 * mib), 'commit');
    assert.equal(digest(await objectAt(pathname)), digest(bytes));
  });

  it('never take an APPE, or a restart in a published file, that did not ask before', async () => {
    const pathname = '/log' as Pathname;
    const published = bytesOf(9 * mib, 4);
    await putObject(s3.client, s3.bucket, 'home/log', published);
    await upload(login(), pathname, 0, bytes.subarray(0, 9 * mib), 'break');
    const line = Buffer.from('one more line\n');
    await upload(login(), pathname, 'end', line, 'commit');
    assert.equal(digest(await objectAt(pathname)), digest(Buffer.concat([published, line])));
    await upload(login(), pathname, 8 * mib, line, 'commit');
    assert.equal(
      digest(await objectAt(pathname)),
      digest(Buffer.concat([published.subarray(0, 8 * mib), line])),
    );
  });

  it('show a published file to everybody, and its own upload to the user who asks with SIZE', async () => {
    const pathname = '/both' as Pathname;
    await putObject(s3.client, s3.bucket, 'home/both', bytesOf(10));
    await nextSecond();
    await upload(login(), pathname, 0, bytes.subarray(0, 17 * mib), 'break');
    assert.equal(await sizeOf(login(), pathname), 8 * mib);
    assert.equal(await sizeOf(login('bob'), pathname), 10);
    assert.equal(await sizeOf(login('alice', 0), pathname), 10);
    assert.equal((await login().stat(pathname, { signal })).sizeBytes, 10);
  });

  it('never tell the length of a whole file that was not published', async () => {
    const pathname = '/whole' as Pathname;
    const whole = bytes.subarray(0, 16 * mib);
    await upload(login(), pathname, 0, whole, 'break');
    const again = login();
    assert.equal(await sizeOf(again, pathname), 8 * mib);
    await upload(again, pathname, 8 * mib, whole.subarray(8 * mib), 'break');
    assert.equal(await sizeOf(login(), pathname), 8 * mib);
    await upload(login(), pathname, 8 * mib, whole.subarray(8 * mib), 'commit');
    assert.equal(digest(await objectAt(pathname)), digest(whole));
  });

  it('lose no more by breaking again at once', async () => {
    const pathname = '/again' as Pathname;
    await upload(login(), pathname, 0, bytes, 'break');
    for (let attempt = 0; attempt < 3; attempt++) {
      const again = login();
      assert.equal(await sizeOf(again, pathname), 8 * mib);
      await upload(again, pathname, 8 * mib, bytes.subarray(8 * mib, 9 * mib), 'break');
    }
  });

  it('are out of date once the file has been published anew', async () => {
    const pathname = '/anew' as Pathname;
    await upload(login(), pathname, 0, bytes, 'break');
    const published = bytesOf(10, 4);
    await upload(login(), pathname, 0, published, 'commit');
    const again = login();
    assert.equal(await sizeOf(again, pathname), 10);
    const line = Buffer.from('one more line\n');
    await upload(again, pathname, 'end', line, 'commit');
    assert.equal(digest(await objectAt(pathname)), digest(Buffer.concat([published, line])));
  });

  it('refuse an offset that no part ends at, as beyond the end', async () => {
    const pathname = '/crooked' as Pathname;
    await upload(login(), pathname, 0, bytes.subarray(0, 9 * mib), 'break');
    await assert.rejects(
      login().openUpload(pathname, { offset: 5, ifExists: 'replace', signal }),
      (error) => error instanceof FilesystemError && error.kind === 'invalid-offset',
    );
  });
});
