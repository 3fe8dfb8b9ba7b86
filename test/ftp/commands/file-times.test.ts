/** The time of a file is the same in MDTM, MLST, MLSD, LIST and STAT, and a command that cannot set it is refused. */
import assert from 'node:assert/strict';
import { after, afterEach, describe, it } from 'node:test';
import { Client } from 'basic-ftp';
import type { FileTimes } from '../../../src/filesystem/filesystem.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { LeakCheck } from '../../support/leak-check.ts';
import { startS3Gateway } from '../../support/s3-gateway.ts';

const leaks = new LeakCheck();
after(() => leaks.assertNothingLeft());

const cannotBeSet = '502 Times of files cannot be set here.';

describe('Where files show the time of their upload,', () => {
  let gateway: TestGateway;
  let client: Dialogue;

  const start = async (): Promise<void> => {
    gateway = await startTestGateway({ fileTimes: 'upload' });
    gateway.filesystem.putFile('/file', 'content', new Date('2024-02-29T12:34:56Z'));
    gateway.filesystem.putFile('/20240229123456 scan.pdf', 'x', new Date('2024-03-01T00:00:00Z'));
    client = await Dialogue.logIn({ port: gateway.controlPort });
  };
  afterEach(async () => {
    client.destroy();
    await gateway.close();
  });

  it('With FILE_TIMES=upload, every command that sets a time is answered 502 and changes nothing', async () => {
    await start();
    await client.says('MFMT 20200102030405 file', cannotBeSet);
    await client.says('MDTM 20200102030405 file', cannotBeSet);
    await client.says('SITE UTIME 202001020304 file', cannotBeSet);
    await client.says('SITE UTIME file 20200102030405 20200102030405 20200102030405 UTC', cannotBeSet);
    await client.says('MDTM file', '213 20240229123456');
  });

  it('With FILE_TIMES=upload, FEAT and SITE HELP offer MDTM only for reading times', async () => {
    await start();
    const features = await client.ask('FEAT');
    assert.match(features, /\n MDTM\n/);
    assert.doesNotMatch(features, /MFMT|UTIME/);
    assert.doesNotMatch(await client.ask('SITE HELP'), /UTIME/);
    await client.says('HELP MDTM', '214 Syntax: MDTM <SP> <pathname> (RFC 3659 3)');
  });

  it('With FILE_TIMES=upload, MDTM shows the time of a file whose name begins with a time', async () => {
    await start();
    await client.says('MDTM 20240229123456 scan.pdf', '213 20240301000000');
    await client.says('MDTM 20240229123456 file', cannotBeSet);
  });
});

for (const fileTimes of ['upload', 'client'] as const satisfies readonly FileTimes[]) {
  it(`MDTM, MLST, MLSD, LIST and STAT agree on every file in S3 with FILE_TIMES=${fileTimes}`, async () => {
    const gateway = await startS3Gateway({ fileTimes });
    const client = new Client(30_000);
    try {
      // Metadata of other programs: without a time, with that of rclone, and with a value that only looks like a time.
      for (const [name, metadata] of Object.entries({
        plain: undefined,
        rclone: { mtime: '1600000000.987654321' },
        'before 1970': { mtime: '-86400.5' },
        'not a time': { mtime: 'yesterday' },
        'beyond the year 9999': { mtime: '999999999999' },
      })) {
        await gateway.putObject(`/d/${name}`, Buffer.from(name), metadata);
      }
      const { host, port, username, password } = gateway.server('plain');
      await client.access({ host, port, user: username, password });
      if (fileTimes === 'client') await client.send('MFMT 20010203040506 /d/plain');
      await client.rename('/d/rclone', '/d/renamed');

      const times = await timesByMlsd(client, '/d');
      assert.deepEqual(
        [...times.keys()],
        ['before 1970', 'beyond the year 9999', 'not a time', 'plain', 'renamed'],
      );
      const listed = new Map((await listByLines(client, '/d')).map(({ name, time }) => [name, time]));
      for (const [name, time] of times) {
        const { message } = await client.send(`MDTM /d/${name}`);
        assert.equal(message, `213 ${time}`, `MDTM of ${name}`);
        assert.match((await client.send(`MLST /d/${name}`)).message, new RegExp(`;modify=${time};`));
        const [line] = await listByLines(client, `/d/${name}`);
        assert.deepEqual([line?.time, listed.get(name)], [lsTime(time), lsTime(time)], `LIST of ${name}`);
        assert.ok(
          (await client.send(`STAT /d/${name}`)).message.replaceAll('  ', ' ').includes(` ${lsTime(time)} `),
          `STAT of ${name}`,
        );
      }
      assert.equal(times.get('plain') === '20010203040506', fileTimes === 'client');
      assert.equal(times.get('renamed') === '20200913122640', fileTimes === 'client');
    } finally {
      client.close();
      await gateway.close();
    }
  });
}

/** The modify fact of every file, by name. */
async function timesByMlsd(client: Client, directory: string): Promise<Map<string, string>> {
  const times = new Map<string, string>();
  for (const { name, rawModifiedAt, isFile } of await client.list(directory)) {
    if (!isFile) continue;
    times.set(name, new Date(rawModifiedAt).toISOString().slice(0, 19).replaceAll(/[-:T]/g, ''));
  }
  return times;
}

/** Name and time of each line of LIST, verbatim. */
async function listByLines(client: Client, pathname: string) {
  client.availableListCommands = ['LIST'];
  try {
    const entries = await client.list(pathname);
    return entries.map(({ name, rawModifiedAt }) => ({ name, time: rawModifiedAt }));
  } finally {
    client.availableListCommands = ['MLSD'];
  }
}

/** A time of MLSD in the format of `ls -l` for recent files. */
function lsTime(value: string): string {
  const [, year = '', month = '', day = '', hours = '', minutes = ''] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)/.exec(value) ?? [];
  const at = new Date(`${year}-${month}-${day}T${hours}:${minutes}:00Z`);
  const name = new Intl.DateTimeFormat('en-US', { month: 'short', timeZone: 'UTC' }).format(at);
  const isRecent = Date.now() - at.getTime() < 182 * 86_400_000;
  return `${name} ${day} ${isRecent ? `${hours}:${minutes}` : year}`;
}
