import assert from 'node:assert/strict';
import { it } from 'node:test';
import { renderConfigurationDocs } from '../../scripts/configuration-docs.ts';

it('The tables of variables in docs/configuration.md and README.md match the schema (npm run docs writes them)', async () => {
  const tables = await renderConfigurationDocs();
  assert.deepEqual(
    tables.map(({ file }) => file),
    ['docs/configuration.md', 'README.md'],
  );
  for (const { file, current, wanted } of tables) assert.equal(current, wanted, file);
});
