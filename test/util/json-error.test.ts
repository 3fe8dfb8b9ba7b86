import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { jsonErrorPosition } from '../../src/util/json-error.ts';
import { Random } from '../support/random.ts';

describe('jsonErrorPosition', () => {
  for (const [text, line, column] of [
    ['', 1, 1],
    ['{"users": [}', 1, 12],
    ['{"users": [1,]}', 1, 14],
    ['{"users": []', 1, 13],
    ['{"users": []}}', 1, 14],
    ['{\n  "users": [\n    {"name" "alice"}\n  ]\n}', 3, 13],
    ["{'users': []}", 1, 2],
    ['{"a": "tab\there"}', 1, 7],
    ['[01]', 1, 3],
    ['// a comment\n{}', 1, 1],
    ['{"a":1,}', 1, 8],
    ['[', 1, 2],
  ] as const) {
    it(`The mistake in ${JSON.stringify(text)} is in line ${line}, column ${column}`, async () => {
      assert.deepEqual(await jsonErrorPosition(text), { line, column });
    });
  }

  it('A text has a mistake exactly where JSON.parse rejects it', async () => {
    const valid = '{"users": [{"name": "a\\u00e9\\n", "n": [-1.5e+3, true, null, {}, []]}, "x"]}';
    const random = new Random(20_260_101);
    for (let run = 0; run < 3_000; run++) {
      const at = random.below(valid.length);
      const inserted = random.below(2) === 0 ? '' : '{}[],:"\\0-1e tfn\n'[random.below(16)]!;
      const text = valid.slice(0, at) + inserted + valid.slice(at + random.below(3));
      let isValid = true;
      try {
        JSON.parse(text);
      } catch {
        isValid = false;
      }
      assert.equal((await jsonErrorPosition(text)) === undefined, isValid, text);
    }
  });

  it('A text of great depth does not overflow the stack', async () => {
    assert.deepEqual(await jsonErrorPosition('['.repeat(1_000_000)), { line: 1, column: 1_000_001 });
  });
});
