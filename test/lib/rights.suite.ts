import assert from 'node:assert/strict';
import { it } from 'node:test';
import { renderRights } from '../../scripts/rights.ts';

it('the table of rights in docs/operations.md is the one of the template; write it with scripts/rights.ts', async () => {
  const { current, wanted } = await renderRights();
  assert.equal(current, wanted);
});
