/** Names in UTF-8 and in windows-1252, from the client's bytes to the storage and back. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Dialogue } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';

const isOn = '200 Names are in UTF-8 from now on.';
const isOff = '200 Names are in windows-1252 (Latin-1) from now on.';

/** A session whose text holds one byte per character. */
async function logInByBytes(gateway: TestGateway): Promise<Dialogue> {
  const client = await Dialogue.logIn({ port: gateway.controlPort });
  client.encoding = 'latin1';
  return client;
}

async function featuresOf(client: Dialogue): Promise<readonly string[]> {
  return (await client.ask('FEAT')).split('\n').map((line) => line.trim());
}

/** A name in windows-1252, with a byte that Latin-1 does not have; its bytes are no valid UTF-8. */
const bytes = '\x80-caf\xe9.txt';
const text = '€-café.txt';

/** Exercises every command and reply that carries a name. */
async function sendsBackTheBytesItReads(client: Dialogue, gateway: TestGateway): Promise<void> {
  await client.upload(`STOR ${bytes}`, '012');
  assert.ok(gateway.filesystem.readFile(`/${text}`), 'stored under the name that the bytes mean');
  await client.says(`SIZE ${bytes}`, '213 3');
  for (const command of ['NLST', `NLST ${bytes}`, 'NLST *.txt']) {
    assert.equal((await client.download(command)).toString('latin1'), `${bytes}\r\n`);
  }
  assert.match((await client.download('LIST')).toString('latin1'), / \x80-caf\xe9\.txt\r\n$/);
  assert.match((await client.download('MLSD')).toString('latin1'), / \x80-caf\xe9\.txt\r\n$/);
  assert.match(
    await client.ask(`MLST ${bytes}`),
    /^250-Listing \/\x80-caf\xe9\.txt\n .* \/\x80-caf\xe9\.txt\n/,
  );
  assert.match(
    await client.ask(`STAT ${bytes}`),
    /^213-Status of \x80-caf\xe9\.txt:\n .* \x80-caf\xe9\.txt\n/,
  );
  const data = await client.passive();
  await client.says(`RETR ${bytes}`, /^150 .* for \x80-caf\xe9\.txt/);
  data.destroy();
  await client.expect(/^[24]26 /);
  await client.says(`RNFR ${bytes}`, /^350 /);
  await client.says('RNTO \xe4', '250 Renamed.');
  await client.says('DELE \xe4', '250 File deleted.');
  await client.says('MKD \xfc', '257 "/\xfc" created.');
  await client.says('CWD \xfc', '250 The current directory is "/\xfc".');
  await client.says('PWD', '257 "/\xfc" is the current directory.');
  assert.match((await client.download('LIST -R /')).toString('latin1'), /\r\n\.\/\xfc:\r\n/);
  await client.says('CDUP', '250 The current directory is "/".');
  await client.says('RMD \xfc', '250 Directory removed.');
}

describe('with FILENAME_ENCODING=utf-8', () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startTestGateway();
  });
  after(() => gateway.close());

  it('With FILENAME_ENCODING=utf-8, a UTF-8 client reads the names that it sent, and FEAT shows UTF8', async () => {
    const client = await Dialogue.logIn({ port: gateway.controlPort });
    await client.upload('STOR é☂', 'x');
    assert.equal(String(await client.download('NLST')), 'é☂\r\n');
    assert.ok((await featuresOf(client)).includes('UTF8'));
    await client.says('DELE é☂', '250 File deleted.');
    await client.quit();
  });

  it('With FILENAME_ENCODING=utf-8, a name that is not valid UTF-8 is decoded as windows-1252 and shown in UTF-8', async () => {
    const client = await logInByBytes(gateway);
    await client.upload(`STOR ${bytes}`, 'x');
    assert.ok(gateway.filesystem.readFile(`/${text}`));
    assert.equal((await client.download('NLST')).toString('utf8'), `${text}\r\n`);
    await client.says(`DELE ${bytes}`, '250 File deleted.');
    await client.quit();
  });

  it('With FILENAME_ENCODING=utf-8, a client that switches UTF8 off reads the bytes that it sent, and FEAT hides UTF8', async () => {
    const client = await logInByBytes(gateway);
    await client.says('OPTS UTF8 OFF', isOff);
    assert.ok(!(await featuresOf(client)).includes('UTF8'));
    await sendsBackTheBytesItReads(client, gateway);
    await client.says('OPTS UTF8 ON', isOn);
    assert.ok((await featuresOf(client)).includes('UTF8'));
    await client.quit();
  });

  it('With FILENAME_ENCODING=utf-8, REIN switches UTF8 on again', async () => {
    const client = await logInByBytes(gateway);
    await client.says('OPTS UTF8 OFF', isOff);
    await client.says('REIN', /^220 /);
    assert.ok((await featuresOf(client)).includes('UTF8'));
    await client.quit();
  });

  it('Switching UTF8 off in one session does not change the names of another session', async () => {
    const one = await logInByBytes(gateway);
    const other = await Dialogue.logIn({ port: gateway.controlPort });
    await one.says('OPTS UTF8 OFF', isOff);
    await one.says('MKD \xe9', '257 "/\xe9" created.');
    await other.says('RMD é', '250 Directory removed.');
    one.destroy();
    other.destroy();
  });
});

describe('with FILENAME_ENCODING=windows-1252', () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startTestGateway({
      filenameEncoding: 'windows-1252',
      users: [
        { name: 'alice', password: 'secret' },
        { name: 'alice', password: 'pässwörd' },
      ],
    });
  });
  after(() => gateway.close());

  it('With FILENAME_ENCODING=windows-1252, a client reads the bytes that it sent, and FEAT hides UTF8', async () => {
    const client = await logInByBytes(gateway);
    assert.ok(!(await featuresOf(client)).includes('UTF8'));
    await sendsBackTheBytesItReads(client, gateway);
    await client.quit();
  });

  it('With FILENAME_ENCODING=windows-1252, bytes that happen to be valid UTF-8 are not decoded as UTF-8', async () => {
    const client = await logInByBytes(gateway);
    await client.says('MKD \xc3\xa9', '257 "/\xc3\xa9" created.');
    const other = await Dialogue.logIn({ port: gateway.controlPort });
    await other.says('OPTS UTF8 ON', isOn);
    await other.says('RMD Ã©', '250 Directory removed.');
    client.destroy();
    other.destroy();
  });

  it('With FILENAME_ENCODING=windows-1252, a client that switches UTF8 on reads and writes UTF-8, and FEAT shows it', async () => {
    const client = await Dialogue.logIn({ port: gateway.controlPort });
    await client.says('OPTS UTF8 ON', isOn);
    assert.ok((await featuresOf(client)).includes('UTF8'));
    await client.says('MKD é☂', '257 "/é☂" created.');
    assert.equal(String(await client.download('NLST')), 'é☂\r\n');
    await client.says('RMD é☂', '250 Directory removed.');
    await client.says('REIN', /^220 /);
    assert.ok(!(await featuresOf(client)).includes('UTF8'));
    await client.quit();
  });

  it('With FILENAME_ENCODING=windows-1252, each character that the encoding lacks is shown as ?', async () => {
    gateway.filesystem.putFile('/é-日本', 'x');
    const client = await logInByBytes(gateway);
    assert.equal((await client.download('NLST')).toString('latin1'), '\xe9-??\r\n');
    await client.says('SIZE \xe9-??', '550 No such file or directory. [FILE-NOT-FOUND]');
    await client.says('DELE \xe9-??', '550 No such file or directory. [FILE-NOT-FOUND]');
    await client.quit();
  });

  it('With FILENAME_ENCODING=windows-1252, a password is accepted in UTF-8 and in windows-1252', async () => {
    for (const encoding of ['utf8', 'latin1'] as const) {
      const client = await Dialogue.open({ port: gateway.controlPort });
      client.encoding = encoding;
      await client.expect('220 Ready');
      await client.says('USER alice', '331 Password required.');
      await client.says('PASS pässwörd', '230 Logged in.');
      await client.quit();
    }
  });
});

describe('with PATHNAME_BACKSLASH=separator', () => {
  let gateway: TestGateway;
  let client: Dialogue;
  before(async () => {
    gateway = await startTestGateway({ pathnameBackslash: 'separator' });
    client = await Dialogue.logIn({ port: gateway.controlPort });
  });
  after(async () => {
    client.destroy();
    await gateway.close();
  });

  it('With PATHNAME_BACKSLASH=separator, STOR stores the file in the directory of a Windows pathname', async () => {
    await client.upload('STOR \\scans\\2026\\a.pdf', 'pdf');
    assert.ok(gateway.filesystem.readFile('/scans/2026/a.pdf'));
  });

  const dialogues: readonly (readonly [command: string, answer: string | RegExp])[] = [
    ['SIZE \\scans\\2026\\a.pdf', '213 3'],
    ['SIZE scans/2026\\a.pdf', '213 3'],
    ['MDTM scans\\2026\\a.pdf', /^213 /],
    ['MDTM 20200102030405 scans\\2026\\a.pdf', '253 The time is set.'],
    ['MFMT 20200102030405 scans\\2026\\a.pdf', /^213 /],
    ['MLST scans\\2026', /^250-Listing \/scans\/2026\n/],
    ['STAT scans\\2026', /^213-[^]* a\.pdf\n/],
    ['XMD5 scans\\2026\\a.pdf', /^250 /],
    ['XCRC "scans\\2026\\a.pdf" 0 1', /^250 /],
    ['HASH scans\\2026\\a.pdf', /^213 /],
    ['SITE CHMOD 644 scans\\2026\\a.pdf', /^200 /],
    ['SITE UTIME 202001020304 scans\\2026\\a.pdf', /^200 /],
    ['CWD \\scans', '250 The current directory is "/scans".'],
    ['CWD 2026\\..', '250 The current directory is "/scans".'],
    ['CWD \\', '250 The current directory is "/".'],
    ['MKD scans\\new', '257 "/scans/new" created.'],
    ['RMD scans\\new\\', '250 Directory removed.'],
    ['RNFR scans\\2026\\a.pdf', /^350 /],
    ['RNTO scans\\b.pdf', '250 Renamed.'],
    ['DELE scans\\b.pdf', '250 File deleted.'],
  ];
  for (const [command, answer] of dialogues) {
    it(`With PATHNAME_BACKSLASH=separator, ${command} accepts a Windows pathname`, () =>
      client.says(command, answer));
  }

  it('With PATHNAME_BACKSLASH=separator, listings accept Windows pathnames, including wildcards', async () => {
    await client.upload('STOR d\\one.txt', '1');
    await client.upload('APPE d\\one.txt', '2');
    assert.equal(String(await client.download('RETR d\\one.txt')), '12');
    assert.equal(String(await client.download('NLST d\\')), 'd/one.txt\r\n');
    assert.equal(String(await client.download('NLST -a d\\*.txt')), 'd/one.txt\r\n');
    assert.match(String(await client.download('LIST \\d')), / one\.txt\r\n$/);
    assert.match(String(await client.download('MLSD \\d')), / one\.txt\r\n$/);
  });

  it('With PATHNAME_BACKSLASH=separator, a pathname that ends in a backslash names no file', async () => {
    const data = await client.passive();
    await client.says(
      'STOR nodir\\',
      '553 The name of a file is needed, not that of a directory. [FILE-NAME]',
    );
    data.destroy();
  });

  it('With PATHNAME_BACKSLASH=separator, a password keeps its backslashes', async () => {
    const users = [{ name: 'alice', password: 'a\\b' }];
    const own = await startTestGateway({ users, pathnameBackslash: 'separator' });
    (await Dialogue.logIn({ port: own.controlPort }, 'alice', 'a\\b')).destroy();
    await own.close();
  });
});

describe('with PATHNAME_BACKSLASH=literal', () => {
  it('With PATHNAME_BACKSLASH=literal, a backslash is an ordinary character of a name', async () => {
    const gateway = await startTestGateway();
    const client = await Dialogue.logIn({ port: gateway.controlPort });
    await client.upload('STOR \\scans\\a.pdf', 'pdf');
    assert.ok(gateway.filesystem.readFile('/\\scans\\a.pdf'));
    client.destroy();
    await gateway.close();
  });
});
