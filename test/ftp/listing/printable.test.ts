import assert from 'node:assert/strict';
import { it } from 'node:test';
import { printable } from '../../../src/ftp/listing/format.ts';

for (const [what, name, shown] of [
  ['line ends and a DEL', 'a\r\nb\x7f', 'a??b?'],
  ['C1 controls, which are commands to a terminal', 'a\u009b31mb\u0085c', 'a?31mb?c'],
  ['line and paragraph separators', 'a\u2028b\u2029c', 'a?b?c'],
  ['an override that shows gpj.exe as exe.jpg', 'photo\u202egpj.exe', 'photo?gpj.exe'],
  ['embeddings and isolates', '\u202aa\u202c\u2066b\u2069', '?a??b?'],
  [
    'letters of any language, marks and joiners',
    'é日本\u200d🎉\u200eשלום\u200cx',
    'é日本\u200d🎉\u200eשלום\u200cx',
  ],
] as const) {
  it(`A name in a listing shows ${what} as ${JSON.stringify(shown)}`, () => {
    assert.equal(printable(name), shown);
  });
}
