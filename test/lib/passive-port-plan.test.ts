import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { planPassivePorts } from '../../lib/passive-port-plan.ts';
import { PassivePortRange } from '../../lib/passive-port-range.ts';

const containerPorts = { 'operations port': 8080, 'Control port': 2121 };
const explicitOnly = [21];
const withImplicit = [21, 990];

function plan(range: string, slots?: number, controlListenerPorts: readonly number[] = explicitOnly) {
  return planPassivePorts({
    passivePorts: PassivePortRange.parse(range),
    slots,
    controlListenerPorts,
    containerPorts,
  });
}

function shares(range: string, slots?: number, controlListenerPorts?: readonly number[]): readonly string[] {
  return plan(range, slots, controlListenerPorts).slots.map(({ passivePorts }) => passivePorts.toString());
}

describe('a passive range', () => {
  for (const [text, written] of [
    ['50000-50007', '50000-50007'],
    [' 8192 - 8200 ', '8192-8200'],
    ['2000', '2000-2000'],
  ] as const) {
    it(`reads ${JSON.stringify(text)}`, () => {
      assert.equal(PassivePortRange.parse(text).toString(), written);
    });
  }

  for (const [text, problem] of [
    ['', /"" is not understood. Write it as 50000-50007/],
    ['50000:50007', /not understood/],
    ['-1-5', /not understood/],
    ['50007-50000', /50007-50000 ends before it begins. Write the lower port first: 50000-50007/],
    ['0-3', /from 1 to 65535, got 0/],
    ['65530-65540', /from 1 to 65535, got 65540/],
  ] as const) {
    it(`refuses ${JSON.stringify(text)} with a sentence`, () => {
      assert.throws(() => PassivePortRange.parse(text), problem);
    });
  }
});

describe('the passive port plan', () => {
  for (const [range, slots, expected] of [
    ['50000-50003', undefined, ['50000-50003']],
    ['50000-50007', undefined, ['50000-50003', '50004-50007']],
    ['50000-50007', 4, ['50000-50001', '50002-50003', '50004-50005', '50006-50007']],
    ['8192-8200', undefined, ['8192-8194', '8195-8197', '8198-8200']],
    ['8192-8199', undefined, ['8192-8195', '8196-8199']],
    ['50000-50004', undefined, ['50000-50000', '50001-50001', '50002-50002', '50003-50003', '50004-50004']],
    ['65532-65535', 2, ['65532-65533', '65534-65535']],
  ] as const) {
    it(`shares ${range} among ${slots ?? 'the fewest'} slots`, () => {
      assert.deepEqual(shares(range, slots), expected);
    });
  }

  it('fills a load balancer with 12 slots of 4 ports, or 16 slots of 3 with implicit TLS', () => {
    assert.equal(shares('50000-50047').length, 12);
    assert.equal(shares('50000-50047', undefined, withImplicit).length, 16);
  });

  for (const [what, range, slots, controlPorts, problem] of [
    [
      'more than 49 ports',
      '50000-50049',
      50,
      explicitOnly,
      /has 50 ports.*Use at most 49 ports, for example 50000-50048/,
    ],
    [
      'more than 48 with implicit TLS',
      '50000-50048',
      49,
      withImplicit,
      /Use at most 48 ports, for example 50000-50047/,
    ],
    ['port 21', '21-24', 1, explicitOnly, /contains 21, which is a control port/],
    ['port 990', '988-991', 2, withImplicit, /contains 990, which is a control port/],
    [
      'the operations port',
      '8080-8083',
      1,
      explicitOnly,
      /contains 8080, where the container has its operations port/,
    ],
    [
      "the container's control port",
      '2120-2123',
      1,
      explicitOnly,
      /contains 2121, where the container has its Control port/,
    ],
    ['privileged ports', '1000-1003', 1, explicitOnly, /begins below 1024.*Use ports from 1024 up/],
    [
      'more than 4 ports a slot',
      '50000-50009',
      2,
      explicitOnly,
      /are 5 a slot.*at least 3 slots, or at most 8 ports/,
    ],
    [
      'more than 3 with implicit TLS',
      '50000-50007',
      2,
      withImplicit,
      /are 4 a slot.*2 are for control ports.*at most 6 ports/,
    ],
    [
      'an uneven share',
      '50000-50007',
      3,
      explicitOnly,
      /8 ports.*cannot be shared evenly by 3 slots.*2, 4, 8 slots would do, or a range of 6 ports: 50000-50005/,
    ],
    ['no slot', '50000-50007', 0, explicitOnly, /whole number from 1 up, got 0/],
    ['half a slot', '50000-50007', 1.5, explicitOnly, /whole number from 1 up, got 1.5/],
  ] as const) {
    it(`refuses ${what}, and says what to change`, () => {
      assert.throws(() => plan(range, slots, controlPorts), problem);
    });
  }

  it('names every problem at once', () => {
    assert.throws(
      () => plan('20-70', 3),
      (error: Error) => {
        assert.match(error.message, /has 51 ports/);
        assert.match(error.message, /below 1024/);
        assert.match(error.message, /contains 21/);
        return true;
      },
    );
  });

  it('gives every port to exactly one slot, in order, whatever the range', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 10_000, max: 60_000 }),
        fc.integer({ min: 1, max: 48 }),
        fc.constantFrom(explicitOnly, withImplicit),
        (first, size, controlPorts) => {
          const range = PassivePortRange.of(first, first + size - 1);
          const made = plan(range.toString(), undefined, controlPorts);
          assert.deepEqual(
            made.slots.flatMap(({ passivePorts }) => passivePorts.ports),
            range.ports,
          );
          for (const { passivePorts } of made.slots) {
            assert.ok(passivePorts.size <= 5 - controlPorts.length);
            assert.equal(passivePorts.size, made.portsPerSlot);
          }
        },
      ),
    );
  });
});
