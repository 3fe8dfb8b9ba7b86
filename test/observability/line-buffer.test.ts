import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LineBuffer } from '../../src/observability/line-buffer.ts';

describe('the buffer of the log', () => {
  it('A flood of other lines leaves half of the buffer to audit lines', () => {
    const buffer = new LineBuffer(1_000);
    let others = 0;
    while (buffer.admit(100, false)) others += 1;
    let audit = 0;
    while (buffer.admit(100, true)) audit += 1;
    assert.deepEqual([others, audit], [5, 5]);
    assert.equal(buffer.takeDropped(), 2);
    assert.equal(buffer.takeDropped(), 0);
  });

  it('Lines are taken again as soon as earlier ones are written', () => {
    const buffer = new LineBuffer(1_000);
    while (buffer.admit(100, true));
    buffer.written(600);
    assert.ok(buffer.admit(100, false));
    assert.ok(!buffer.admit(100, false));
    assert.ok(buffer.admit(500, true));
  });
});
