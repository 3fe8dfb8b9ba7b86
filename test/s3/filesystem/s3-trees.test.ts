/** What the contract cannot see: requests and their order, what else an object carries, faults in the middle of a rename. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { GetObjectTaggingCommand, HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import type { FileTimes, ListOptions } from '../../../src/filesystem/filesystem.ts';
import { FilesystemError } from '../../../src/filesystem/filesystem-error.ts';
import { S3Filesystem } from '../../../src/s3/filesystem/s3-filesystem.ts';
import { copyObject, copyRanges } from '../../../src/s3/filesystem/copy.ts';
import { onEmulator } from '../../support/s3-server.ts';
import { interceptRequests, type S3Request } from '../../support/s3-requests.ts';
import { openTestStorage, type TestStorage } from '../../support/s3-storage.ts';
import { at, entriesOf, fails, get, namesIn, put } from '../../filesystem/contract.ts';

const signal = new AbortController().signal;

type Intercept = (request: S3Request) => Promise<void> | void;

describe('The S3 filesystem', () => {
  let test: TestStorage;
  let prefix: string;
  let filesystem: S3Filesystem;
  let requests: string[];
  /** Called before each request, and may fail it. */
  let intercept: Intercept;

  before(async () => {
    test = await openTestStorage();
    interceptRequests(test.storage.client, async (request) => {
      requests.push(request.command);
      await intercept(request);
    });
  });
  after(() => test.close());

  /** A test with an empty home, in which nothing has been asked yet. */
  const scenario = (name: string, body: () => Promise<void>, skip: string | false = false): void => {
    it(name, { skip }, async () => {
      prefix = `home-${randomUUID()}/`;
      filesystem = newSession();
      requests = [];
      intercept = () => undefined;
      test.storage.events.length = 0;
      await body();
    });
  };
  const newSession = (fileTimes: FileTimes = 'client'): S3Filesystem =>
    new S3Filesystem(test.storage, { bucket: test.server.bucket, prefix }, undefined, fileTimes);
  const requestsOf = async (work: () => Promise<unknown>): Promise<string[]> => {
    requests.length = 0;
    await work();
    return [...requests].sort();
  };
  const headOf = (pathname: string) =>
    test.server.client.send(
      new HeadObjectCommand({ Bucket: test.server.bucket, Key: prefix + pathname.slice(1) }),
    );

  describe('asks S3 no more than it must:', () => {
    scenario(
      'stat() sends one request for a file and two for a directory, and a listing sends one per page',
      async () => {
        for (let index = 0; index < 20; index++) await put(filesystem, `/d/${index}`, 'x');
        const stat = (pathname: string) => requestsOf(() => filesystem.stat(at(pathname), { signal }));
        assert.deepEqual(await stat('/d/1'), ['HeadObject']);
        assert.deepEqual(await stat('/d'), ['HeadObject', 'ListObjectsV2']);
        assert.deepEqual(await stat('/'), []);
        const showingUploads = newSession('upload');
        assert.deepEqual(await requestsOf(() => entriesOf(showingUploads, '/d')), ['ListObjectsV2']);
      },
    );

    scenario(
      'A listing with the times of clients sends one more request for each file that is shown',
      async () => {
        for (const name of ['a', 'b', 'c']) await put(filesystem, `/d/${name}`, 'x');
        await filesystem.makeDirectory(at('/d/below'), { signal });
        const list = (options: Partial<ListOptions>) =>
          requestsOf(async () => {
            for await (const page of filesystem.list(at('/d'), { signal, ...options }))
              assert.ok(page.length > 0);
          });
        assert.deepEqual(await list({}), ['HeadObject', 'HeadObject', 'HeadObject', 'ListObjectsV2']);
        assert.deepEqual(await list({ isWanted: (name) => name === 'b' }), ['HeadObject', 'ListObjectsV2']);
        assert.deepEqual(await list({ withTimes: false }), ['ListObjectsV2']);
      },
    );

    scenario('The third and every later upload into a directory sends only its own request', async () => {
      const upload = (name: string) => requestsOf(() => put(filesystem, `/d/${name}`, 'x'));
      assert.deepEqual(await upload('first'), ['HeadObject', 'ListObjectsV2', 'PutObject']);
      assert.deepEqual(await upload('second'), ['ListObjectsV2', 'PutObject']);
      for (const name of ['third', 'a', 'z']) assert.deepEqual(await upload(name), ['PutObject']);
    });

    scenario('A delete in a directory with a marker sends one request besides its own', async () => {
      await filesystem.makeDirectory(at('/d'), { signal });
      for (const name of ['a', 'b']) await put(filesystem, `/d/${name}`, 'x');
      const remove = (session: S3Filesystem, name: string) =>
        requestsOf(() => session.removeFile(at(`/d/${name}`), { signal }));
      assert.deepEqual(await remove(filesystem, 'a'), ['DeleteObject', 'HeadObject']);
      assert.deepEqual(await remove(newSession(), 'b'), ['DeleteObject', 'HeadObject', 'ListObjectsV2']);
    });

    scenario(
      'Deleting the last file of a directory creates a marker, and deleting another file does not',
      async () => {
        for (const name of ['a', 'b']) await put(filesystem, `/d/${name}`, 'x');
        const remove = (name: string) =>
          requestsOf(() => filesystem.removeFile(at(`/d/${name}`), { signal }));
        assert.deepEqual(await remove('a'), ['DeleteObject', 'HeadObject', 'ListObjectsV2']);
        assert.deepEqual(await remove('b'), ['DeleteObject', 'HeadObject', 'ListObjectsV2', 'PutObject']);
      },
    );

    scenario('A checksum that S3 stores is not computed', async () => {
      await test.server.client.send(
        new PutObjectCommand({
          Bucket: test.server.bucket,
          Key: `${prefix}file`,
          Body: '123456789',
          ChecksumAlgorithm: 'CRC32',
        }),
      );
      const asked = await requestsOf(async () => {
        assert.equal(await filesystem.checksum(at('/file'), { algorithm: 'CRC32', signal }), 'cbf43926');
      });
      assert.deepEqual(asked, ['HeadObject']);
    });
  });

  describe('keeps the attributes of an object', () => {
    const attributes = {
      ContentType: 'text/x-special',
      ContentDisposition: 'attachment; filename="x"',
      CacheControl: 'max-age=60',
      Metadata: { mtime: '981173106.123456789', owner: 'partner 7' },
    };
    const assertKept = async (pathname: string): Promise<void> => {
      const { ContentType, ContentDisposition, CacheControl, Metadata } = await headOf(pathname);
      assert.deepEqual({ ContentType, ContentDisposition, CacheControl, Metadata }, attributes);
    };
    const putObject = async (name: string, Body: string | Uint8Array, Tagging?: string): Promise<void> => {
      const Key = prefix + name;
      await test.server.client.send(
        new PutObjectCommand({ Bucket: test.server.bucket, Key, Body, Tagging, ...attributes }),
      );
    };

    scenario('A rename of an object or of its directory keeps the attributes of the object', async () => {
      await putObject('d/file', 'content');
      await filesystem.rename(at('/d/file'), at('/d/renamed'), { signal });
      await filesystem.rename(at('/d'), at('/e'), { signal });
      await assertKept('/e/renamed');
    });

    scenario('Setting the time of an object keeps its other attributes', async () => {
      await putObject('file', 'content');
      await filesystem.setModifiedAt(at('/file'), new Date('2020-01-01T00:00:00Z'), { signal });
      const { ContentType, CacheControl, Metadata } = await headOf('/file');
      assert.deepEqual([ContentType, CacheControl], [attributes.ContentType, attributes.CacheControl]);
      assert.deepEqual(Metadata, { ...attributes.Metadata, mtime: '1577836800' });
      assert.equal((await get(filesystem, '/file')).toString(), 'content');
      assert.deepEqual(
        await requestsOf(() =>
          filesystem.setModifiedAt(at('/file'), new Date('2020-01-01T00:00:00Z'), { signal }),
        ),
        ['HeadObject'],
      );
    });

    scenario('A rename and setting the time of an object keep its tags', async () => {
      await putObject('d/file', 'content', 'class=private&note=a%20b%2Bc');
      await filesystem.rename(at('/d/file'), at('/d/renamed'), { signal });
      await filesystem.setModifiedAt(at('/d/renamed'), new Date(0), { signal });
      await filesystem.rename(at('/d'), at('/e'), { signal });
      assert.deepEqual(await tagsOf(`${prefix}e/renamed`), { class: 'private', note: 'a b+c' });
    });

    scenario('A copy in parts keeps the attributes of a large object', async () => {
      const mebibyte = 1024 ** 2;
      const content = Buffer.from(new Uint8Array(12 * mebibyte + 7).map((_, index) => index % 251).buffer);
      await putObject('big', content, 'class=private');
      requests.length = 0;
      await copyObject(test.storage.client, {
        bucket: test.server.bucket,
        from: `${prefix}big`,
        to: `${prefix}copy`,
        limits: { singleCopyBytes: 5 * mebibyte, partBytes: 5 * mebibyte, partsInParallel: 2 },
      });
      assert.equal(requests.filter((command) => command === 'UploadPartCopy').length, 2);
      assert.ok((await get(filesystem, '/copy')).equals(content));
      await assertKept('/copy');
      assert.deepEqual(await tagsOf(`${prefix}copy`), { class: 'private' });
    });

    const tagsOf = async (Key: string): Promise<Record<string, string>> => {
      const command = new GetObjectTaggingCommand({ Bucket: test.server.bucket, Key });
      const { TagSet = [] } = await test.server.client.send(command);
      return Object.fromEntries(TagSet.map(({ Key: name = '', Value = '' }) => [name, Value]));
    };

    scenario(
      'An upload gets the media type of its file extension, or the one that the home specifies',
      async () => {
        const home = {
          bucket: test.server.bucket,
          prefix,
          storage: { contentTypes: { idoc: 'text/x-idoc' } },
        };
        const ofHome = new S3Filesystem(test.storage, home);
        for (const name of ['a.csv', 'b.IDOC', 'c.unheard', '.csv', 'd']) await put(ofHome, `/${name}`, 'x');
        assert.equal((await headOf('/a.csv')).ContentType, 'text/csv');
        assert.equal((await headOf('/b.IDOC')).ContentType, 'text/x-idoc');
        for (const unknown of ['/c.unheard', '/.csv', '/d']) {
          assert.match((await headOf(unknown)).ContentType ?? '', /octet-stream$/);
        }
      },
    );

    scenario('An upload gets the tags that the home specifies', async () => {
      const home = { bucket: test.server.bucket, prefix, storage: { tags: { partner: 'Ä + Söhne = @x' } } };
      const ofHome = new S3Filesystem(test.storage, home);
      await put(ofHome, '/small', 'x');
      await put(ofHome, '/big', Buffer.alloc(6 * 1024 ** 2));
      assert.deepEqual(await tagsOf(`${prefix}small`), { partner: 'Ä + Söhne = @x' });
      assert.deepEqual(await tagsOf(`${prefix}big`), { partner: 'Ä + Söhne = @x' });
    });
  });

  describe('renames a directory all or nothing:', () => {
    const names = Array.from({ length: 90 }, (_, index) => `file-${index}`).sort();
    const putAll = () => Promise.all(names.map((name) => put(filesystem, `/d/${name}`, name)));
    const assertUntouched = async (): Promise<void> => {
      intercept = () => undefined;
      assert.deepEqual(await namesIn(filesystem, '/'), ['d/']);
      assert.deepEqual((await namesIn(filesystem, '/d')).sort(), names);
      assert.equal((await get(filesystem, '/d/file-77')).toString(), 'file-77');
    };

    scenario('A rename of a directory deletes no object before the last one is copied', async () => {
      await putAll();
      requests.length = 0;
      await filesystem.rename(at('/d'), at('/e'), { signal });
      assert.equal(requests.filter((command) => command === 'CopyObject').length, names.length);
      assert.ok(requests.indexOf('DeleteObjects') > requests.lastIndexOf('CopyObject'));
      assert.equal(requests.filter((command) => command.startsWith('Delete')).length, 1);
    });

    scenario(
      'A rename of a directory fails without any change and names the object when a copy fails',
      async () => {
        await putAll();
        intercept = ({ command, key }) => {
          if (command !== 'CopyObject' || !key.endsWith('/file-77')) return;
          throw Object.assign(new Error('no'), { name: 'AccessDenied' });
        };
        await assert.rejects(filesystem.rename(at('/d'), at('/e'), { signal }), (error) => {
          assert.ok(error instanceof FilesystemError && error.kind === 'misconfigured');
          assert.match(error.message, /d\/file-77/);
          return true;
        });
        const [event] = test.storage.events;
        assert.ok(event?.event === 'storage-error' && event.operation.includes('d/file-77'));
        await assertUntouched();
      },
    );

    scenario(
      'A rename of a directory changes nothing when the client disconnects between copies',
      async () => {
        await putAll();
        const controller = new AbortController();
        const reason = new Error('the control connection is gone');
        let copies = 0;
        intercept = ({ command }) => {
          if (command === 'CopyObject' && ++copies === 20) controller.abort(reason);
        };
        await assert.rejects(filesystem.rename(at('/d'), at('/e'), { signal: controller.signal }), reason);
        assert.ok(copies < names.length);
        await assertUntouched();
      },
    );

    scenario('A rename of a directory completes when the client disconnects between deletes', async () => {
      await putAll();
      const controller = new AbortController();
      intercept = ({ command }) => {
        if (command === 'DeleteObjects') controller.abort(new Error('gone'));
      };
      await filesystem.rename(at('/d'), at('/e'), { signal: controller.signal });
      assert.deepEqual(await namesIn(filesystem, '/'), ['e/']);
      assert.deepEqual((await namesIn(filesystem, '/e')).sort(), names);
    });

    scenario('A rename of a directory neither moves nor loses what others write meanwhile', async () => {
      await putAll();
      // The source is listed again for the deletes: what is new or replaced by then stays.
      let isCopied = false;
      intercept = async ({ command }) => {
        if (command === 'CopyObject') isCopied = true;
        if (!isCopied || command !== 'ListObjectsV2') return;
        intercept = () => undefined;
        await put(newSession(), '/d/new', 'new');
        await put(newSession(), '/d/file-77', 'replaced');
      };
      await filesystem.rename(at('/d'), at('/e'), { signal });
      assert.deepEqual((await namesIn(filesystem, '/d')).sort(), ['file-77', 'new']);
      assert.equal((await get(filesystem, '/d/file-77')).toString(), 'replaced');
      assert.equal((await get(filesystem, '/e/file-77')).toString(), 'file-77');
    });

    scenario(
      'A rename of a directory does not delete an object that replaces a copied one just before the delete',
      async () => {
        await putAll();
        intercept = async ({ command }) => {
          if (command !== 'DeleteObjects') return;
          intercept = () => undefined;
          await put(newSession(), '/d/file-77', 'replaced');
        };
        await filesystem.rename(at('/d'), at('/e'), { signal });
        assert.deepEqual(await namesIn(filesystem, '/d'), ['file-77']);
        assert.equal((await get(filesystem, '/d/file-77')).toString(), 'replaced');
        assert.equal((await get(filesystem, '/e/file-77')).toString(), 'file-77');
      },
      onEmulator ? false : 'needs conditional DeleteObjects, as Amazon S3 has them',
    );
  });

  scenario(
    'A listing shows the file when a file and a directory have the same name, and both can be read',
    async () => {
      await put(filesystem, '/both/below', 'below');
      await test.server.client.send(
        new PutObjectCommand({ Bucket: test.server.bucket, Key: `${prefix}both`, Body: 'file' }),
      );
      const session = newSession();
      assert.deepEqual(await namesIn(session, '/'), ['both']);
      assert.equal((await session.stat(at('/both'), { signal })).type, 'file');
      assert.equal((await get(session, '/both')).toString(), 'file');
      assert.equal((await get(session, '/both/below')).toString(), 'below');
      assert.deepEqual(test.storage.events, [
        {
          event: 'unlisted-object',
          bucket: test.server.bucket,
          key: `${prefix}both/`,
          reason: 'hidden-by-file',
        },
      ]);
    },
    !onEmulator && 'a server that keeps objects as files cannot hold both; the embedded one can',
  );

  scenario('A missing bucket fails with misconfigured, and the report to the operator names it', async () => {
    const bucket = `missing-${randomUUID()}`;
    const lost = new S3Filesystem(test.storage, { bucket, prefix: '' });
    await fails('misconfigured', entriesOf(lost, '/'));
    await fails('misconfigured', lost.stat(at('/file'), { signal }));
    await fails('misconfigured', put(lost, '/file', 'x'));
    const reported = test.storage.events.filter((event) => event.event === 'storage-error');
    assert.ok(reported.length >= 3);
    for (const { bucket: named, errorName } of reported) {
      assert.deepEqual([named, errorName], [bucket, 'NoSuchBucket']);
    }
  });
});

describe('The parts of a copy', () => {
  const mebibyte = 1024 ** 2;
  const gibibyte = 1024 ** 3;
  for (const [sizeBytes, partBytes, parts] of [
    [1, 5 * mebibyte, 1],
    [5 * mebibyte, 5 * mebibyte, 1],
    [5 * mebibyte + 1, 5 * mebibyte, 1],
    [10 * mebibyte + 1, 5 * mebibyte, 2],
    [5 * gibibyte, 128 * mebibyte, 40],
    [10_000 * 128 * mebibyte, 128 * mebibyte, 10_000],
    [10_000 * 128 * mebibyte + 1, 128 * mebibyte, 10_000],
    // The largest object that S3 holds: 50 TB.
    [50e12, 128 * mebibyte, 10_000],
  ] as const) {
    it(`A copy of ${sizeBytes} bytes has ${parts} parts that cover every byte once`, () => {
      const ranges = [...copyRanges(sizeBytes, partBytes)];
      assert.equal(ranges.length, parts);
      let next = 0;
      for (const { firstByte, lastByte } of ranges) {
        assert.equal(firstByte, next);
        assert.ok(lastByte - firstByte < 5 * gibibyte);
        next = lastByte + 1;
        assert.ok(next === sizeBytes || next - firstByte >= partBytes);
      }
      assert.equal(next, sizeBytes);
    });
  }
});
