import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { statForResume } from '../../../src/ftp/commands/resume-size.ts';
import { FilesystemError } from '../../../src/filesystem/filesystem-error.ts';
import type { Filesystem, Upload } from '../../../src/filesystem/filesystem.ts';
import type { Pathname } from '../../../src/filesystem/pathname.ts';
import { S3Filesystem } from '../../../src/s3/filesystem/s3-filesystem.ts';
import { bytesOf, digest, mib, neverAborted as signal, writeAll } from '../transfer.ts';
import { useS3 } from '../s3-suite.ts';
import { partsArrived } from '../../support/unfinished-uploads.ts';
import { interceptRequests } from '../../support/s3-requests.ts';
import type { ObservedStorage } from '../../support/s3-storage.ts';

describe('resuming interrupted uploads', () => {
  const s3 = useS3();

  const login = (owner = 'alice', windowMs = 60_000, on: ObservedStorage = s3.storage) =>
    new S3Filesystem(on, { bucket: s3.bucket, prefix: 'home/' }, { owner, windowMs });
  const unfinished = async (pathname: string) => await s3.openUploadIds(`home${pathname}`);
  const objectAt = (pathname: Pathname) => s3.getObject(`home${pathname}`);
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
    (await statForResume(filesystem, pathname, signal)).sizeBytes;
  const bytes = bytesOf(20 * mib, 3);

  for (const restart of ['REST + STOR', 'APPE'] as const) {
    it(`${restart} in a new session resumes an upload at the offset that SIZE returned`, async () => {
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

  describe('an upload that another session is writing', () => {
    const patient = { here: 400, elsewhere: 60_000 };
    /** A client that sends a little at once, and then every few milliseconds. */
    class Sending {
      readonly #timer: NodeJS.Timeout;
      #sentBytes: number;

      constructor(to: Upload, sentBytes: number) {
        this.#sentBytes = sentBytes;
        this.#send(to);
        this.#timer = setInterval(() => this.#send(to), 20);
      }

      /** Returns how much it has sent. */
      stop(): number {
        clearInterval(this.#timer);
        return this.#sentBytes;
      }

      #send(to: Upload): void {
        void to.write(new Uint8Array(bytes.subarray(this.#sentBytes, (this.#sentBytes += 1000))));
      }
    }
    const begin = async (on: ObservedStorage, pathname: Pathname) => {
      const first = await login('alice', 60_000, on).openUpload(pathname, {
        offset: 0,
        ifExists: 'replace',
        signal,
      });
      await writeAll(first, bytes.subarray(0, 17 * mib));
      await partsArrived(s3.server, `home${pathname}`, { dataParts: 2, marks: 2 });
      return first;
    };

    it('An upload whose client sends is neither offered, nor cut or published by another session', async () => {
      const here = s3.newStorage({ silenceMs: patient });
      const pathname = '/live' as Pathname;
      const first = await begin(here, pathname);
      const sending = new Sending(first, 17 * mib);
      const second = login('alice', 60_000, here);
      await assert.rejects(sizeOf(second, pathname), { kind: 'not-found' });
      await assert.rejects(upload(second, pathname, 8 * mib, bytesOf(4), 'commit'), FilesystemError);
      await writeAll(first, bytes.subarray(sending.stop()));
      await first.commit();
      assert.equal(digest(await objectAt(pathname)), digest(bytes));
    });

    it('An upload whose client falls silent is offered, but not resumed if the client sends again before', async () => {
      const here = s3.newStorage({ silenceMs: patient });
      const pathname = '/silent' as Pathname;
      const first = await begin(here, pathname);
      const second = login('alice', 60_000, here);
      assert.equal(await sizeOf(second, pathname), 8 * mib);
      const sending = new Sending(first, 17 * mib);
      await assert.rejects(upload(second, pathname, 'end', bytesOf(4), 'commit'), { kind: 'invalid-offset' });
      await writeAll(first, bytes.subarray(sending.stop()));
      await first.commit();
      assert.equal(digest(await objectAt(pathname)), digest(bytes));
    });

    it('An upload that is taken over ends with a reason of its own, and its bytes stay with the new session', async () => {
      const here = s3.newStorage({ silenceMs: patient });
      const pathname = '/taken-over' as Pathname;
      const first = await begin(here, pathname);
      const second = login('alice', 60_000, here);
      assert.equal(await sizeOf(second, pathname), 8 * mib);
      await upload(second, pathname, 8 * mib, bytes.subarray(8 * mib), 'commit');
      assert.equal(digest(await objectAt(pathname)), digest(bytes));
      assert.equal((first.failed?.reason as FilesystemError).kind, 'changed');
    });

    it('An upload in another task is not offered until its parts have stopped coming, or it has broken', async () => {
      const here = s3.newStorage({ silenceMs: patient });
      const elsewhere = s3.newStorage();
      const pathname = '/elsewhere' as Pathname;
      const first = await begin(elsewhere, pathname);
      const second = login('alice', 60_000, here);
      await assert.rejects(sizeOf(second, pathname), { kind: 'not-found' });
      await first.abort(new Error('the client vanished'));
      assert.equal(await sizeOf(second, pathname), 8 * mib);
    });
  });

  it('STOR resumes an upload without SIZE when the offset is unambiguous', async () => {
    const pathname = '/remembered' as Pathname;
    await upload(login(), pathname, 0, bytes.subarray(0, 17 * mib), 'break');
    await upload(login(), pathname, 8 * mib, bytes.subarray(8 * mib), 'commit');
    assert.equal(digest(await objectAt(pathname)), digest(bytes));
  });

  it('An APPE or an offset in an existing file never resumes an upload whose SIZE was not requested', async () => {
    const pathname = '/log' as Pathname;
    const published = bytesOf(9 * mib, 4);
    await s3.putObject('home/log', published);
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

  it('SIZE returns the size of an interrupted upload to its user only, and the size of the file to everyone else', async () => {
    const pathname = '/both' as Pathname;
    await s3.putObject('home/both', bytesOf(10));
    await s3.server.nextSecond();
    await upload(login(), pathname, 0, bytes.subarray(0, 17 * mib), 'break');
    assert.equal(await sizeOf(login(), pathname), 8 * mib);
    assert.equal(await sizeOf(login('bob'), pathname), 10);
    assert.equal(await sizeOf(login('alice', 0), pathname), 10);
    assert.equal((await login().stat(pathname, { signal })).sizeBytes, 10);
  });

  it('SIZE never returns the full length of a file that was not committed', async () => {
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

  it('An upload that breaks again immediately loses no more bytes', async () => {
    const pathname = '/again' as Pathname;
    await upload(login(), pathname, 0, bytes, 'break');
    for (let attempt = 0; attempt < 3; attempt++) {
      const again = login();
      assert.equal(await sizeOf(again, pathname), 8 * mib);
      await upload(again, pathname, 8 * mib, bytes.subarray(8 * mib, 9 * mib), 'break');
    }
  });

  it('An interrupted upload is not offered after the file has been uploaded successfully', async () => {
    const pathname = '/again' as Pathname;
    await upload(login(), pathname, 0, bytes, 'break');
    const published = bytesOf(10, 4);
    await upload(login(), pathname, 0, published, 'commit');
    const again = login();
    assert.equal(await sizeOf(again, pathname), 10);
    const line = Buffer.from('one more line\n');
    await upload(again, pathname, 'end', line, 'commit');
    assert.equal(digest(await objectAt(pathname)), digest(Buffer.concat([published, line])));
  });

  it('An interrupted upload refuses an offset that is not the end of a part', async () => {
    const pathname = '/crooked' as Pathname;
    await upload(login(), pathname, 0, bytes.subarray(0, 9 * mib), 'break');
    await assert.rejects(
      login().openUpload(pathname, { offset: 5, ifExists: 'replace', signal }),
      (error) => error instanceof FilesystemError && error.kind === 'invalid-offset',
    );
  });

  describe('a resumable upload of an older version', () => {
    let otherTask: ObservedStorage;
    const [old, next] = [bytesOf(26 * mib, 21), bytesOf(26 * mib, 22)];

    before(() => {
      otherTask = s3.newStorage();
    });

    const tasks = [
      { where: 'in the same task', task: () => s3.storage },
      { where: 'in another task', task: () => otherTask },
    ] as const;
    for (const { where, task } of tasks) {
      it(`An interrupted upload is neither offered nor kept after a new version was started ${where} and was interrupted before its first part`, async () => {
        const pathname = `/mixed-${where.length}` as Pathname;
        await upload(login(), pathname, 0, old, 'break');
        await upload(login('alice', 60_000, task()), pathname, 0, next.subarray(0, 2 * mib), 'break');
        for (const asked of [s3.storage, otherTask]) {
          await assert.rejects(sizeOf(login('alice', 60_000, asked), pathname), isNotFound);
        }
        assert.deepEqual(await unfinished(pathname), []);
        await assert.rejects(
          login().openUpload(pathname, { offset: 16 * mib, ifExists: 'replace', signal }),
          (error) => error instanceof FilesystemError && error.kind === 'invalid-offset',
        );
      });

      it(`An offer from before a new version was started ${where} cannot be resumed`, async () => {
        const pathname = `/offered-${where.length}` as Pathname;
        await upload(login(), pathname, 0, old, 'break');
        for (const offset of [16 * mib, 'end'] as const) {
          const offered = login();
          assert.equal(await sizeOf(offered, pathname), 16 * mib);
          await upload(login('alice', 60_000, task()), pathname, 0, next.subarray(0, 2 * mib), 'break');
          await assert.rejects(
            offered.openUpload(pathname, { offset, ifExists: 'replace', signal }),
            (error) => error instanceof FilesystemError && error.kind === 'invalid-offset',
          );
          await upload(login(), pathname, 0, old, 'break');
        }
      });

      it(`An upload that is still running is not offered after a new version was started ${where}, and can still be committed`, async () => {
        const pathname = `/overlap-${where.length}` as Pathname;
        const first = await login().openUpload(pathname, { offset: 0, ifExists: 'replace', signal });
        await writeAll(first, old.subarray(0, 18 * mib));
        await partsArrived(s3.server, `home${pathname}`, { dataParts: 2, marks: 2 });
        await upload(login('alice', 60_000, task()), pathname, 0, next.subarray(0, 2 * mib), 'break');
        await assert.rejects(sizeOf(login(), pathname), isNotFound);
        await writeAll(first, old.subarray(18 * mib));
        await first.commit();
        assert.equal(digest(await objectAt(pathname)), digest(old));
        assert.deepEqual(await unfinished(pathname), []);
      });

      it(`An upload that is still running is removed when it breaks after a new version was started ${where}`, async () => {
        const pathname = `/late-${where.length}` as Pathname;
        const first = await login().openUpload(pathname, { offset: 0, ifExists: 'replace', signal });
        await writeAll(first, old.subarray(0, 18 * mib));
        await partsArrived(s3.server, `home${pathname}`, { dataParts: 2, marks: 2 });
        await upload(login('alice', 60_000, task()), pathname, 0, next.subarray(0, 2 * mib), 'break');
        await first.abort(new Error('the client vanished'));
        await assert.rejects(sizeOf(login(), pathname), isNotFound);
        assert.deepEqual(await unfinished(pathname), []);
      });
    }

    it('DELE removes an interrupted upload, and succeeds even if there is no file', async () => {
      const pathname = '/deleted' as Pathname;
      await upload(login(), pathname, 0, old, 'break');
      await login('alice', 60_000, otherTask).removeFile(pathname, { signal });
      await assert.rejects(sizeOf(login(), pathname), isNotFound);
      assert.deepEqual(await unfinished(pathname), []);
      await assert.rejects(login().removeFile(pathname, { signal }), isNotFound);
    });

    it('DELE removes an interrupted upload together with the file', async () => {
      const pathname = '/deleted-both' as Pathname;
      await s3.putObject('home/deleted-both', bytesOf(10));
      await upload(login(), pathname, 0, old, 'break');
      await login().removeFile(pathname, { signal });
      await assert.rejects(sizeOf(login(), pathname), isNotFound);
      assert.deepEqual(await unfinished(pathname), []);
    });

    it('RNTO removes an interrupted upload under the new name', async () => {
      const pathname = '/renamed' as Pathname;
      await s3.putObject('home/source', bytesOf(10));
      await s3.server.nextSecond();
      await upload(login(), pathname, 0, old, 'break');
      await login().rename('/source' as Pathname, pathname, { signal });
      assert.equal(await sizeOf(login(), pathname), 10);
      assert.deepEqual(await unfinished(pathname), []);
    });

    it('RNTO and RMD remove interrupted uploads below their directory', async () => {
      await s3.putObject('home/from/file', bytesOf(10));
      await upload(login(), '/to/sub/part' as Pathname, 0, old, 'break');
      await login().rename('/from' as Pathname, '/to' as Pathname, { signal });
      assert.deepEqual(await unfinished('/to/'), []);
      await login().makeDirectory('/empty' as Pathname, { signal });
      await upload(login(), '/empty/sub/part' as Pathname, 0, old, 'break');
      await upload(login(), '/empty-not/part' as Pathname, 0, old, 'break');
      await login().removeDirectory('/empty' as Pathname, { signal });
      assert.deepEqual(await unfinished('/empty/'), []);
      assert.equal((await unfinished('/empty-not/')).length, 1);
    });

    it('STOU and an APPE that creates a file remove an interrupted upload under the same name', async () => {
      for (const [pathname, offset, ifExists] of [
        ['/unique', 0, 'refuse'],
        ['/appended', 'end', 'replace'],
      ] as const) {
        await upload(login(), pathname as Pathname, 0, old, 'break');
        const opened = await login().openUpload(pathname as Pathname, { offset, ifExists, signal });
        assert.deepEqual(await unfinished(pathname), []);
        await opened.abort(new Error('the client vanished'));
        await assert.rejects(sizeOf(login(), pathname as Pathname), isNotFound);
      }
    });

    it('A new upload and DELE search for interrupted uploads with one request, and with none when resuming is off', async () => {
      const counting = s3.newStorage();
      const requests: string[] = [];
      interceptRequests(counting.client, ({ command }) => void requests.push(command));
      const listings = () =>
        requests.splice(0).filter((command) => command === 'ListMultipartUploads').length;
      for (const [windowMs, expected] of [
        [60_000, 1],
        [0, 0],
      ] as const) {
        const filesystem = login('alice', windowMs, counting);
        await upload(filesystem, '/small' as Pathname, 0, bytesOf(10), 'commit');
        assert.equal(listings(), expected);
        await filesystem.removeFile('/small' as Pathname, { signal });
        assert.equal(listings(), expected);
      }
    });

    it('Interrupted uploads are not offered when two are candidates', async () => {
      const pathname = '/two' as Pathname;
      const first = await login().openUpload(pathname, { offset: 0, ifExists: 'replace', signal });
      await upload(login('alice', 60_000, otherTask), pathname, 0, next, 'break');
      // A predecessor in another task that has begun its multipart upload only now.
      await writeAll(first, old);
      await first.abort(new Error('the client vanished'));
      await assert.rejects(sizeOf(login(), pathname), isNotFound);
    });
  });
});

function isNotFound(error: unknown): boolean {
  return error instanceof FilesystemError && error.kind === 'not-found';
}
