import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Networks } from '../../src/net/networks.ts';

describe('networks', () => {
  const networks = Networks.parse('10.0.0.0/16, 203.0.113.7,2001:db8::/32');
  for (const [address, isInside] of [
    ['10.0.255.255', true],
    ['10.1.0.0', false],
    ['203.0.113.7', true],
    ['203.0.113.8', false],
    ['2001:db8:1::5', true],
    ['2001:db9::1', false],
  ] as const) {
    it(`The networks ${networks.text} ${isInside ? 'contain' : 'do not contain'} ${address}`, () => {
      assert.equal(networks.contains(address), isInside);
    });
  }

  it('Networks of length 0 contain every address of their version', () => {
    const all = Networks.parse('0.0.0.0/0,::/0');
    assert.ok(all.contains('198.51.100.1') && all.contains('2001:db8::1'));
    assert.ok(!Networks.parse('0.0.0.0/0').contains('2001:db8::1'));
    assert.ok(!Networks.none.contains('127.0.0.1'));
  });

  for (const text of [
    '10.0.0.0/33',
    '10.0.0/8',
    '2001:db8::/129',
    'localhost',
    '10.0.0.0/8/8',
    '10.0.0.0/-1',
  ]) {
    it(`Networks.parse() refuses ${text}`, () => {
      assert.throws(() => Networks.parse(text), /^Error: expected networks such as/);
    });
  }
});
