/** SITE: its subcommands, and the parameters that mainframes send before their transfers. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { mainframeReply } from '../../../src/ftp/commands/site-mainframe.ts';
import type { Dialogue } from '../../support/dialogue.ts';
import type { TestGateway } from '../../support/gateway.ts';
import { logInWith, securities, startGatewayWith } from '../../support/secured-login.ts';

const ignored = '200 SITE parameters of z/OS have no meaning here; nothing was changed.';
const unknown = (name: string): string =>
  `500 SITE ${name} is not known; nothing was changed. SITE HELP lists what there is.`;

for (const security of securities) {
  describe(`SITE over ${security}`, () => {
    let gateway: TestGateway;
    let client: Dialogue;
    before(async () => {
      gateway = await startGatewayWith(security);
      gateway.filesystem.putFile('/f', '012');
      client = await logInWith(gateway);
    });
    after(async () => {
      client.destroy();
      await gateway.close();
    });

    const dialogues: readonly (readonly [argument: string, answer: string | RegExp])[] = [
      // As the z/OS client sends them automatically before a PUT, and as scripts contain them.
      ['FIXrecfm 80 LRECL=80 RECFM=FB BLKSIZE=32720', ignored],
      ['VARrecfm LRECL=256 RECFM=VB BLKSIZE=6233', ignored],
      ['LRECL=80', ignored],
      ['lrecl=80 recfm=fb', ignored],
      ['RECFM=U  BLKSIZE = 6144 ', ignored],
      ['FILETYPE=SEQ', ignored],
      ['file=seq', ignored],
      ['UMASK 022', ignored],
      ['CY PRI=5 SEC=5', ignored],
      ['TRACKS PRIMARY=10 SECONDARY=5 UNIT=SYSDA VOLUME=(WRKLB1,WRKLB2)', ignored],
      ['NOWRAPRECORD NORDW NOTRAIL', ignored],
      ["DCBDSN='SYS1.MODEL'", ignored],
      ['SBDATACONN=(IBM-1047,ISO8859-1)', ignored],
      ['UNIXFILETYPE=FILE', ignored],
      ['LRECL=80 NONSENSE=1 TYPO', '200 Nothing was changed. Not known at all: NONSENSE=1 TYPO'],
      // Parameters that would change the meaning of the next transfer.
      ['FILETYPE=JES', '504 FILETYPE=JES is not available here; nothing was changed.'],
      ['filetype=sql', '504 FILETYPE=SQL is not available here; nothing was changed.'],
      ['FILE = JES', '504 FILETYPE=JES is not available here; nothing was changed.'],
      ['LRECL=80 FILETYPE=JES', '504 FILETYPE=JES is not available here; nothing was changed.'],
      ['FILETYPE', '504 FILETYPE= is not available here; nothing was changed.'],
      ['UNIXFILETYPE=FIFO', '504 UNIXFILETYPE=FIFO is not available here; nothing was changed.'],
      // Words that are neither subcommands nor parameters.
      ['CHMDO 644 f', unknown('CHMDO')],
      ['CHMODE 644 f', unknown('CHMODE')],
      ['UTIMES f', unknown('UTIMES')],
      ['SYMLINK f g', unknown('SYMLINK')],
      ['CPFR f', unknown('CPFR')],
      ['EXEC ls', unknown('EXEC')],
      ['80', unknown('80')],
      ['LR=80', ignored],
      ['L=80', unknown('L=80')],
      ['NO', unknown('NO')],
      // The subcommands, with extra spaces.
      [' CHMOD  644 f', '200 Files have no modes here; nothing was changed.'],
      ['CHMOD 644  f', '550 No such file or directory. [FILE-NOT-FOUND]'],
      ['chmod 644 f', '200 Files have no modes here; nothing was changed.'],
    ];
    for (const [argument, answer] of dialogues) {
      it(`SITE ${argument} is answered ${String(answer)}`, () => client.says(`SITE ${argument}`, answer));
    }

    it('SITE HELP lists the commands that exist and explains the parameters of z/OS', () =>
      client.says(
        'SITE HELP',
        [
          '214-SITE commands:',
          ' SITE CHMOD <mode> <pathname>',
          ' SITE UTIME YYYYMMDDhhmm[ss] <pathname>',
          ' SITE HELP',
          ' SITE LRECL=80 and other parameters of z/OS: accepted, nothing is changed',
          '214 End.',
        ].join('\n'),
      ));

    it('HELP SITE describes the SITE commands that exist', () =>
      client.says('HELP SITE', '214 Syntax: SITE <SP> CHMOD|UTIME|HELP [<SP> <arguments>] (RFC 959 4.1.3)'));

    it('SITE commands keep the restart offset', async () => {
      await client.says('TYPE I', /^200 /);
      await client.says('REST 2', /^350 /);
      await client.says('SITE LRECL=80', ignored);
      assert.equal(String(await client.download('RETR f')), '2');
    });
  });
}

describe('mainframeReply()', () => {
  it('mainframeReply() returns nothing for an empty argument', () => {
    assert.equal(mainframeReply(''), undefined);
    assert.equal(mainframeReply('   '), undefined);
  });

  it('mainframeReply() returns nothing for a line of maximal length that begins with no parameter', () => {
    assert.equal(mainframeReply(`X${' ='.repeat(4000)}`), undefined);
    assert.equal(mainframeReply(' '.repeat(8000) + 'X'), undefined);
  });
});
