import assert from 'node:assert/strict';
import crypto, { scryptSync } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { PasswordHash } from '../../src/users/password.ts';

const { signal } = new AbortController();
const text = await PasswordHash.create('päss word');
/** The least cost that a hash may have. */
const cheap = `scrypt:N=1024,r=1,p=1:${'A'.repeat(22)}:${scryptSync('päss word', Buffer.alloc(16), 32, { N: 1024, r: 1, p: 1 }).toString('base64url')}`;

function parsed(hash = cheap): PasswordHash {
  return PasswordHash.parse(hash)!;
}

describe('password hash', () => {
  it('A password hash verifies its password and no other, any number of times', async () => {
    const hash = parsed(text);
    assert.equal(await hash.verify('pass word', signal), false);
    assert.equal(await hash.verify('päss word', signal), true);
    assert.equal(await hash.verify('päss word', signal), true);
    assert.equal(await hash.verify('päss word ', signal), false);
    assert.equal(await hash.verify('', signal), false);
  });

  it('A password hash accepts a password in any Unicode normalization', async () => {
    assert.equal(await parsed().verify('päss word'.normalize('NFD'), signal), true);
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
    ['a cost of more than 64 MiB of memory', `scrypt:N=131072,r=8,p=1:${salt}:${key}`],
    ['a cost above the limit for a login', `scrypt:N=65536,r=8,p=100:${salt}:${key}`],
    ['a short salt', `scrypt:N=16384,r=8,p=5:AAAA:${key}`],
    ['a short key', `scrypt:N=16384,r=8,p=5:${salt}:AAAA`],
    ['a hash with trailing text', `${text}:x`],
  ] as const;
  for (const [what, hash] of refused) {
    it(`PasswordHash.parse() refuses ${what}`, () => assert.equal(PasswordHash.parse(hash), undefined));
  }

  it('A verification that waits is cancelled when its session ends, and the next ones proceed', async () => {
    const gone = new AbortController();
    // Two run at once, so the third waits.
    const running = [parsed().verify('a', signal), parsed().verify('b', signal)];
    const left = parsed().verify('c', gone.signal);
    const behind = parsed().verify('päss word', signal);
    gone.abort(new Error('gone'));
    await assert.rejects(left, new Error('gone'));
    assert.deepEqual(await Promise.all([...running, behind]), [false, false, true]);
  });

  it('A password that many logins verify at the same time is hashed once or twice, and a wrong one each time', async (t) => {
    const hashed = t.mock.method(crypto, 'scrypt');
    syncBuiltinESMExports();
    t.after(() => {
      hashed.mock.restore();
      syncBuiltinESMExports();
    });
    const hash = parsed();
    const many = (password: string) =>
      Promise.all(Array.from({ length: 50 }, () => hash.verify(password, signal)));
    assert.ok((await many('päss word')).every((isRight) => isRight));
    // Two hashes run at a time, so two may start before the first of them ends.
    assert.ok(hashed.mock.callCount() <= 2, `${hashed.mock.callCount()} hashes`);
    hashed.mock.resetCalls();
    assert.ok((await many('wrong')).every((isRight) => !isRight));
    assert.equal(hashed.mock.callCount(), 50);
  });
});
