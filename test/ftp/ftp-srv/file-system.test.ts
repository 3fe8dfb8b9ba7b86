/** The S3 filesystem behind ftp-srv as npm installs it, driven by basic-ftp. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { after, before, describe, it } from 'node:test';
import { Client, FTPError } from 'basic-ftp';
import { FtpSrv } from 'ftp-srv';
import { MemoryFilesystem } from '../../../src/filesystem/memory-filesystem.ts';
import { S3Filesystem } from '../../../src/s3/filesystem/s3-filesystem.ts';
import { FtpSrvFileSystem } from '../../../src/ftp/ftp-srv/file-system.ts';
import { openTestStorage, type TestStorage } from '../../support/s3-storage.ts';
import { get } from '../../filesystem/contract.ts';

const content = Buffer.from(new Uint8Array(700_000).map((_, index) => (index * 7) % 251).buffer);

describe('A stock ftp-srv with the S3 filesystem', () => {
  let test: TestStorage;
  let server: FtpSrv;
  let client: Client;
  let filesystem: S3Filesystem;

  before(async () => {
    test = await openTestStorage();
    filesystem = new S3Filesystem(test.storage, { bucket: test.server.bucket, prefix: 'stock/' });
    // Its search for a passive port takes no 0; the range is above the ephemeral ports of Linux.
    server = new FtpSrv({
      url: 'ftp://127.0.0.1:0',
      pasv_url: '127.0.0.1',
      pasv_min: 61_000,
      pasv_max: 65_000,
    });
    server.on('login', ({ connection }, resolve) => {
      // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- it only calls the methods
      resolve({ fs: new FtpSrvFileSystem(filesystem, connection) });
    });
    await server.listen();
    client = new Client(20_000);
    const { port } = (server as unknown as { server: Server }).server.address() as AddressInfo;
    await client.access({ host: '127.0.0.1', port, user: 'u', password: 'p' });
  });
  after(async () => {
    client.close();
    // Its own close() and quit() end the process.
    const listener = (server as unknown as { server: Server }).server;
    listener.close();
    await once(listener, 'close');
    await test.close();
  });

  it('A stock ftp-srv with the S3 filesystem uploads, lists, downloads, resumes, renames and deletes', async () => {
    await client.send('MKD dir');
    await client.cd('dir');
    assert.equal(await client.pwd(), '/dir');
    await client.uploadFrom(Readable.from([content]), 'a file.bin');
    const entries = await client.list();
    assert.deepEqual(
      entries.map(({ name, size, isFile }) => [name, size, isFile]),
      [['a file.bin', content.length, true]],
    );
    assert.equal(await client.size('a file.bin'), content.length);
    assert.ok((await download(client, 'a file.bin', 0)).equals(content));
    assert.ok((await download(client, 'a file.bin', 650_000)).equals(content.subarray(650_000)));
    await client.appendFrom(Readable.from([Buffer.from('the end')]), 'a file.bin');
    await client.rename('a file.bin', '/renamed.bin');
    const expected = Buffer.concat([content, Buffer.from('the end')]);
    assert.ok((await get(filesystem, '/renamed.bin')).equals(expected));
    await client.remove('/renamed.bin');
    await client.cd('/');
    await client.send('RMD dir');
    assert.deepEqual(await client.list(), []);
  });

  it('A stock ftp-srv with the S3 filesystem reports errors in FTP terms without any S3 details', async () => {
    await assert.rejects(client.cd('/nothing'), (error) => {
      assert.ok(error instanceof FTPError);
      assert.equal(error.message, '550 No such file or directory.');
      return true;
    });
  });
});

describe('StockFilesystem', () => {
  it('StockFilesystem completes a write only after the commit', async () => {
    const filesystem = new MemoryFilesystem();
    const { stream, clientPath } = await new FtpSrvFileSystem(filesystem).write('new.txt');
    assert.equal(clientPath, '/new.txt');
    stream.write('content');
    assert.equal(filesystem.readFile('/new.txt'), undefined);
    stream.end();
    await once(stream, 'finish');
    assert.equal(filesystem.readFile('/new.txt')?.toString(), 'content');
  });

  it('StockFilesystem keeps the old file when a write is destroyed, even right after its end', async () => {
    const filesystem = new MemoryFilesystem();
    filesystem.putFile('/file', 'old');
    for (const isEnded of [false, true]) {
      const { stream } = await new FtpSrvFileSystem(filesystem).write('file');
      stream.write('half');
      if (isEnded) stream.end();
      stream.destroy(new Error('the connection was reset'));
      await assert.rejects(finished(stream));
      assert.equal(filesystem.readFile('/file')?.toString(), 'old');
    }
  });

  it('StockFilesystem keeps a working directory and resolves every path against it', async () => {
    const filesystem = new MemoryFilesystem();
    filesystem.putFile('/a/b/file', 'x');
    const stock = new FtpSrvFileSystem(filesystem);
    assert.equal(await stock.chdir('a'), '/a');
    assert.equal(await stock.chdir('../a/b'), '/a/b');
    assert.equal(stock.currentDirectory(), '/a/b');
    assert.equal((await stock.get('file')).size, 1);
    await stock.rename('file', '../../../moved');
    assert.deepEqual(filesystem.pathnames(), ['/a/', '/a/b/', '/moved']);
    await assert.rejects(stock.chdir('/moved'), /not a directory/);
    await assert.rejects(stock.delete('/a'), /not empty/);
  });
});

async function download(client: Client, name: string, startAt: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const sink = new Writable({
    write(bytes: Buffer, _encoding, callback) {
      pieces.push(bytes);
      callback();
    },
  });
  await client.downloadTo(sink, name, startAt);
  return Buffer.concat(pieces);
}
