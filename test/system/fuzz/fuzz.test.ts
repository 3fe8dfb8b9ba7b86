/** No bytes from the network end the gateway, hang it, or stay in its memory. The long run is scripts/fuzz.ts. */
import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import { LeakCheck } from '../../support/leak-check.ts';
import { fuzz } from './fuzz.ts';

const leaks = new LeakCheck();
after(() => leaks.assertNothingLeft());

it('Random lines, PROXY headers and ClientHellos leave the gateway unchanged', async () => {
  const figures = await fuzz({ lines: 10_000, headers: 500, hellos: 500, seed: 20_260_101 });
  assert.equal(figures.unexpectedErrors, 0);
  assert.ok(figures.replies > 5_000, `${figures.replies} replies`);
});
