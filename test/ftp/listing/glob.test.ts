import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compileGlob, hasWildcard } from '../../../src/ftp/listing/glob.ts';

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
    it(`${pattern} matches ${JSON.stringify(matching)}, not ${JSON.stringify(others)}`, () => {
      for (const name of matching) assert.equal(isMatch(name), true, name);
      for (const name of others) assert.equal(isMatch(name), false, name);
    });
  }

  it('is one only where it has a wildcard', () => {
    assert.deepEqual(['a*', 'a?', '[a'].map(hasWildcard), [true, true, true]);
    assert.deepEqual(['', 'a.b', 'a{b}', 'a]'].map(hasWildcard), [false, false, false, false]);
  });

  it('is matched in bounded time, whatever the pattern', () => {
    const isMatch = compileGlob(`${'*a'.repeat(500)}*b`);
    const startedAt = process.cpuUsage();
    assert.equal(isMatch('a'.repeat(1000)), false);
    const { user } = process.cpuUsage(startedAt);
    assert.ok(user < 1_000_000, `${user / 1000} ms of CPU`);
  });

  it('agrees with a regular expression where one is safe', () => {
    const letter = fc.constantFrom('a', 'b', '*', '?');
    fc.assert(
      fc.property(
        fc.string({ unit: letter, maxLength: 8 }),
        fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 10 }),
        (pattern, name) => {
          const expression = new RegExp(`^${pattern.replaceAll('*', '.*').replaceAll('?', '.')}$`);
          assert.equal(compileGlob(pattern)(name), expression.test(name));
        },
      ),
      { numRuns: 3_000 },
    );
  });
});
