import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { PasswordHash } from '../../src/users/password.ts';

const { signal } = new AbortController();
const text = await PasswordHash.create('päss word');

function parsed(hash = text): PasswordHash {
  return PasswordHash.parse(hash)!;
}

describe('password hash', () => {
  it('verifies its password, and no other, as often as asked', async () => {
    const hash = parsed();
    assert.equal(await hash.verify('pass word', signal), false);
    assert.equal(await hash.verify('päss word', signal), true);
    assert.equal(await hash.verify('päss word', signal), true);
    assert.equal(await hash.verify('päss word ', signal), false);
    assert.equal(await hash.verify('', signal), false);
  });

  it('takes a password for the same however its letters are composed', async () => {
    assert.equal(await parsed().verify('päss word'.normalize('NFD'), signal), true);
  });

  it('has a new salt each time', async () => {
    assert.notEqual(await PasswordHash.create('päss word'), text);
  });

  it('prints nothing of itself', () => {
    const hash = parsed();
    for (const shown of [String(hash), JSON.stringify({ hash }), inspect({ hash }, { showHidden: true })]) {
      assert.match(shown, /\[redacted\]/);
      assert.ok(!shown.includes(text.slice(-20)));
    }
  });

  it('has a decoy of its cost that no password fits', async () => {
    assert.equal(await parsed().decoy().verify('päss word', signal), false);
    assert.equal(await PasswordHash.decoy().verify('', signal), false);
  });

  const salt = 'A'.repeat(22);
  const key = 'A'.repeat(43);
  const refused = [
    ['a password in clear', 'secret'],
    ['another scheme', `bcrypt:N=16384,r=8,p=5:${salt}:${key}`],
    ['a cost that is no power of two', `scrypt:N=16385,r=8,p=5:${salt}:${key}`],
    ['too small a cost', `scrypt:N=512,r=8,p=1:${salt}:${key}`],
    ['more than 64 MiB', `scrypt:N=131072,r=8,p=1:${salt}:${key}`],
    ['more CPU than a login may cost', `scrypt:N=65536,r=8,p=100:${salt}:${key}`],
    ['a short salt', `scrypt:N=16384,r=8,p=5:AAAA:${key}`],
    ['a short key', `scrypt:N=16384,r=8,p=5:${salt}:AAAA`],
    ['something behind it', `${text}:x`],
  ] as const;
  for (const [what, hash] of refused) {
    it(`is not made of ${what}`, () => assert.equal(PasswordHash.parse(hash), undefined));
  }

  it('leaves the line when the session ends, and lets those behind it have their turn', async () => {
    const gone = new AbortController();
    // Two run at once, so the third waits.
    const running = [parsed().verify('a', signal), parsed().verify('b', signal)];
    const left = parsed().verify('c', gone.signal);
    const behind = parsed().verify('päss word', signal);
    gone.abort(new Error('gone'));
    await assert.rejects(left, new Error('gone'));
    assert.deepEqual(await Promise.all([...running, behind]), [false, false, true]);
  });
});
