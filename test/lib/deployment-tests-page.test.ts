/** docs/deployment-tests.md names tests that exist, and shows what `npm run plan` prints. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { deployedPlanOf } from '../../lib/deployed-plan.ts';
import { planOf } from './plan.ts';
import { describePlan } from '../../scripts/plan-description.ts';

const page = readFileSync(new URL('../../docs/deployment-tests.md', import.meta.url), 'utf8');

describe('docs/deployment-tests.md', () => {
  it('The page of the deployment tests names a test for each of A1 to A13, and only tests that exist', () => {
    const sources = globSync('test/**/*.ts', { exclude: ['test/lib/deployment-tests-page.test.ts'] })
      .map((file) => readFileSync(file, 'utf8'))
      .join('\n');
    const rows = [...page.matchAll(/^\| A(\d+) .*$/gm)];
    assert.deepEqual(
      rows.map(([, number]) => Number(number)),
      Array.from({ length: 13 }, (_, index) => index + 1),
    );
    for (const [row, number] of rows) {
      const titles = [...row.matchAll(/"([^"]+)"/g)].map(([, title = '']) => title);
      assert.ok(titles.length > 0 || number === '12', row);
      for (const title of titles) assert.ok(sources.includes(`it('${title}'`), title);
    }
  });

  for (const [block, before = '', after = '', shown] of page.matchAll(
    /<!-- plan (\S+) (\S+) -->\n+```\n([^]*?)\n```\n+<!-- end of plan -->/g,
  )) {
    it(`The page of the deployment tests shows what npm run plan prints for a change from ${before} to ${after}`, () => {
      const deployed = deployedPlanOf(planOf(before));
      assert.equal(shown, describePlan(deployed, planOf(after, deployed)), block);
    });
  }

  it('The page of the deployment tests shows three plans', () => {
    assert.equal(page.match(/<!-- plan \S+ \S+ -->\n+```\n/g)?.length, 3);
  });
});
