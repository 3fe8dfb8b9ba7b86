import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { changeProblems, formatPlan, parseDeployedPlan } from '../../lib/passive-port-change.ts';
import { planPassivePorts } from '../../lib/passive-port-plan.ts';
import { PassivePortRange } from '../../lib/passive-port-range.ts';

function change(before: string, after: string): readonly string[] {
  const { passivePorts, slots } = parseDeployedPlan(after);
  const plan = planPassivePorts({ passivePorts, slots, controlListenerPorts: [21], containerPorts: {} });
  return changeProblems(parseDeployedPlan(before), plan, 1);
}

describe('a changed passive range', () => {
  for (const [what, before, after] of [
    ['nothing changed', '50000-50007/2', '50000-50007/2'],
    ['slots are added at the end', '50000-50007/2', '50000-50011/3'],
    ['slots are taken from the end', '50000-50011/3', '50000-50007/2'],
    ['the range moves to ports it did not have', '50000-50007/2', '51000-51007/2'],
    ['one slot gets more ports', '50000-50001/1', '50000-50003/1'],
  ] as const) {
    it(`is safe when ${what}`, () => {
      assert.deepEqual(change(before, after), []);
    });
  }

  for (const [what, before, after, problem] of [
    [
      'each slot has fewer ports',
      '50000-50007/2',
      '50000-50011/4',
      /gives ports 50003, 50006, 50007 to another slot.*Keep 4 ports a slot and the first port 50000/,
    ],
    ['each slot has more ports', '50000-50011/4', '50000-50011/3', /to another slot while sessions use them/],
    [
      'the range begins later',
      '50000-50007/2',
      '50004-50011/2',
      /gives ports 50004, 50005, 50006, 50007 to another slot/,
    ],
    [
      'both ranges together have too many listeners',
      '50000-50047/12',
      '51000-51003/1',
      /both ranges have listeners: 52 and 1 for control, more than the 50/,
    ],
  ] as const) {
    it(`is refused when ${what}, with the way out`, () => {
      assert.match(change(before, after).join('\n'), problem);
    });
  }

  it('reads the plan that the output of a deployment writes', () => {
    const plan = planPassivePorts({
      passivePorts: PassivePortRange.of(8192, 8200),
      controlListenerPorts: [21],
      containerPorts: {},
    });
    assert.equal(formatPlan(plan), '8192-8200/3');
    assert.deepEqual(parseDeployedPlan(formatPlan(plan)).passivePorts.ports, plan.passivePorts.ports);
  });

  it('refuses a plan it cannot read', () => {
    assert.throws(() => parseDeployedPlan('50000-50007'), /looks like 50000-50007\/2/);
  });
});
