import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type BucketFolder, openFolder } from '../../dev/s3-folder.ts';

describe('the bucket folder of the trial server', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 's3-folder-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const open = (): Promise<BucketFolder> => openFolder(directory, 'bucket', 1);
  const put = ({ bucket }: BucketFolder, key: string, text: string) =>
    bucket.put(
      key,
      Buffer.from(text),
      { headers: {}, tags: '' },
      { ifNoneMatch: undefined, ifMatch: undefined },
      { crc32: undefined, md5: undefined },
    );

  it('The bucket folder of the trial server keeps its objects for the next start', async () => {
    const first = await open();
    await put(first, 'a/b.txt', 'stored');
    await put(first, 'deleted.txt', 'gone');
    await first.bucket.delete('deleted.txt');
    await first.saved();

    const { bucket } = await open();
    assert.deepEqual([...bucket.objects.keys()], ['a/b.txt']);
    const { body } = bucket.get('a/b.txt');
    assert.equal(String(await buffer(body.read(0, body.sizeBytes))), 'stored');
  });

  it('The bucket folder keeps files and folders that the trial server did not write when objects are deleted', async () => {
    const folder = join(directory, 'bucket');
    await mkdir(join(folder, 'photos'), { recursive: true });
    await writeFile(join(folder, 'thesis.txt'), 'mine');
    await writeFile(join(folder, 'photos', 'cat.jpg'), 'mine too');

    const first = await open();
    await put(first, 'thesis.txt', 'an object of the same name');
    await put(first, 'thesis.txt', 'its next version');
    await first.bucket.delete('thesis.txt');
    await first.saved();
    const { bucket } = await open();

    assert.deepEqual([...bucket.objects.keys()], []);
    assert.deepEqual((await readdir(folder)).sort(), ['photos', 'thesis.txt']);
    assert.equal(await readFile(join(folder, 'thesis.txt'), 'utf8'), 'mine');
    assert.equal(await readFile(join(folder, 'photos', 'cat.jpg'), 'utf8'), 'mine too');
  });

  it('The bucket folder drops an object from its index when the file of the object is missing', async () => {
    const first = await open();
    await put(first, 'lost.txt', 'stored');
    await put(first, 'here.txt', 'stored');
    await first.saved();
    const folder = join(directory, 'bucket');
    const lost = (await readdir(folder)).find((file) => file.startsWith('lost.txt'));
    await rm(join(folder, lost!));
    assert.deepEqual([...(await open()).bucket.objects.keys()], ['here.txt']);
  });
});
