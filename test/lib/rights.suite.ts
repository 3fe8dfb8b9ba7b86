import assert from 'node:assert/strict';
import { it } from 'node:test';
import { renderRights } from '../../scripts/rights.ts';

it('The table of rights in docs/operations.md matches the template (scripts/rights.ts writes it)', async () => {
  const { current, wanted } = await renderRights();
  assert.equal(current, wanted);
});
