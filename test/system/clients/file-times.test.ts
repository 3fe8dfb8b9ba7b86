/** A client that synchronizes an unchanged folder a second time transfers nothing, whichever times the gateway shows. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { Client } from 'basic-ftp';
import { missing, run, type Server } from './client.ts';
import { clients, lftpOpening } from './clients.ts';
import { startS3Gateway, type S3Gateway } from '../../support/s3-gateway.ts';

const lftp = clients.find((client) => client.name === 'lftp')!;
const rclone = clients.find((client) => client.name === 'rclone')!;

/** Old and new, with a fraction, in and out of summer time, and around the turn of a year. */
const localTimes: Readonly<Record<string, string>> = {
  'old.txt': '2001-09-09T01:46:40Z',
  'summer.txt': '2024-07-15T12:34:56.789Z',
  'sub/winter with space.txt': '2025-01-15T00:00:00.001Z',
  'sub/last-second-of-a-year.txt': '2025-12-31T23:59:59.999Z',
  'sub/deeper/empty.txt': '2026-01-01T00:00:00Z',
};
const localNames = Object.keys(localTimes)
  .map((name) => basename(name))
  .sort();

for (const fileTimes of ['upload', 'client'] as const) {
  describe(`With FILE_TIMES=${fileTimes},`, () => {
    let gateway: S3Gateway;
    let server: Server;
    let folder: string;

    before(async () => {
      gateway = await startS3Gateway({ fileTimes });
      server = gateway.server('plain');
      folder = await mkdtemp(join(tmpdir(), 'file-times-'));
    });
    after(async () => {
      await gateway.close();
      await rm(folder, { recursive: true });
    });

    /** Names of the files that the work moves, in order. */
    async function movedBy(verb: 'STOR' | 'RETR', work: () => Promise<unknown>): Promise<string[]> {
      const from = gateway.events.length;
      await work();
      return gateway.events
        .slice(from)
        .flatMap((event) =>
          event.event === 'transfer' && event.verb === verb ? [basename(event.pathname)] : [],
        )
        .sort();
    }

    /** The first run moves every file, the second none. */
    async function assertSettled(
      verb: 'STOR' | 'RETR',
      synchronize: () => Promise<unknown>,
      names: readonly string[] = localNames,
    ): Promise<void> {
      assert.deepEqual(await movedBy(verb, synchronize), names, 'the first run moves every file');
      assert.deepEqual(await movedBy(verb, synchronize), [], 'the second run moves none');
    }

    it(`With FILE_TIMES=${fileTimes}, rclone sync uploads an unchanged directory once and then transfers nothing in either direction`, async (t) => {
      if (await skipMissing(t, rclone)) return;
      const [source, back] = [join(folder, 'rclone'), join(folder, 'rclone-back')];
      await writeTree(source);
      await assertSettled('STOR', () => rcloneSync(server, source, ':ftp:/rclone'));
      await assertSettled('RETR', () => rcloneSync(server, ':ftp:/rclone', back));
      assert.deepEqual(
        await movedBy('RETR', () => rcloneSync(server, ':ftp:/rclone', source)),
        [],
        'what was uploaded is not downloaded again',
      );
    });

    for (const [listing, setting] of [
      ['MLSD', 'set ftp:use-mlsd yes; '],
      ['LIST', 'set ftp:use-mlsd no; '],
    ] as const) {
      it(`With FILE_TIMES=${fileTimes}, lftp mirror transfers an unchanged directory once in each direction, comparing by ${listing}`, async (t) => {
        if (await skipMissing(t, lftp)) return;
        const name = `lftp-${listing}`;
        const [source, back] = [join(folder, name), join(folder, `${name}-back`)];
        await writeTree(source);
        const mirror = (command: string) =>
          run({ program: 'lftp', arguments: ['--norc', '-c', lftpOpening(server) + setting + command] });
        await assertSettled('STOR', () => mirror(`mirror -R "${source}" /${name}`));
        // lftp makes an empty file without asking for its bytes.
        const full = localNames.filter((file) => file !== 'empty.txt');
        await assertSettled('RETR', () => mirror(`mirror /${name} "${back}"`), full);
        // The uploaded copy is the newer one where it has the time of the upload: lftp fetches it once, and no more.
        const download = () => mirror(`mirror /${name} "${source}"`);
        assert.deepEqual(await movedBy('RETR', download), fileTimes === 'upload' ? full : []);
        assert.deepEqual(await movedBy('RETR', download), []);
        assert.deepEqual(await movedBy('STOR', () => mirror(`mirror -R "${source}" /${name}`)), []);
      });
    }

    it(`With FILE_TIMES=${fileTimes}, a client that compares times by MLSD, as WinSCP does, transfers an unchanged directory once in each direction`, async () => {
      const [source, back] = [join(folder, 'mlsd'), join(folder, 'mlsd-back')];
      await writeTree(source);
      await mkdir(back);
      await withBasicFtp(server, async (client) => {
        await assertSettled('STOR', () => uploadNewer(client, source, '/mlsd'));
        await assertSettled('RETR', () => downloadDifferent(client, '/mlsd', back));
      });
    });

    it(`With FILE_TIMES=${fileTimes}, files that other programs put into the bucket, with and without a time, are downloaded once`, async (t) => {
      if (await skipMissing(t, lftp)) return;
      for (const name of ['a', 'b', 'c']) await gateway.putObject(`/foreign/${name}`, Buffer.from(name));
      // As rclone keeps the time of a file in S3.
      await gateway.putObject('/foreign/d', Buffer.from('d'), { mtime: '1000000000.25' });
      await gateway.putObject('/foreign/e', Buffer.from('e'), { mtime: 'not a time' });
      const back = join(folder, 'foreign');
      const command = `${lftpOpening(server)}mirror /foreign "${back}"`;
      const mirror = () => run({ program: 'lftp', arguments: ['--norc', '-c', command] });
      await assertSettled('RETR', mirror, ['a', 'b', 'c', 'd', 'e']);
      const { mtime } = await stat(join(back, 'd'));
      assert.equal(mtime.getTime() === 1_000_000_000_000, fileTimes === 'client', mtime.toISOString());
    });
  });
}

async function skipMissing(t: TestContext, client: Parameters<typeof missing>[0]): Promise<boolean> {
  const reason = await missing(client);
  if (reason !== undefined) t.skip(reason);
  return reason !== undefined;
}

async function writeTree(root: string): Promise<void> {
  for (const [name, time] of Object.entries(localTimes)) {
    const path = join(root, name);
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, name === 'sub/deeper/empty.txt' ? '' : `${name}\n`);
    await utimes(path, new Date(time), new Date(time));
  }
}

/** The command line of the suite's rclone, with `sync` in place of its first command. */
function rcloneSync(server: Server, from: string, to: string): Promise<string> {
  const invocation = rclone.invocation(server, { deed: 'list', directory: '/' })!;
  const untilCommand = invocation.arguments.slice(0, -2);
  return run({ ...invocation, arguments: [...untilCommand, 'sync', from, to] }, 120_000);
}

async function withBasicFtp(server: Server, work: (client: Client) => Promise<void>): Promise<void> {
  const client = new Client(30_000);
  try {
    await client.access({
      host: server.host,
      port: server.port,
      user: server.username,
      password: server.password,
    });
    await work(client);
  } finally {
    client.close();
  }
}

/** WinSCP takes differences below two seconds for equal (its documentation, "Timestamps"). */
const toleranceMs = 2000;

/** Uploads what is newer here than there; sets the time behind each upload where FEAT has MFMT. */
async function uploadNewer(client: Client, root: string, remoteRoot: string): Promise<void> {
  const canSetTimes = (await client.features()).has('MFMT');
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const local = join(entry.parentPath, entry.name);
    const remoteDirectory = join(remoteRoot, relative(root, entry.parentPath));
    await client.ensureDir(remoteDirectory);
    const { mtime } = await stat(local);
    const found = (await client.list()).find(({ name }) => name === entry.name);
    const remoteMs = found?.modifiedAt?.getTime() ?? -Infinity;
    if (mtime.getTime() - remoteMs < toleranceMs) continue;
    await client.uploadFrom(local, entry.name);
    const time = mtime.toISOString().slice(0, 19).replaceAll(/[-:T]/g, '');
    if (canSetTimes) await client.send(`MFMT ${time} ${remoteDirectory}/${entry.name}`);
  }
}

/** Downloads what differs in time or size, and gives each copy the time of its original. */
async function downloadDifferent(
  client: Client,
  remoteDirectory: string,
  localDirectory: string,
): Promise<void> {
  for (const { name, isDirectory, size, modifiedAt } of await client.list(remoteDirectory)) {
    const [remote, local] = [`${remoteDirectory}/${name}`, join(localDirectory, name)];
    if (isDirectory) {
      await mkdir(local, { recursive: true });
      await downloadDifferent(client, remote, local);
      continue;
    }
    assert.ok(modifiedAt, `MLSD shows the time of ${remote}`);
    const found = await stat(local).catch(() => undefined);
    if (found?.size === size && Math.abs(found.mtimeMs - modifiedAt.getTime()) < toleranceMs) continue;
    await client.downloadTo(local, remote);
    await utimes(local, modifiedAt, modifiedAt);
  }
}
