import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compileGlob as compile, hasWildcard, maxGlobCharacters } from '../../../src/ftp/listing/glob.ts';

function compileGlob(pattern: string): (name: string) => boolean {
  const isMatch = compile(pattern);
  assert.ok(isMatch, 'the pattern is short enough');
  return isMatch;
}

describe('a glob', () => {
  for (const [pattern, matching, others] of [
    ['*', ['', 'a', '.hidden', 'ä🎉'], []],
    ['*.txt', ['a.txt', '.txt', 'a.b.txt'], ['a.txt2', 'atxt', 'a.TXT']],
    ['a*b*c', ['abc', 'aXbYc', 'abbcc', 'abcbc'], ['ab', 'acb', 'abcd']],
    ['?', ['a', 'ä', '🎉'], ['', 'ab']],
    ['report-??.csv', ['report-01.csv'], ['report-1.csv', 'report-001.csv']],
    ['[abc].txt', ['a.txt', 'c.txt'], ['d.txt', '.txt', 'ab.txt']],
    ['[a-c0-9]', ['b', '5'], ['d', '-']],
    ['[!a-c]', ['d', '-'], ['a', '']],
    ['[^a-c]', ['d'], ['b']],
    ['[]x]', [']', 'x'], ['[']],
    ['[a-]', ['a', '-'], ['b']],
    ['[!]]', ['a'], [']']],
    ['[abc', ['[abc'], ['a']],
    ['a[z-a]', [], ['am', 'az']],
    ['(a+)+$', ['(a+)+$'], ['aa']],
    ['a\\b.c', ['a\\b.c'], ['ab.c', 'a\\bxc']],
  ] as const) {
    const isMatch = compileGlob(pattern);
    it(`The glob ${pattern} matches ${JSON.stringify(matching)}, but not ${JSON.stringify(others)}`, () => {
      for (const name of matching) assert.equal(isMatch(name), true, name);
      for (const name of others) assert.equal(isMatch(name), false, name);
    });
  }

  it('A pattern is a glob only if it has a wildcard', () => {
    assert.deepEqual(['a*', 'a?', '[a'].map(hasWildcard), [true, true, true]);
    assert.deepEqual(['', 'a.b', 'a{b}', 'a]'].map(hasWildcard), [false, false, false, false]);
  });

  for (const [what, pattern, name] of [
    ['250 runs', `${'*a'.repeat(120)}*b`, 'a'.repeat(1024)],
    ['17 sets', `*${'[b-zA-Za]'.repeat(17)}Z`, 'a'.repeat(1024)],
    ['a long literal behind a run', `*${'a'.repeat(254)}b`, 'a'.repeat(1024)],
  ] as const) {
    it(`A glob with ${what} takes at most ten times as long as a short one to match long names`, () => {
      const [hostile, simple] = [compileGlob(pattern), compileGlob('*.csv')];
      const cpuUs = (isMatch: (name: string) => boolean): number => {
        const startedAt = process.threadCpuUsage();
        for (let round = 0; round < 300; round++) assert.equal(isMatch(name), false);
        const { user, system } = process.threadCpuUsage(startedAt);
        return user + system;
      };
      // Code that runs for the first time is slower.
      for (let round = 0; round < 10; round++) cpuUs(hostile);
      const [hostileUs, simpleUs] = [cpuUs(hostile), cpuUs(simple)];
      assert.ok(hostileUs < 10 * simpleUs, `${hostileUs} µs instead of ${simpleUs} µs`);
    });
  }

  it('A pattern of more than 256 characters is no glob', () => {
    assert.equal(compile('*'.repeat(maxGlobCharacters + 1)), undefined);
    assert.equal(compileGlob(`*${'🎉'.repeat(maxGlobCharacters - 1)}`)('🎉'.repeat(maxGlobCharacters)), true);
  });

  it('A glob agrees with the equivalent regular expression', () => {
    const letter = fc.constantFrom('a', 'b', '*', '?', '[ab]', '[!b]');
    fc.assert(
      fc.property(
        fc.string({ unit: letter, maxLength: 40 }),
        fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 50 }),
        (pattern, name) => {
          const expression = new RegExp(
            `^${pattern.replaceAll('*', '.*').replaceAll('?', '.').replaceAll('!', '^')}$`,
          );
          assert.equal(compileGlob(pattern)(name), expression.test(name));
        },
      ),
      { numRuns: 3_000 },
    );
  });
});
