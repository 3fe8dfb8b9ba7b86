import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseListArgument } from '../../../src/ftp/listing/list-argument.ts';
import {
  formatFactFeature,
  formatFactNames,
  formatListLine,
  formatMlstEntry,
  formatTimeValue,
  mlstFacts,
  selectFacts,
} from '../../../src/ftp/listing/format.ts';
import type { Entry } from '../../../src/filesystem/filesystem.ts';
import type { PermissionSet, User } from '../../../src/users/user.ts';

function user(permissions: PermissionSet): User {
  return { name: 'alice', home: { bucket: 'b', prefix: '' }, permissions };
}

function file(name: string, sizeBytes: number, modifiedAt: string): Entry {
  return { name, type: 'file', sizeBytes, modifiedAt: new Date(modifiedAt) };
}

function directory(name: string, modifiedAt: string): Entry {
  return { name, type: 'directory', sizeBytes: 0, modifiedAt: new Date(modifiedAt) };
}

const now = Date.parse('2026-03-15T12:00:00Z');

describe('a line of LIST', () => {
  for (const [entry, permissions, line] of [
    [
      file('a.txt', 123, '2026-03-01T08:05:59Z'),
      'read-write',
      '-rw-r--r-- 1 ftp      ftp               123 Mar 01 08:05 a.txt',
    ],
    [
      file('a.txt', 123, '2026-03-01T08:05:59Z'),
      'read-only',
      '-r--r--r-- 1 ftp      ftp               123 Mar 01 08:05 a.txt',
    ],
    [
      directory('dir with spaces', '2025-01-02T03:04:05Z'),
      'read-write',
      'drwxr-xr-x 2 ftp      ftp                 0 Jan 02  2025 dir with spaces',
    ],
    [
      directory('d', '2025-12-31T23:59:59Z'),
      'read-only',
      'dr-xr-xr-x 2 ftp      ftp                 0 Dec 31 23:59 d',
    ],
    [
      file('huge', 53_687_091_200_000, '1999-12-31T23:59:59Z'),
      'read-write',
      '-rw-r--r-- 1 ftp      ftp      53687091200000 Dec 31  1999 huge',
    ],
    [
      file('by a clock that is ahead', 1, '2026-03-15T12:01:00Z'),
      'read-write',
      '-rw-r--r-- 1 ftp      ftp                 1 Mar 15 12:01 by a clock that is ahead',
    ],
    [
      file('from the future', 1, '2026-03-15T12:01:01Z'),
      'read-write',
      '-rw-r--r-- 1 ftp      ftp                 1 Mar 15  2026 from the future',
    ],
    [
      file('six months and a day', 1, '2025-09-12T00:00:00Z'),
      'read-write',
      '-rw-r--r-- 1 ftp      ftp                 1 Sep 12  2025 six months and a day',
    ],
    [
      file('ä\r\n-rw forged', 1, '2026-03-15T11:00:00Z'),
      'read-write',
      '-rw-r--r-- 1 ftp      ftp                 1 Mar 15 11:00 ä??-rw forged',
    ],
  ] as const) {
    it(line, () => assert.equal(formatListLine(entry, user(permissions), now), line));
  }
});

describe('a line of LIST at the turn of a year', () => {
  for (const [clock, modifiedAt, shown] of [
    ['2026-12-31T23:59:59Z', '2026-12-31T23:59:59Z', 'Dec 31 23:59'],
    ['2027-01-01T00:00:00Z', '2026-12-31T23:59:59Z', 'Dec 31 23:59'],
    ['2027-01-01T00:00:00Z', '2027-01-01T00:00:00Z', 'Jan 01 00:00'],
    // The clock of S3 may be ahead of the gateway's.
    ['2026-12-31T23:59:59Z', '2027-01-01T00:00:00Z', 'Jan 01 00:00'],
    ['2026-12-31T23:59:59Z', '2027-01-01T00:01:00Z', 'Jan 01  2027'],
    ['2027-01-01T00:00:00Z', '2026-07-03T00:00:00Z', 'Jul 03 00:00'],
    ['2027-01-01T00:00:00Z', '2026-07-02T00:00:00Z', 'Jul 02  2026'],
    ['2027-01-01T00:00:00Z', '2026-01-01T00:00:00Z', 'Jan 01  2026'],
    ['2028-02-29T12:00:00Z', '2028-02-29T11:59:00Z', 'Feb 29 11:59'],
    ['2028-03-01T00:00:00Z', '2024-02-29T12:00:00Z', 'Feb 29  2024'],
  ] as const) {
    it(`a file of ${modifiedAt} is listed as ${shown} at ${clock}`, () => {
      const line = formatListLine(file('f', 1, modifiedAt), user('read-write'), Date.parse(clock));
      assert.equal(line, `-rw-r--r-- 1 ftp      ftp                 1 ${shown} f`);
    });
  }
});

describe('an entry of MLSD', () => {
  const entry = file('a b.txt', 123, '2026-03-01T08:05:59.999Z');
  const folder = directory('d', '2026-03-01T08:05:59Z');
  for (const [given, permissions, facts, line] of [
    [entry, 'read-write', mlstFacts, 'type=file;size=123;modify=20260301080559;perm=adfrw; a b.txt'],
    [entry, 'read-only', mlstFacts, 'type=file;size=123;modify=20260301080559;perm=r; a b.txt'],
    [folder, 'read-write', mlstFacts, 'type=dir;modify=20260301080559;perm=cdeflmp; d'],
    [folder, 'read-only', mlstFacts, 'type=dir;modify=20260301080559;perm=el; d'],
    [entry, 'read-write', ['size', 'modify'], 'size=123;modify=20260301080559; a b.txt'],
    [entry, 'read-write', [], ' a b.txt'],
  ] as const) {
    it(line, () => assert.equal(formatMlstEntry(given, given.name, user(permissions), facts), line));
  }
});

describe('OPTS MLST', () => {
  for (const [argument, names, feature] of [
    ['type;size;modify;perm;', 'type;size;modify;perm;', 'type*;size*;modify*;perm*;'],
    ['Size;TYPE;', 'type;size;', 'type*;size*;modify;perm;'],
    ['unique;UNIX.mode;modify;', 'modify;', 'type;size;modify*;perm;'],
    ['', '', 'type;size;modify;perm;'],
  ] as const) {
    it(`${argument} selects ${names}`, () => {
      const facts = selectFacts(argument);
      assert.equal(formatFactNames(facts), names);
      assert.equal(formatFactFeature(facts), feature);
    });
  }
});

describe('a time value', () => {
  it('is in GMT', () => {
    assert.equal(formatTimeValue(new Date('2026-01-02T03:04:05.678+05:00')), '20260101220405');
  });
});

describe('the argument of LIST', () => {
  for (const [argument, recursive, pathname] of [
    ['', false, ''],
    ['-a', false, ''],
    ['-la', false, ''],
    ['-al', false, ''],
    ['-aL', false, ''],
    ['-1', false, ''],
    ['-a -l', false, ''],
    ['-la dir', false, 'dir'],
    ['-l -a dir name -x', false, 'dir name -x'],
    ['-R /', true, '/'],
    ['-lR sub', true, 'sub'],
    ['-- -la', false, '-la'],
    ['-l -- -R', false, '-R'],
    ['-plan.txt', false, '-plan.txt'],
    ['-', false, '-'],
    ['dir -la', false, 'dir -la'],
    ['*.txt', false, '*.txt'],
  ] as const) {
    it(`${JSON.stringify(argument)} names ${JSON.stringify(pathname)}`, () => {
      assert.deepEqual(parseListArgument(argument), { recursive, pathname });
    });
  }
});
