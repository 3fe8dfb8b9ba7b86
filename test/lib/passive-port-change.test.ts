import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type DeployedPlan, deployedPlanOf, mergedPlan, parseDeployedPlan } from '../../lib/deployed-plan.ts';
import { changeProblems, slotChanges } from '../../lib/passive-port-change.ts';
import { planPassivePorts } from '../../lib/passive-port-plan.ts';
import { PassivePortRange } from '../../lib/passive-port-range.ts';

/** What is deployed when a range with so many ports per slot was the first deployment, all of it running. */
function running(range: string, portsPerSlot = 2): DeployedPlan {
  return deployedPlanOf(plan(range, portsPerSlot)).map((slot) => ({ ...slot, running: true }));
}

function plan(range: string, portsPerSlot: number, deployed: DeployedPlan = []) {
  return planPassivePorts({
    passivePorts: PassivePortRange.parse(range),
    portsPerSlot,
    zones: 2,
    controlListenerPorts: [21],
    containerPorts: {},
    deployed,
  });
}

function problems(before: DeployedPlan, range: string, portsPerSlot = 2): readonly string[] {
  return changeProblems(before, plan(range, portsPerSlot, before), 1);
}

function effects(before: DeployedPlan, range: string): readonly string[] {
  return slotChanges(before, plan(range, 2, before)).map(({ firstPort, effect }) => `${firstPort} ${effect}`);
}

describe('a changed passive range', () => {
  for (const [what, before, after] of [
    ['nothing changed', '50000-50007', '50000-50007'],
    ['slots are added at the end', '50000-50007', '50000-50011'],
    ['the last slot gets its second port', '50000-50006', '50000-50007'],
    ['slots are taken from the end', '50000-50011', '50000-50007'],
    ['the range moves to ports it did not have', '50000-50007', '51000-51007'],
  ] as const) {
    it(`A change of the passive range is safe when ${what}`, () => {
      assert.deepEqual(problems(running(before), after), []);
    });
  }

  for (const [what, before, after, portsPerSlot, problem] of [
    [
      'each slot has more ports',
      running('50000-50007'),
      '50000-50007',
      4,
      /gives ports 50002, 50003, 50006, 50007 to another slot while sessions use them.*Keep 2 ports per slot and the first port 50000/,
    ],
    [
      'each slot has fewer ports',
      running('50000-50007', 4),
      '50000-50007',
      2,
      /gives ports 50002, 50003, 50006, 50007 to another slot/,
    ],
    ['the range begins later', running('50000-50007'), '50001-50008', 2, /to another slot/],
    [
      'both ranges together have too many listeners',
      running('50000-50045'),
      '51000-51003',
      2,
      /old and new ports have listeners: 50 and 1 for control, more than the 50.*at most 3 new ports at a time/,
    ],
  ] as const) {
    it(`A change of the passive range is refused with a remedy when ${what}`, () => {
      assert.match(problems(before, after, portsPerSlot).join('\n'), problem);
    });
  }

  it('A change of the passive range may give the ports of standby slots to others, because no session uses them', () => {
    const standby = running('50000-50007').map((slot) => ({ ...slot, running: false }));
    assert.deepEqual(problems(standby, '50000-50007', 4), []);
  });

  it('A change of the passive range has an effect on each slot that is named for it', () => {
    const before = running('50000-50006');
    assert.deepEqual(effects(before, '50000-50009'), [
      '50000 none',
      '50002 none',
      '50004 none',
      '50006 more ports',
      '50008 new',
    ]);
    assert.deepEqual(effects(before, '50000-50003'), [
      '50000 none',
      '50002 none',
      '50004 retires',
      '50006 retires',
    ]);
    const stopped = before.map((slot) => ({ ...slot, running: slot.firstPort === 50_000 }));
    assert.deepEqual(effects(stopped, '50000-50003'), [
      '50000 none',
      '50002 starts',
      '50004 removed',
      '50006 removed',
    ]);
  });
});

describe('a deployed plan', () => {
  it('A deployed plan is read from the output that a deployment writes', () => {
    const made = deployedPlanOf(plan('8192-8200', 2));
    assert.deepEqual(parseDeployedPlan(JSON.stringify(made)), made);
    assert.deepEqual(made[4], { firstPort: 8200, ports: 1, zone: 1, running: false });
  });

  for (const [what, text] of [
    ['text that is not JSON', '50000-50007/2'],
    ['a slot without a zone', '[{"firstPort":50000,"ports":2,"running":true}]'],
    [
      'two slots that own the same port',
      '[{"firstPort":50000,"ports":2,"zone":1,"running":true},{"firstPort":50001,"ports":1,"zone":1,"running":true}]',
    ],
  ] as const) {
    it(`A deployed plan is refused when it is ${what}`, () => {
      assert.throws(
        () => parseDeployedPlan(text),
        /is invalid. The expected format is \[\{"firstPort":50000/,
      );
    });
  }

  it('A deployed plan with 49 slots fits into the 4,096 characters of a CloudFormation output', () => {
    const slots = deployedPlanOf(plan('50000-50048', 1));
    assert.ok(JSON.stringify(slots).length < 4096);
  });

  it('A deployed plan includes what operators have started and stopped since', () => {
    const recorded = running('50000-50003').map((slot) => ({ ...slot, running: false }));
    const merged = mergedPlan(recorded, running('50000-50005'));
    assert.deepEqual(
      merged.map((slot) => slot.running),
      [false, false, true],
    );
  });
});
