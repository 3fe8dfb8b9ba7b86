/** Which spaces of a command line are significant, and which are not. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { parseArgument } from '../../../src/ftp/commands/arguments.ts';
import type { ArgumentKind } from '../../../src/ftp/commands/command.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { logInWith, securities, startGatewayWith } from '../../support/secured-login.ts';

type Reading = readonly [kind: ArgumentKind, text: string, argument: string];

const readings: readonly Reading[] = [
  ['words', '', ''],
  ['words', '   ', ''],
  ['words', 'I', 'I'],
  ['words', '  A   N  ', 'A N'],
  ['words', 'a\\b', 'a\\b'],
  ['pathname', '', ''],
  ['pathname', '  ', ''],
  ['pathname', ' a  b ', ' a  b '],
  ['pathname', '\u00a0', '\u00a0'],
  ['pathname', './ ', './ '],
  ['pathname', '\\a\\b', '\\a\\b'],
  ['verbatim', ' pass\\word  ', ' pass\\word  '],
];

describe('readArgument()', () => {
  for (const [kind, text, argument] of readings) {
    it(`readArgument() turns ${JSON.stringify(text)} into ${JSON.stringify(argument)} for an argument of kind ${kind}`, () => {
      assert.equal(parseArgument(kind, text, { pathnameBackslash: 'literal' }), argument);
    });
  }
});

for (const security of securities) {
  describe(`arguments over ${security}`, () => {
    let gateway: TestGateway;
    let client: Dialogue;
    before(async () => {
      gateway = await startGatewayWith(security);
      gateway.filesystem.putFile('/f', '012');
      gateway.filesystem.putFile('/ lead', 'with a leading space');
      gateway.filesystem.putFile('/trail ', 'with a trailing space');
      gateway.filesystem.putFile('/dir/inside', 'x');
      client = await logInWith(gateway);
    });
    after(async () => {
      client.destroy();
      await gateway.close();
    });

    const words: readonly (readonly [command: string, answer: string | RegExp])[] = [
      ['TYPE  A  N ', '200 Type is ASCII.'],
      ['TYPE L   8', '200 Type is image.'],
      ['TYPE  I', '200 Type is image.'],
      ['TYPE I ', '200 Type is image.'],
      ['MODE  S ', '200 Mode is stream.'],
      ['STRU  F ', /^200 /],
      ['ALLO  12  R  80 ', '200 Noted.'],
      ['REST  0 ', /^350 /],
      ['EPSV  ALL2', /^501 /],
      ['EPSV  1 ', /^229 /],
      ['PBSZ  0 ', security === 'TLS' ? /^200 / : '502 TLS is not available here.'],
      ['OPTS  MLST   size; ', '200 MLST OPTS size;'],
      ['OPTS MODE  Z   LEVEL  6 ', '200 MODE Z LEVEL 6'],
      ['LANG  en ', '200 Replies are in English.'],
      ['HELP  retr ', '214 Syntax: RETR <SP> <pathname> (RFC 959 4.1.3)'],
      ['PORT  1,2,3,4,5,6 ', /^501 .*address/],
      ['PWD ', '257 "/" is the current directory.'],
      ['CDUP  ', '250 The current directory is "/".'],
    ];
    for (const [command, answer] of words) {
      it(`An argument made of words ignores extra spaces: ${JSON.stringify(command)}`, async () => {
        await client.says(command, answer);
      });
    }

    const pathnames: readonly (readonly [command: string, answer: string | RegExp])[] = [
      ['SIZE f ', '550 No such file or directory. [FILE-NOT-FOUND]'],
      ['SIZE  f', '550 No such file or directory. [FILE-NOT-FOUND]'],
      ['SIZE  lead', '213 20'],
      ['SIZE trail ', '213 21'],
      ['MDTM  lead', /^213 /],
      ['CWD /  ', '550 No such file or directory. [FILE-NOT-FOUND]'],
      ['CWD  /dir', '550 No such file or directory. [FILE-NOT-FOUND]'],
      ['CWD dir ', '550 No such file or directory. [FILE-NOT-FOUND]'],
      ['CWD  ', '501 A pathname is needed.'],
      ['STAT  lead', /^213-Status of {2}lead:\n [^\n]* {2}lead\n/],
      ['MLST  lead', /^250-Listing \/ lead\n/],
      ['MKD  new ', '257 "/ new " created.'],
      ['RMD new', '550 No such file or directory. [FILE-NOT-FOUND]'],
      ['RMD  new ', '250 Directory removed.'],
    ];
    for (const [command, answer] of pathnames) {
      it(`A pathname argument keeps every space after the first: ${JSON.stringify(command)}`, async () => {
        await client.says(command, answer);
      });
    }

    const listings: readonly (readonly [command: string, names: string])[] = [
      ['NLST', ' lead\r\ndir\r\nf\r\ntrail \r\n'],
      ['NLST ', ' lead\r\ndir\r\nf\r\ntrail \r\n'],
      ['NLST   ', ' lead\r\ndir\r\nf\r\ntrail \r\n'],
      ['NLST  lead', ' lead\r\n'],
      ['NLST trail ', 'trail \r\n'],
      ['NLST  -a  dir', ''],
      ['NLST  -a dir', 'dir/inside\r\n'],
      ['NLST -a   ', ' lead\r\ndir\r\nf\r\ntrail \r\n'],
      ['NLST -a  lead', ' lead\r\n'],
      ['NLST --  lead', ' lead\r\n'],
    ];
    for (const [command, names] of listings) {
      const outcome = names === '' ? '550' : JSON.stringify(names);
      it(`A listing argument keeps the spaces of its pathname: ${JSON.stringify(command)} shows ${outcome}`, async () => {
        if (names !== '') {
          assert.equal(String(await client.download(command)), names);
          return;
        }
        const data = await client.passive();
        await client.says(command, '550 No such file or directory. [FILE-NOT-FOUND]');
        data.destroy();
      });
    }

    it('LIST finds a name with leading spaces', async () => {
      assert.match(String(await client.download('LIST  lead')), /^-rw-r--r-- [^\r\n]* {2}lead\r\n$/);
    });

    it('PASS and USER keep every space of their argument', async () => {
      const users = [{ name: 'alice', password: ' two  spaces ' }];
      const own = await startTestGateway({ users });
      (await Dialogue.logIn({ port: own.controlPort }, 'alice', ' two  spaces ')).destroy();
      await own.close();
    });
  });
}

describe('a pathname that can only mean a directory', () => {
  let gateway: TestGateway;
  let client: Dialogue;
  before(async () => {
    gateway = await startTestGateway();
    gateway.filesystem.putFile('/dir/inside', 'x');
    client = await Dialogue.logIn({ port: gateway.controlPort });
  });
  after(async () => {
    client.destroy();
    await gateway.close();
  });

  const fileNameNeeded = '553 The name of a file is needed, not that of a directory. [FILE-NAME]';
  for (const command of [
    'STOR nodir/',
    'STOR dir/',
    'STOR nodir/.',
    'STOR dir/..',
    'STOR /',
    'APPE nodir/',
  ]) {
    it(`${command} is refused because it can only name a directory, and nothing is stored`, async () => {
      const data = await client.passive();
      await client.says(command, fileNameNeeded);
      data.destroy();
      await client.says('SIZE nodir', '550 No such file or directory. [FILE-NOT-FOUND]');
      assert.equal(String(await client.download('NLST')), 'dir\r\n');
    });
  }

  it('A rename of a file to a name that can only mean a directory is refused, and the file keeps its name', async () => {
    await client.says('RNFR dir/inside', '350 Send RNTO with the new name.');
    await client.says('RNTO nodir/', '553 The name is not allowed. [FILE-NAME]');
    await client.says('SIZE dir/inside', '213 1');
  });

  it('A rename of a directory accepts a new name that can only mean a directory', async () => {
    await client.says('RNFR dir', '350 Send RNTO with the new name.');
    await client.says('RNTO moved/', '250 Renamed.');
    await client.says('RNFR moved/', '350 Send RNTO with the new name.');
    await client.says('RNTO dir', '250 Renamed.');
  });

  it('STOU creates its file in the directory that its argument names', async () => {
    const data = await client.passive();
    const [, name = ''] = /^150 FILE: (\S+)$/.exec(await client.ask('STOU dir/')) ?? [];
    data.end('unique');
    await client.expect(/^226 /);
    await client.says(`SIZE dir/${name}`, '213 6');
    await client.says(`DELE dir/${name}`, '250 File deleted.');
  });
});
