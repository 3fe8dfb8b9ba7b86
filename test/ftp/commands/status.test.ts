/** The commands for the session and for the parameters of transfers. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Dialogue } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';

describe('in a session', () => {
  let gateway: TestGateway;
  let client: Dialogue;
  before(async () => {
    gateway = await startTestGateway();
    client = await Dialogue.logIn({ port: gateway.controlPort });
  });
  after(async () => {
    client.destroy();
    await gateway.close();
  });

  const dialogues: readonly (readonly [command: string, answer: string | RegExp])[] = [
    ['SYST', '215 UNIX Type: L8'],
    ['syst', '215 UNIX Type: L8'],
    ['NOOP', '200 The requested action has been successfully completed'],
    ['MODE Z', '200 Mode is deflate.'],
    ['mode s', '200 Mode is stream.'],
    ['MODE B', '504 Only MODE S and Z are implemented.'],
    ['MODE C', '504 Only MODE S and Z are implemented.'],
    ['MODE', '501 MODE needs S or Z.'],
    ['OPTS MODE Z LEVEL 9', '200 MODE Z LEVEL 9'],
    ['opts mode z engine zlib level 1', '200 MODE Z LEVEL 1'],
    ['OPTS MODE Z', '200 MODE Z LEVEL 6'],
    ['OPTS MODE Z LEVEL 0', '501 OPTS MODE Z takes LEVEL 1 to 9.'],
    ['OPTS MODE Z LEVEL 10', '501 OPTS MODE Z takes LEVEL 1 to 9.'],
    ['OPTS MODE S', '501 OPTS MODE Z takes LEVEL 1 to 9.'],
    ['STRU F', '200 The requested action has been successfully completed'],
    ['STRU R', '504 Command parameter not supported'],
    ['TYPE I', '200 Type is image.'],
    ['TYPE L 8', '200 Type is image.'],
    ['TYPE A', '200 Type is ASCII.'],
    ['type a n', '200 Type is ASCII.'],
    ['TYPE E', '504 Only TYPE A, I and L 8 are implemented.'],
    ['TYPE L 7', '504 Only TYPE A, I and L 8 are implemented.'],
    ['TYPE X', '501 TYPE needs A, I or L 8.'],
    ['ALLO 1024', '200 Noted.'],
    ['ALLO 1024 R 80', '200 Noted.'],
    ['ALLO many', '501 ALLO needs a number of bytes.'],
    ['ABOR', '226 ABOR command successful.'],
    ['ACCT 1', '202 Accounts are not used here.'],
    ['PASS again', '202 Already logged in.'],
    ['HOST ftp.example.com', '503 HOST comes before USER.'],
    ['CLNT test', '200 Noted.'],
    ['LANG', '200 Replies are in English.'],
    ['LANG en-GB', '200 Replies are in English.'],
    ['LANG fr', '504 Replies are in English only.'],
    ['OPTS UTF8 OFF', '200 Names are in windows-1252 (Latin-1) from now on.'],
    ['OPTS UTF8 ON', '200 Names are in UTF-8 from now on.'],
    ['opts utf-8 nlst', '200 Names are in UTF-8 from now on.'],
    ['OPTS UTF8 MAYBE', '501 OPTS UTF8 takes ON or OFF.'],
    ['OPTS MLST size;modify;nonsense;', '200 MLST OPTS size;modify;'],
    ['OPTS MLST', '200 MLST OPTS'],
    ['OPTS HASH MD5', '200 MD5'],
    ['OPTS HASH', '200 MD5'],
    ['OPTS HASH SHA-3', '501 The algorithm is not known.'],
    ['OPTS RETR x', '501 There are no options for this command.'],
    ['HELP RETR', '214 Syntax: RETR <SP> <pathname> (RFC 959 4.1.3)'],
    ['HELP nonsense', '502 The command is not known.'],
    ['SMNT x', '500 Command not understood.'],
    ['', '500 Command not understood.'],
    ['SITE HELP', /^214-SITE commands:\n SITE CHMOD [^]*\n214 End\.$/],
    ['HELP', /^214-Commands:\n[^]* RETR [^]*\n214 HELP <command> shows the syntax of one\.$/],
    ['STAT', /^211-Status:\n Connected from 127\.0\.0\.1\n Logged in as alice\n[^]*\n211 End of status\.$/],
  ];
  for (const [command, answer] of dialogues) {
    it(`After the login, ${command || 'an empty line'} is answered ${String(answer)}`, () =>
      client.says(command, answer));
  }

  it('FEAT lists every feature, with the facts and the checksum algorithm in effect', async () => {
    await client.says('OPTS MLST type;size;', '200 MLST OPTS type;size;');
    await client.says('OPTS HASH SHA-1', '200 SHA-1');
    assert.deepEqual((await client.ask('FEAT')).split('\n'), [
      '211-Features:',
      ' CLNT',
      ' EPRT',
      ' EPSV',
      ' HASH CRC32;MD5;SHA-1*;SHA-256;SHA-512',
      ' HOST',
      ' LANG EN*',
      ' MDTM',
      ' MFMT',
      ' MLST type*;size*;modify;perm;',
      ' MODE Z',
      ' REST STREAM',
      ' SIZE',
      ' TVFS',
      ' UTF8',
      ' XCRC',
      ' XMD5',
      ' XSHA1',
      ' XSHA256',
      ' XSHA512',
      '211 End',
    ]);
  });

  it('STAT with a pathname lists it over the control connection', async () => {
    gateway.filesystem.putFile('/dir/one', 'x');
    assert.match(
      await client.ask('STAT dir'),
      /^213-Status of dir:\n -rw-r--r-- [^\n]* one\n213 End of status\.$/,
    );
    await client.says('STAT nowhere', '550 No such file or directory. [FILE-NOT-FOUND]');
  });
});

describe('before the login', () => {
  let gateway: TestGateway;
  let client: Dialogue;
  before(async () => {
    gateway = await startTestGateway();
    client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
  });
  after(async () => {
    client.destroy();
    await gateway.close();
  });

  const dialogues: readonly (readonly [command: string, answer: string | RegExp])[] = [
    ['SYST', /^215 /],
    ['NOOP', /^200 /],
    ['FEAT', /^211-/],
    ['HELP', /^214-/],
    ['OPTS UTF8 ON', '200 Names are in UTF-8 from now on.'],
    ['CLNT x', '200 Noted.'],
    ['HOST ftp.example.com', '220 Every host name is served here.'],
    ['HOST [2001:db8::1]', '220 Every host name is served here.'],
    ['HOST a b', '501 HOST needs a host name.'],
    ['STAT', /Not logged in/],
    ['STAT /', '530 Please log in with USER and PASS.'],
    ['ABOR', '226 ABOR command successful.'],
    ['PASS x', '503 Send USER first.'],
    ['USER', '501 USER needs a name.'],
    ['PWD', '530 Please log in with USER and PASS.'],
    ['PASV', '530 Please log in with USER and PASS.'],
    ['RETR x', '530 Please log in with USER and PASS.'],
    ['SITE CHMOD 644 x', '530 Please log in with USER and PASS.'],
    ['ACCT x', '530 Please log in with USER and PASS.'],
    ['TYPE I', '530 Please log in with USER and PASS.'],
  ];
  for (const [command, answer] of dialogues) {
    it(`Before the login, ${command} is answered ${String(answer)}`, () => client.says(command, answer));
  }
});

describe('what is announced for the next command', () => {
  let gateway: TestGateway;
  let client: Dialogue;
  before(async () => {
    gateway = await startTestGateway();
    gateway.filesystem.putFile('/f', '0123456789');
    client = await Dialogue.logIn({ port: gateway.controlPort });
    await client.says('TYPE I', '200 Type is image.');
  });
  after(async () => {
    client.destroy();
    await gateway.close();
  });

  it('The restart offset survives the commands that clients send between REST and the transfer', async () => {
    await client.says('REST 4', /^350 /);
    await client.says('TYPE I', /^200 /);
    await client.says('SIZE /f', '213 10');
    await client.says('PWD', /^257 /);
    await client.says('FEAT', /^211/);
    assert.equal(String(await client.download('RETR /f')), '456789');
  });

  it('The restart offset is used up by the transfer, even if it fails', async () => {
    await client.says('REST 4', /^350 /);
    const data = await client.passive();
    await client.says('RETR /nothing', '550 No such file or directory. [FILE-NOT-FOUND]');
    data.destroy();
    assert.equal(String(await client.download('RETR /f')), '0123456789');
  });

  it('The restart offset is used up by a listing', async () => {
    await client.says('REST 4', /^350 /);
    await client.download('LIST');
    assert.equal(String(await client.download('RETR /f')), '0123456789');
  });

  it('RNTO fails without an RNFR and when another command came in between', async () => {
    await client.says('RNTO /g', '503 Send RNFR first.');
    await client.says('RNFR /f', '350 Send RNTO with the new name.');
    await client.says('CWD /', /^250 /);
    await client.says('RNTO /g', '503 Send RNFR first.');
  });

  it('An upload whose size differs from the one that ALLO announced is not stored', async () => {
    await client.says('ALLO 5', '200 Noted.');
    const data = await client.passive();
    await client.says('STOR /short', /^150 /);
    data.end('four');
    data.resume();
    await client.expect(/^(?:426|451|55\d) /);
    assert.equal(gateway.filesystem.readFile('/short'), undefined);
    await client.says('ALLO 4', '200 Noted.');
    await client.upload('STOR /right', 'four');
    await client.says('ALLO 0', '200 Noted.');
    await client.upload('STOR /unknown', 'four');
  });
});
