import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { renderLogDocs } from '../../scripts/log-docs.ts';

describe('docs/log.md', () => {
  it('docs/log.md has every event, field and metric of the source; `npm run docs` writes it', async () => {
    const { current, wanted } = await renderLogDocs();
    assert.equal(current, wanted);
  });

  it('docs/log.md says of every field of every event what it means', async () => {
    const { wanted } = await renderLogDocs();
    const rows = [...wanted.matchAll(/^\| `(\w+)` +\| (?:always|sometimes) +\|(.*)\|$/gm)];
    assert.ok(rows.length > 150, `${rows.length} fields`);
    const silent = rows.filter(([, , cells]) => /\| *$/.test(cells!)).map(([row]) => row);
    assert.deepEqual(silent, []);
  });

  it('docs/log.md says of every event what it means', async () => {
    const { wanted } = await renderLogDocs();
    const silent = [...wanted.matchAll(/^### (\S+)\n\n(?=\||```)/gm)].map(([, name]) => name);
    assert.deepEqual(silent, []);
  });
});
