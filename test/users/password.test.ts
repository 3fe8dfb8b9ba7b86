import assert from 'node:assert/strict';
import { scryptSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { PasswordHash } from '../../src/users/password.ts';

const text = await PasswordHash.create('päss word');
/** The least cost that a hash may have. */
const cheap = `scrypt:N=1024,r=1,p=1:${'A'.repeat(22)}:${scryptSync('päss word', Buffer.alloc(16), 32, { N: 1024, r: 1, p: 1 }).toString('base64url')}`;

function parsed(hash = cheap): PasswordHash {
  return PasswordHash.parse(hash)!;
}

describe('password hash', () => {
  it('A password hash verifies its password and no other, any number of times', async () => {
    const hash = parsed(text);
    assert.equal(await hash.verify('pass word'), false);
    assert.equal(await hash.verify('päss word'), true);
    assert.equal(await hash.verify('päss word'), true);
    assert.equal(await hash.verify('päss word '), false);
    assert.equal(await hash.verify(''), false);
  });

  it('A password hash accepts a password in any Unicode normalization', async () => {
    assert.equal(await parsed().verify('päss word'.normalize('NFD')), true);
  });

  it('A password hash gets a new salt each time', async () => {
    assert.notEqual(await PasswordHash.create('päss word'), text);
  });

  it('A password hash reveals nothing of itself when it is printed', () => {
    const hash = parsed(text);
    for (const shown of [String(hash), JSON.stringify({ hash }), inspect({ hash }, { showHidden: true })]) {
      assert.match(shown, /\[redacted\]/);
      assert.ok(!shown.includes(text.slice(-20)));
    }
  });

  it('A decoy hash costs as much as a real one and matches no password', async () => {
    assert.equal(await parsed().decoy().verify('päss word'), false);
    assert.equal(await PasswordHash.decoy().verify(''), false);
  });

  const salt = 'A'.repeat(22);
  const key = 'A'.repeat(43);
  const refused = [
    ['a password in clear', 'secret'],
    ['another scheme', `bcrypt:N=16384,r=8,p=5:${salt}:${key}`],
    ['a cost that is no power of two', `scrypt:N=16385,r=8,p=5:${salt}:${key}`],
    ['too small a cost', `scrypt:N=512,r=8,p=1:${salt}:${key}`],
    ['a cost of more than 64 MiB of memory', `scrypt:N=131072,r=8,p=1:${salt}:${key}`],
    ['a cost above the limit for a login', `scrypt:N=65536,r=8,p=100:${salt}:${key}`],
    ['a short salt', `scrypt:N=16384,r=8,p=5:AAAA:${key}`],
    ['a short key', `scrypt:N=16384,r=8,p=5:${salt}:AAAA`],
    ['a hash with trailing text', `${text}:x`],
  ] as const;
  for (const [what, hash] of refused) {
    it(`PasswordHash.parse() refuses ${what}`, () => assert.equal(PasswordHash.parse(hash), undefined));
  }

  it('A password hash remembers the last correct password, and no wrong one', async () => {
    const hash = parsed();
    assert.equal(hash.isRemembered('päss word'), false);
    await hash.verify('päss word');
    await hash.verify('wrong');
    assert.equal(hash.isRemembered('päss word'), true);
    assert.equal(hash.isRemembered('wrong'), false);
  });

  it('Two password hashes are equal where cost, salt and key are', () => {
    assert.ok(parsed().equals(parsed()));
    assert.ok(!parsed().equals(parsed(text)));
    assert.ok(!parsed().equals(parsed().decoy()));
  });
});
