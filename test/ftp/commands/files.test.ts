/** Commands on files and directories by name, on their times and checksums, and the permissions of each kind of user. */
import assert from 'node:assert/strict';
import { after, beforeEach, afterEach, describe, it } from 'node:test';
import type { PermissionSet } from '../../../src/users/user.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { LeakCheck } from '../../support/leak-check.ts';

const leaks = new LeakCheck();
after(() => leaks.assertNothingLeft());

const permissionDenied = '550 Permission denied. [FILE-PERMISSION]';
const noSuchFile = '550 No such file or directory. [FILE-NOT-FOUND]';
const password = 'secret';
const users = (['read-write', 'read-only', 'write-only'] as const).map((permissions) => ({
  name: permissions,
  password,
  permissions,
}));

let gateway: TestGateway;
let client: Dialogue;

async function logIn(permissions: PermissionSet): Promise<void> {
  gateway = await startTestGateway({ users });
  gateway.filesystem.putFile('/dir/a file', 'content', new Date('2024-02-29T12:34:56Z'));
  gateway.filesystem.putDirectory('/empty');
  client = await Dialogue.logIn({ port: gateway.controlPort }, permissions);
}

async function leave(): Promise<void> {
  client.destroy();
  await gateway.close();
}

describe('a user who may do everything', () => {
  beforeEach(() => logIn('read-write'));
  afterEach(leave);

  it('A user with all permissions changes directories with CWD, CDUP and their older names, and PWD shows the result', async () => {
    await client.says('PWD', '257 "/" is the current directory.');
    await client.says('CWD dir', '250 The current directory is "/dir".');
    await client.says('XPWD', '257 "/dir" is the current directory.');
    await client.says('CDUP', '250 The current directory is "/".');
    await client.says('XCWD /empty/', '250 The current directory is "/empty".');
    await client.says('XCUP', '250 The current directory is "/".');
    await client.says('CDUP', '250 The current directory is "/".');
    await client.says('CWD ../../dir/../dir', '250 The current directory is "/dir".');
    await client.says('CWD nowhere', noSuchFile);
    await client.says('CWD a file', '550 It is not a directory. [FILE-TYPE]');
    await client.says('CWD', '501 A pathname is needed.');
    await client.says('PWD', '257 "/dir" is the current directory.');
  });

  it('A user with all permissions makes and removes directories, and replies double the quotes in their names', async () => {
    await client.says('MKD say "hi"', '257 "/say ""hi""" created.');
    await client.says('MKD say "hi"', '550 The name exists already. [FILE-EXISTS]');
    await client.says('CWD say "hi"', '250 The current directory is "/say ""hi""".');
    await client.says('CDUP', /^250 /);
    await client.says('RMD say "hi"', '250 Directory removed.');
    await client.says('XMKD x', '257 "/x" created.');
    await client.says('XRMD x', '250 Directory removed.');
    await client.says('RMD dir', '550 The directory is not empty. [FILE-NOT-EMPTY]');
    await client.says('RMD dir/a file', '550 It is not a directory. [FILE-TYPE]');
    await client.says('RMD nowhere', noSuchFile);
    await client.says('RMD /', permissionDenied);
    await client.says('MKD dir', '550 The name exists already. [FILE-EXISTS]');
  });

  it('DELE deletes files, but not directories', async () => {
    await client.says('DELE empty', '550 It is a directory. [FILE-TYPE]');
    await client.says('DELE nothing', noSuchFile);
    await client.says('DELE dir/a file', '250 File deleted.');
    assert.equal(gateway.filesystem.readFile('/dir/a file'), undefined);
  });

  it('A user with all permissions renames directories and files, even onto existing files', async () => {
    gateway.filesystem.putFile('/other', 'x');
    await client.says('RNFR dir/a file', '350 Send RNTO with the new name.');
    await client.says('RNTO other', '250 Renamed.');
    assert.equal(String(gateway.filesystem.readFile('/other')), 'content');
    await client.says('RNFR nothing', noSuchFile);
    await client.says('RNFR empty', '350 Send RNTO with the new name.');
    await client.says('RNTO full', '250 Renamed.');
    await client.says('RNFR full', '350 Send RNTO with the new name.');
    await client.says('RNTO full/below', '553 The name is not allowed. [FILE-NAME]');
  });

  it('SIZE and MDTM show the size and the time of a file, in TYPE A too', async () => {
    for (const type of ['A', 'I']) {
      await client.says(`TYPE ${type}`, /^200 /);
      await client.says('SIZE dir/a file', '213 7');
      await client.says('MDTM dir/a file', '213 20240229123456');
    }
    await client.says('SIZE dir', '550 It is a directory. [FILE-TYPE]');
    await client.says('SIZE nothing', noSuchFile);
    await client.says('MDTM dir', '550 It is a directory. [FILE-TYPE]');
    await client.says('MDTM nothing', noSuchFile);
  });

  it('A modification time can be set with each command that clients use, and a rename keeps it', async () => {
    await client.says('MFMT 20200102030405 dir/a file', '213 Modify=20200102030405; dir/a file');
    await client.says('MDTM dir/a file', '213 20200102030405');
    await client.says('MDTM 20200102030406 dir/a file', '253 The time is set.');
    await client.says('MDTM dir/a file', '213 20200102030406');
    await client.says('SITE UTIME 202001020304 dir/a file', '200 The time is set.');
    await client.says('MDTM dir/a file', '213 20200102030400');
    const times = '20210101000000 20200102030408 20210101000000 UTC';
    await client.says(`SITE UTIME dir/a file ${times}`, '200 The time is set.');
    await client.says('MDTM dir/a file', '213 20200102030408');
    await client.says('RNFR dir/a file', /^350 /);
    await client.says('RNTO b', '250 Renamed.');
    await client.says('MDTM b', '213 20200102030408');
    await client.says('MFMT 20200102030405 nothing', noSuchFile);
    await client.says('MFMT 20201302030405 b', '501 The time must be YYYYMMDDhhmmss in UTC.');
    await client.says('MFMT 20210229000000 b', '501 The time must be YYYYMMDDhhmmss in UTC.');
    await client.says('MFMT now b', '501 The time must be YYYYMMDDhhmmss in UTC.');
    await client.says('SITE UTIME b', '501 The time must be YYYYMMDDhhmmss in UTC.');
  });

  it('A user with all permissions can ask for checksums', async () => {
    await client.says(
      'HASH dir/a file',
      '213 SHA-256 0-7 ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73 /dir/a file',
    );
    await client.says('XMD5 dir/a file', '250 9A0364B9E99BB480DD25E1F0284C8555');
    await client.says('XSHA1 "dir/a file"', '250 040F06FD774092478D450774F5BA30C5DA78ACC8');
    await client.says('XCRC "dir/a file" 0 3', /^250 [0-9A-F]{8}$/);
    await client.says('XCRC dir', '550 It is a directory. [FILE-TYPE]');
    await client.says(
      'XCRC "dir/a file" 0 99',
      '554 The restart offset is beyond the end of the file. [FILE-OFFSET]',
    );
    await client.says('HASH nothing', noSuchFile);
  });

  it('SITE CHMOD is accepted and changes nothing', async () => {
    await client.says('SITE CHMOD 644 dir/a file', '200 Files have no modes here; nothing was changed.');
    await client.says('SITE CHMOD 0755 ./dir', '200 Files have no modes here; nothing was changed.');
    await client.says('SITE CHMOD 644 nothing', noSuchFile);
    await client.says('SITE CHMOD u+x dir', '501 A pathname is needed.');
  });

  it('A name that S3 cannot store is refused', async () => {
    await client.says(`MKD ${'x'.repeat(1025)}`, '553 The name is not allowed. [FILE-NAME]');
  });
});

describe('a user who may only read', () => {
  beforeEach(() => logIn('read-only'));
  afterEach(leave);

  it('A read-only user cannot change anything', async () => {
    const refused = [
      'MKD x',
      'RMD empty',
      'DELE dir/a file',
      'RNFR dir/a file',
      'RNTO x',
      'MFMT 20200102030405 dir/a file',
      'MDTM 20200102030405 dir/a file',
      'SITE UTIME 202001020304 dir/a file',
      'STOR x',
      'APPE dir/a file',
      'STOU',
    ];
    for (const command of refused) await client.says(command, permissionDenied);
    await client.says('SIZE dir/a file', '213 7');
    assert.equal(String(await client.download('RETR dir/a file')), 'content');
    assert.deepEqual(gateway.filesystem.pathnames(), ['/dir/', '/dir/a file', '/empty/']);
  });
});

describe('a drop box', () => {
  beforeEach(() => logIn('write-only'));
  afterEach(leave);

  it('A write-only user can upload files and make directories, but sees nothing that is there', async () => {
    await client.says('CWD dir', '250 The current directory is "/dir".');
    await client.upload('STOR new', 'x');
    await client.says('MKD below', '257 "/dir/below" created.');
    await client.says('CWD a file', noSuchFile);
    const refused = [
      'SIZE a file',
      'MDTM a file',
      'MDTM 20200102030405 a file',
      'MFMT 20200102030405 new',
      'RETR a file',
      'RETR nothing',
      'DELE a file',
      'DELE nothing',
      'RNFR a file',
      'RMD below',
      'LIST',
      'NLST',
      'MLSD',
      'MLST',
      'STAT .',
      'HASH a file',
      'XCRC a file',
      'SITE CHMOD 644 a file',
      'SITE UTIME 202001020304 a file',
    ];
    for (const command of refused) await client.says(command, permissionDenied);
    const data = await client.passive();
    await client.says('STOR a file', /^550 /);
    data.destroy();
    assert.equal(String(gateway.filesystem.readFile('/dir/a file')), 'content');
  });
});
