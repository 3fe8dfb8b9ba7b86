import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { DeployedPlan } from '../../lib/deployed-plan.ts';
import { type PassivePortRequest, planPassivePorts, portRanges } from '../../lib/passive-port-plan.ts';
import { listenerPorts, slotName } from '../../lib/slot-plan.ts';
import { PassivePortRange } from '../../lib/passive-port-range.ts';

const explicitOnly = [21];
const withImplicit = [21, 990];

function plan(range: string, request: Partial<PassivePortRequest> = {}) {
  return planPassivePorts({
    passivePorts: PassivePortRange.parse(range),
    zones: 2,
    controlListenerPorts: explicitOnly,
    containerPorts: { 'operations port': 8080, 'Control port': 2121 },
    ...request,
  });
}

function shares(range: string, request?: Partial<PassivePortRequest>): readonly string[] {
  return plan(range, request).slots.map(({ passivePorts }) => passivePorts.toString());
}

function running(range: string, request?: Partial<PassivePortRequest>): readonly string[] {
  return plan(range, request)
    .slots.filter((slot) => slot.running)
    .map(slotName);
}

describe('a passive range', () => {
  for (const [text, written] of [
    ['50000-50007', '50000-50007'],
    [' 8192 - 8200 ', '8192-8200'],
    ['2000', '2000-2000'],
  ] as const) {
    it(`A passive range is read from ${JSON.stringify(text)}`, () => {
      assert.equal(PassivePortRange.parse(text).toString(), written);
    });
  }

  for (const [text, problem] of [
    ['', /"" is invalid. Write it as 50000-50007/],
    ['50000:50007', /is invalid/],
    ['-1-5', /is invalid/],
    ['50007-50000', /50007-50000 ends before it begins. Write the lower port first: 50000-50007/],
    ['0-3', /from 1 to 65535, got 0/],
    ['65530-65540', /from 1 to 65535, got 65540/],
  ] as const) {
    it(`The passive range ${JSON.stringify(text)} is refused with an explanation`, () => {
      assert.throws(() => PassivePortRange.parse(text), problem);
    });
  }
});

describe('the passive port plan', () => {
  for (const [range, portsPerSlot, expected] of [
    ['50000-50007', undefined, ['50000-50001', '50002-50003', '50004-50005', '50006-50007']],
    ['50000-50006', undefined, ['50000-50001', '50002-50003', '50004-50005', '50006-50006']],
    ['50000-50007', 4, ['50000-50003', '50004-50007']],
    ['8192-8200', 4, ['8192-8195', '8196-8199', '8200-8200']],
    ['50000', undefined, ['50000-50000']],
    ['65532-65535', undefined, ['65532-65533', '65534-65535']],
  ] as const) {
    it(`The passive port plan fills slots of ${portsPerSlot ?? 'the default number of'} ports from ${range} in order, and the last one takes the rest`, () => {
      assert.deepEqual(shares(range, { portsPerSlot }), expected);
    });
  }

  it('The passive port plan moves no port to another slot when the range is extended at its end', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 4 }),
        (size, more, portsPerSlot) => {
          const owner = (last: number) => {
            const { slots } = plan(`50000-${last}`, {
              portsPerSlot: Math.min(portsPerSlot, last - 49_999),
              slots: 1,
            });
            return (port: number) => slots.find(({ passivePorts }) => passivePorts.contains(port));
          };
          if (size < portsPerSlot) return;
          const [before, after] = [owner(49_999 + size), owner(49_999 + size + more)];
          for (let port = 50_000; port < 50_000 + size; port += 1) {
            assert.equal(before(port)?.passivePorts.first, after(port)?.passivePorts.first);
          }
        },
      ),
    );
  });

  it('The passive port plan has 49 slots of one port on a load balancer, or 48 with implicit TLS', () => {
    assert.equal(shares('50000-50048', { portsPerSlot: 1 }).length, 49);
    assert.equal(shares('50000-50047', { portsPerSlot: 1, controlListenerPorts: withImplicit }).length, 48);
  });

  it('The passive port plan runs two slots in two zones by default, and the others stand by', () => {
    const { slots, minimumSlots, maximumSlots } = plan('50000-50007');
    assert.deepEqual(
      slots.map((slot) => [slotName(slot), slot.zone, slot.running]),
      [
        ['50000', 1, true],
        ['50002', 2, true],
        ['50004', 1, false],
        ['50006', 2, false],
      ],
    );
    assert.deepEqual([minimumSlots, maximumSlots], [2, 4]);
    assert.deepEqual(running('50000-50001'), ['50000']);
  });

  it('The passive port plan runs as many slots as the minimum requires, given as a number or with a maximum', () => {
    assert.deepEqual(running('50000-50007', { slots: 3 }), ['50000', '50002', '50004']);
    const { minimumSlots, maximumSlots } = plan('50000-50007', { slots: { minimum: 1, maximum: 3 } });
    assert.deepEqual([minimumSlots, maximumSlots], [1, 3]);
  });

  for (const [what, range, request, problem] of [
    ['more than 49 ports', '50000-50049', {}, /has 50 ports.*Use at most 49 ports, for example 50000-50048/],
    [
      'more than 48 ports with implicit TLS',
      '50000-50048',
      { controlListenerPorts: withImplicit },
      /Use at most 48 ports, for example 50000-50047/,
    ],
    ['port 21', '21-24', {}, /contains 21, which is a control port/],
    ['port 990', '988-991', { controlListenerPorts: withImplicit }, /contains 990, which is a control port/],
    [
      'the operations port',
      '8080-8083',
      {},
      /contains 8080, which the container uses for its operations port/,
    ],
    [
      "the container's control port",
      '2120-2123',
      {},
      /contains 2121, which the container uses for its Control port/,
    ],
    ['privileged ports', '1000-1003', {}, /begins below 1024.*Use ports from 1024 up/],
    ['more than 4 ports per slot', '50000-50009', { portsPerSlot: 5 }, /Use at most 4 ports per slot/],
    [
      'more than 3 ports per slot with implicit TLS',
      '50000-50007',
      { portsPerSlot: 4, controlListenerPorts: withImplicit },
      /2 are for control ports. Use at most 3 ports per slot/,
    ],
    ['no port per slot', '50000-50007', { portsPerSlot: 0 }, /whole number from 1 up, got 0/],
    [
      'more ports per slot than there are',
      '50000-50001',
      { portsPerSlot: 3 },
      /has 2. Use fewer ports per slot/,
    ],
    [
      'more slots than the range carries',
      '50000-50007',
      { slots: 5 },
      /5 slots of 2 passive ports are more than the range 50000-50007 carries, which is 4. Use a longer range, 50000-50009, or 1 ports per slot/,
    ],
    ['no slot', '50000-50007', { slots: 0 }, /number of slots is a whole number from 1 up, got 0/],
    ['half a slot', '50000-50007', { slots: 1.5 }, /whole number from 1 up, got 1.5/],
    [
      'a minimum above the maximum',
      '50000-50007',
      { slots: { minimum: 3, maximum: 2 } },
      /minimum of 3 slots is more than the maximum of 2/,
    ],
  ] as const) {
    it(`The passive port plan refuses ${what} and says what to change`, () => {
      assert.throws(() => plan(range, request), problem);
    });
  }

  it('The passive port plan reports all problems together', () => {
    assert.throws(
      () => plan('20-70', { slots: 3 }),
      (error: Error) => {
        assert.match(error.message, /has 51 ports/);
        assert.match(error.message, /below 1024/);
        assert.match(error.message, /contains 21/);
        return true;
      },
    );
  });

  it('The passive port plan assigns every port to exactly one slot, in order, and distributes the slots evenly over the zones, for any range', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 10_000, max: 60_000 }),
        fc.integer({ min: 4, max: 48 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 3 }),
        fc.constantFrom(explicitOnly, withImplicit),
        (first, size, portsPerSlot, zones, controlListenerPorts) => {
          const range = PassivePortRange.of(first, first + size - 1);
          const made = plan(range.toString(), { portsPerSlot, zones, controlListenerPorts });
          assert.deepEqual(
            made.slots.flatMap(({ passivePorts }) => passivePorts.ports),
            range.ports,
          );
          const counts = Array.from(
            { length: zones },
            (_, index) => made.slots.filter(({ zone }) => zone === index + 1).length,
          );
          assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, counts.join());
        },
      ),
    );
  });
});

const deployed: DeployedPlan = [
  { firstPort: 50_000, ports: 2, zone: 1, running: false },
  { firstPort: 50_002, ports: 2, zone: 2, running: false },
  { firstPort: 50_004, ports: 2, zone: 1, running: true },
  { firstPort: 50_006, ports: 2, zone: 2, running: true },
];

describe('the plan of an environment that is deployed', () => {
  it('The plan of a deployed environment leaves started slots running and does not start stopped ones', () => {
    assert.deepEqual(running('50000-50007', { deployed }), ['50004', '50006']);
  });

  it('The plan of a deployed environment starts further slots, in order, when the minimum is raised', () => {
    assert.deepEqual(running('50000-50007', { deployed, slots: 3 }), ['50000', '50004', '50006']);
  });

  it('The plan of a deployed environment keeps the recorded zone of every slot when a zone is added, and puts new slots where there are fewest', () => {
    const zones = plan('50000-50013', { deployed, zones: 3 }).slots.map(({ zone }) => zone);
    assert.deepEqual(zones, [1, 2, 1, 2, 3, 3, 1]);
  });

  it('The plan of a deployed environment keeps slots that run outside of a new range until they have been stopped', () => {
    const made = plan('51000-51003', { deployed });
    assert.deepEqual(
      made.slots.map((slot) => [slotName(slot), slot.running, slot.retiring]),
      [
        ['51000', true, false],
        ['51002', true, false],
        ['50004', true, true],
        ['50006', true, true],
      ],
    );
    assert.deepEqual(portRanges(listenerPorts(made)).map(String), ['50004-50007', '51000-51003']);
  });

  it('The plan of a deployed environment drops the slots outside of the range once they are stopped', () => {
    const stopped = deployed.map((slot) => ({ ...slot, running: false }));
    assert.deepEqual(shares('51000-51003', { deployed: stopped }), ['51000-51001', '51002-51003']);
  });
});
