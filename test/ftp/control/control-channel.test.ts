/** What stock ftp-srv 4.6.3 gets wrong on the control connection, and what the gateway does instead. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { MemoryFilesystem } from '../../../src/filesystem/memory-filesystem.ts';
import type { Filesystem } from '../../../src/filesystem/filesystem.ts';
import { closed, Dialogue, readAll } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';

const big = Buffer.alloc(32 * 1024 * 1024, 'b');

/** Takes its time for every lookup, as a storage in a network does. */
class SlowFilesystem extends MemoryFilesystem {
  override async stat(
    ...[pathname, options]: Parameters<Filesystem['stat']>
  ): ReturnType<Filesystem['stat']> {
    await delay(30);
    return super.stat(pathname, options);
  }
}

describe('the control connection', () => {
  let gateway: TestGateway;
  const users = [
    { name: 'alice', password: 'secret' },
    { name: 'nobody', password: '' },
    { name: 'quoter', password: 'pa"ss' },
    { name: 'dasher', password: 'a -x b' },
  ];
  before(async () => {
    gateway = await startTestGateway({ users });
    gateway.filesystem.putFile('/big', big);
    gateway.filesystem.putFile('/empty', '');
  });
  after(() => gateway.close());
  const open = (): Promise<Dialogue> => Dialogue.open({ port: gateway.controlPort });
  const logIn = (name?: string, password?: string): Promise<Dialogue> =>
    Dialogue.logIn({ port: gateway.controlPort }, name, password);

  it('The control connection reads a command that arrives one letter at a time', async () => {
    const client = await logIn();
    for (const letter of 'PWD\r\n') await client.send(letter);
    await client.expect('257 "/" is the current directory.');
    client.destroy();
  });

  it('The control connection reads lines that end in LF only', async () => {
    const client = await open();
    await client.send('USER alice\nPASS secret\nNOOP\nNOOP\n');
    await client.expect('220 Ready', '331 Password required.', '230 Logged in.', /^200 /, /^200 /);
    client.destroy();
  });

  it('The control connection accepts commands that were sent before its greeting was read', async () => {
    const client = await open();
    await client.send('FEAT\r\n');
    await client.expect('220 Ready', /^211-Features:\n/);
    client.destroy();
  });

  it('Replies are sent in the order of their commands, even after a slow one', async () => {
    const slow = new SlowFilesystem();
    slow.putFile('/slow/file', 'x');
    const own = await startTestGateway({ filesystemFor: () => slow });
    const client = await Dialogue.logIn({ port: own.controlPort });
    await client.send('CWD slow\r\n');
    await client.send('PWD\r\n');
    await client.expect('250 The current directory is "/slow".', '257 "/slow" is the current directory.');
    await client.send('RNFR file\r\n');
    await client.send('RNTO renamed\r\n');
    await client.expect('350 Send RNTO with the new name.', '250 Renamed.');
    client.destroy();
    await own.close();
  });

  it('A name keeps its quotes', async () => {
    const client = await logIn();
    await client.upload('STOR say "hi".txt', 'x');
    assert.ok(gateway.filesystem.readFile('/say "hi".txt'));
    await client.says('DELE say "hi".txt', '250 File deleted.');
    client.destroy();
  });

  it('A name keeps words such as -x', async () => {
    const client = await logIn();
    await client.says('MKD my -x dir', '257 "/my -x dir" created.');
    await client.says('RMD my -x dir', '250 Directory removed.');
    await client.upload('APPE a -b c', 'x');
    await client.says('SIZE a -b c', '213 1');
    await client.says('DELE a -b c', '250 File deleted.');
    client.destroy();
  });

  it('A password reaches the authenticator unchanged', async () => {
    (await logIn('quoter', 'pa"ss')).destroy();
    (await logIn('dasher', 'a -x b')).destroy();
  });

  it('An empty password is accepted', async () => {
    (await logIn('nobody', '')).destroy();
  });

  const withoutArgument: readonly (readonly [command: string, answer: RegExp])[] = [
    ['OPTS', /^501 /],
    ['PORT', /^501 /],
    ['SITE', /^500 /],
    ['SITE CHMOD', /^501 /],
    ['SITE UTIME', /^501 /],
    ['CWD', /^501 /],
    ['RETR', /^501 /],
    ['MFMT', /^501 /],
    ['HASH', /^501 /],
    ['XCRC', /^501 /],
    ['REST', /^501 /],
    ['ALLO', /^501 /],
    ['TYPE', /^501 /],
    ['EPRT', /^501 /],
    ['EPRT |1|127.0.0.1|99999|', /^501 /],
    ['SPLICE', /^500 /],
  ];
  for (const [command, answer] of withoutArgument) {
    it(`${command}, which cannot be executed, gets exactly one reply with a code`, async () => {
      const client = await logIn();
      await client.says(command, answer);
      await client.says('NOOP', /^200 /);
      client.destroy();
    });
  }

  it('A login that fails with any kind of error gets a reply', async () => {
    const own = await startTestGateway({
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what a careless authenticator does
      authenticate: () => Promise.reject('no reason'),
    });
    const client = await Dialogue.open({ port: own.controlPort });
    await client.expect('220 Ready');
    await client.says('USER alice', '331 Password required.');
    await client.says(
      'PASS secret',
      '451 The login cannot be checked now; try again later. [LOGIN-UNCHECKED]',
    );
    await client.quit();
    await own.close();
  });

  it('A client may name another user after a refused login and after a login', async () => {
    const client = await open();
    await client.expect('220 Ready');
    await client.says('USER wrong', '331 Password required.');
    await client.says('PASS bad', '530 Login incorrect. [LOGIN-REFUSED]');
    await client.says('USER alice', '331 Password required.');
    await client.says('PASS secret', '230 Logged in.');
    await client.says('USER nobody', '331 Password required.');
    await client.says('PWD', '530 Please log in with USER and PASS.');
    await client.says('PASS ', '230 Logged in.');
    await client.says('REIN', '220 Service ready for new user.');
    await client.says('PWD', '530 Please log in with USER and PASS.');
    await client.quit();
  });

  it('STAT is answered while a transfer runs, and ABOR ends the transfer with 426 and 226', async () => {
    const client = await logIn();
    const data = await client.passive();
    await client.says('RETR /big', /^150 /);
    await client.says('STAT', /^211-Status:\n[^]*RETR \/big: \d+ bytes moved\n/);
    await client.says(
      'ABOR',
      '426 Connection closed; transfer aborted. [ABOR]',
      '226 ABOR command successful.',
    );
    const received = await readAll(data).catch(() => Buffer.alloc(0));
    assert.ok(received.length < big.length);
    assert.ok(
      received.every((byte) => byte === big[0]),
      'no reply is written to the data connection',
    );
    await client.says('PWD', /^257 /);
    await client.quit();
  });

  for (const [command, answer] of [
    ['NOOP', /^200 /],
    ['STAT /empty', /^213-/],
    ['FOO', /^500 /],
  ] as const) {
    it(`${command}, sent while a transfer runs, is answered after the reply of the transfer`, async () => {
      const client = await logIn();
      const data = await client.passive();
      await client.says('RETR /big', /^150 /);
      await client.send(`${command}\r\n`);
      assert.equal((await readAll(data)).length, big.length);
      await client.expect(/^226 /, answer);
      await client.quit();
    });
  }

  it('QUIT, sent while a transfer runs, is answered after the reply of the transfer, and then the connection closes', async () => {
    const client = await logIn();
    const data = await client.passive();
    await client.says('RETR /big', /^150 /);
    await client.send('QUIT\r\n');
    assert.equal((await readAll(data)).length, big.length);
    await client.expect(/^226 /, '221 Goodbye.');
    await client.expectClosed();
  });

  it('ABOR behind a command that waits for the transfer is answered in order', async () => {
    const client = await logIn();
    const data = await client.passive();
    await client.says('RETR /big', /^150 /);
    await client.send('NOOP\r\nABOR\r\n');
    await client.expect(/^426 /, /^200 /, '226 ABOR command successful.');
    data.destroy();
    await client.quit();
  });

  it('Other commands wait until the transfer has ended', async () => {
    const client = await logIn();
    const data = await client.passive();
    await client.send('RETR /big\r\nPWD\r\nNOOP\r\nSYST\r\n');
    await client.expect(/^150 /);
    await readAll(data);
    await client.expect(/^226 /, /^257 /, /^200 /, /^215 /);
    await client.quit();
  });

  it('ABOR is answered immediately when no transfer runs', async () => {
    const client = await logIn();
    await client.passive();
    await client.says('ABOR', '226 ABOR command successful.');
    await client.says('ABOR', '226 ABOR command successful.');
    await client.quit();
  });

  it('Telnet signals in front of ABOR are ignored, with its LF as urgent data or after a lost DM', async () => {
    const client = await logIn();
    await client.send(Buffer.from('\xff\xf4\xff\xf2ABOR\r\n', 'latin1'));
    await client.expect('226 ABOR command successful.');
    await client.send('ABOR\r');
    await client.expect('226 ABOR command successful.');
    await client.send(Buffer.from('\xf2ABOR\r\n', 'latin1'));
    await client.expect('226 ABOR command successful.');
    await client.quit();
  });

  it('Passwords appear in no event and no reply', async () => {
    const own = await startTestGateway({ users });
    const client = await Dialogue.logIn({ port: own.controlPort }, 'quoter', 'pa"ss');
    await client.says('USER alice', '331 Password required.');
    await client.says('PASS not-the-one', '530 Login incorrect. [LOGIN-REFUSED]');
    await client.quit();
    await own.nextEvent('session-closed');
    const logged = JSON.stringify(own.events);
    assert.doesNotMatch(logged, /pa\\"ss|not-the-one|secret/);
    await own.close();
  });

  it('Names are kept in UTF-8 and in Latin-1', async () => {
    const client = await logIn();
    await client.send(Buffer.from('MKD caf\xe9\r\n', 'latin1'));
    await client.expect('257 "/café" created.');
    await client.says('RMD café', '250 Directory removed.');
    await client.quit();
  });

  it('Control characters in names are refused', async () => {
    const client = await logIn();
    await client.says('MKD a\0b', '501 Control characters are not allowed.');
    await client.says('MKD a\x1b[31m', '501 Control characters are not allowed.');
    await client.says('MKD a\rDELE big', '501 Control characters are not allowed.');
    await client.quit();
  });

  it('SIZE shows the size of an empty file', async () => {
    const client = await logIn();
    await client.says('SIZE /empty', '213 0');
    await client.quit();
  });

  for (const sentMeanwhile of ['', 'NOOP\r\n', 'PWD\r\n']) {
    it(`An upload is aborted when its control connection is lost${sentMeanwhile && ` after ${sentMeanwhile.trim()}`}`, async () => {
      gateway.filesystem.putFile('/kept', 'as it was');
      const client = await logIn();
      const data = await client.passive();
      await client.says('STOR /kept', /^150 /);
      data.write('half of');
      if (sentMeanwhile !== '') await client.send(sentMeanwhile);
      client.destroy();
      data.resume();
      await closed(data);
      const { outcome, cause } = await gateway.nextEvent('transfer').then(async (event) => {
        let last = event;
        while (last.pathname !== '/kept') last = await gateway.nextEvent('transfer');
        return last;
      });
      assert.deepEqual({ outcome, cause }, { outcome: 'aborted', cause: 'CLIENT-CLOSED' });
      assert.equal(gateway.filesystem.readFile('/kept')?.toString(), 'as it was');
    });
  }
});
