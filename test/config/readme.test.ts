import assert from 'node:assert/strict';
import { it } from 'node:test';
import { renderReadme } from '../../scripts/readme-configuration.ts';

it('The table of variables in the README is generated from the schema (node scripts/readme-configuration.ts writes it)', async () => {
  const { current, wanted } = await renderReadme();
  assert.equal(current, wanted);
});
