import assert from 'node:assert/strict';
import { it } from 'node:test';
import { renderReadme } from '../../scripts/readme-configuration.ts';

it("README's table of variables is the schema's (node scripts/readme-configuration.ts writes it)", async () => {
  const { current, wanted } = await renderReadme();
  assert.equal(current, wanted);
});
