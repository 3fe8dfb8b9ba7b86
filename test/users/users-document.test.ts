import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseUsersDocument } from '../../src/users/users-document.ts';

const password = `scrypt:N=16384,r=8,p=5:${'A'.repeat(22)}:${'A'.repeat(43)}`;
const alice = {
  name: 'alice',
  password,
  home: { bucket: 'homes', prefix: 'alice/' },
  permissions: 'read-write',
};
const defaultHome = { bucket: 'common', prefix: 'in/' };

function parse(users: readonly unknown[], home: Parameters<typeof parseUsersDocument>[1] = defaultHome) {
  return parseUsersDocument(JSON.stringify({ users }), home);
}

describe('users file', () => {
  it('The users file defines names, homes and permissions', async () => {
    const { accounts, problems } = await parse([alice]);
    assert.deepEqual(problems, []);
    assert.deepEqual(accounts.get('alice')?.user, {
      name: 'alice',
      home: { bucket: 'homes', prefix: 'alice/' },
      permissions: 'read-write',
    });
  });

  it('The users file gives a user without a home the default one, and a home without a bucket its bucket', async () => {
    const homeless = { ...alice, home: undefined };
    const { accounts } = await parse([homeless, { ...alice, name: 'bob', home: { prefix: 'bob/' } }]);
    assert.deepEqual(accounts.get('alice')?.user.home, { bucket: 'common', prefix: 'in/' });
    assert.deepEqual(accounts.get('bob')?.user.home, { bucket: 'common', prefix: 'bob/' });
  });

  it('The users file defines how S3 stores uploads', async () => {
    const storage = {
      encryption: { algorithm: 'aws:kms', keyId: 'alias/ftp' },
      storageClass: 'STANDARD_IA',
      contentTypes: { edi: 'application/EDIFACT' },
      tags: { partner: 'alice' },
    };
    const { accounts, problems } = await parse([{ ...alice, home: { ...alice.home, storage } }]);
    assert.deepEqual(problems, []);
    assert.deepEqual(accounts.get('alice')?.user.home.storage, storage);
  });

  const wrong: readonly (readonly [entry: object, problem: string])[] = [
    [
      { ...alice, home: { bucket: 'homes', prefix: 'alice' } },
      'users[0] "alice": home.prefix must end in "/": expected "alice/", got "alice"',
    ],
    [
      { ...alice, password: 'in clear' },
      'users[0] "alice": password must be what "npm run hash-password" prints',
    ],
    [{ ...alice, password: undefined }, 'users[0] "alice": password is missing or not a string'],
    [
      { ...alice, permissions: 'all' },
      'users[0] "alice": permissions must be "read-only" or "write-only" or "read-write"',
    ],
    [{ ...alice, shell: '/bin/sh' }, 'users[0] "alice": unknown field "shell"'],
    [{ ...alice, home: { ...alice.home, bukket: 'x' } }, 'users[0] "alice": unknown field "home.bukket"'],
    [{ ...alice, name: 'a\r\nb' }, 'users[0] "a\\r\\nb": name must be 1 to 256 printable characters'],
    [{ ...alice, name: 7 }, 'users[0]: name must be a string'],
    [
      { ...alice, home: { ...alice.home, storage: { storageClass: 'COLD' } } },
      'users[0] "alice": home.storage.storageClass must be "STANDARD" or "STANDARD_IA" or "ONEZONE_IA" or "INTELLIGENT_TIERING" or "GLACIER_IR" or "GLACIER" or "DEEP_ARCHIVE"',
    ],
  ];
  for (const [entry, problem] of wrong) {
    it(`The users file reports a problem: ${problem}`, async () => {
      const { accounts, problems } = await parse([entry, { ...alice, name: 'bob' }]);
      assert.deepEqual(problems, [problem]);
      assert.deepEqual([...accounts.keys()], ['bob'], 'others are not shut out');
    });
  }

  it('The users file reports a home without a bucket when there is no default', async () => {
    const { problems } = await parse([{ ...alice, home: { prefix: 'a/' } }], {
      bucket: undefined,
      prefix: '',
    });
    assert.deepEqual(problems, ['users[0] "alice": home.bucket is missing, and S3_BUCKET names no default']);
  });

  it('The users file refuses both of two users with the same name', async () => {
    const { accounts, problems } = await parse([alice, { ...alice, name: 'bob' }, alice]);
    assert.deepEqual([...accounts.keys()], ['bob']);
    assert.deepEqual(problems, ['users[2] "alice": the name is taken by users[0]; neither can log in']);
  });

  it('The users file gives no special meaning to names of object properties', async () => {
    const { accounts } = await parse([{ ...alice, name: '__proto__' }]);
    assert.equal(accounts.get('__proto__')?.user.name, '__proto__');
    assert.equal(accounts.get('constructor'), undefined);
  });

  for (const [text, message] of [
    ['{"users": [}', 'it is not JSON: the mistake is in line 1, column 12'],
    ['[]', 'it must be an object'],
    ['{}', 'users is missing or not an array'],
    ['{"users": [], "groups": []}', 'unknown field "groups"'],
  ] as const) {
    it(`The users file ${text} is refused as a whole`, async () => {
      await assert.rejects(parseUsersDocument(text, defaultHome), new Error(message));
    });
  }
});
