import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PasswordHash } from '../../../src/users/password.ts';

const program = fileURLToPath(new URL('../../../bin/hash-password.ts', import.meta.url));

async function run(input: string, ...args: readonly string[]) {
  const child = spawn(process.execPath, [program, ...args], { stdio: 'pipe' });
  child.stdin.end(input);
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number]>,
  ]);
  return { stdout, stderr, code };
}

describe('hash-password', () => {
  it('hash-password prints the hash for the users file of the password on standard input, without its line end', async () => {
    const { stdout, stderr, code } = await run('correct horse\n');
    assert.deepEqual([stderr, code], ['', 0]);
    const hash = PasswordHash.parse(stdout.trimEnd());
    assert.equal(await hash?.verify('correct horse'), true);
  });

  for (const [what, input, args, message] of [
    ['a password as an argument', '', ['secret'], /^Give no password as an argument/],
    ['an empty password', '\n', [], /^The password is empty/],
    ['one that FTP cannot send', 'two\nlines\n', [], /^The password holds a line break/],
  ] as const) {
    it(`hash-password refuses ${what}`, async () => {
      const { stdout, stderr, code } = await run(input, ...args);
      assert.equal(stdout, '');
      assert.match(stderr, message);
      assert.equal(code, 1);
    });
  }
});
