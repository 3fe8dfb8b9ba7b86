import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { advertisedAddressFor, parseAdvertisedAddress } from '../../src/net/advertised-address.ts';
import { canonicalAddress, foldIpv4Mapped } from '../../src/net/ip-address.ts';

describe('the advertised address', () => {
  const byNode = '10.0.0.0/24=203.0.113.10,10.0.1.0/24=203.0.113.11';
  const cases: [setting: string, reached: string, advertised: string | undefined][] = [
    ['auto', '192.0.2.7', '192.0.2.7'],
    ['auto', '2001:db8::1', undefined],
    ['198.51.100.4', '192.0.2.7', '198.51.100.4'],
    ['198.51.100.4', '2001:db8::1', undefined],
    [byNode, '10.0.0.200', '203.0.113.10'],
    [byNode, '10.0.1.3', '203.0.113.11'],
    [byNode, '10.0.2.3', '10.0.2.3'],
    [byNode, '2001:db8::1', undefined],
    ['10.0.0.0/8=203.0.113.1, 10.1.0.0/16=203.0.113.2', '10.1.2.3', '203.0.113.2'],
    ['10.1.0.0/16=203.0.113.2,10.0.0.0/8=203.0.113.1', '10.1.2.3', '203.0.113.2'],
    ['0.0.0.0/0=203.0.113.1', '192.0.2.7', '203.0.113.1'],
    ['192.0.2.7/32=203.0.113.1', '192.0.2.7', '203.0.113.1'],
    ['192.0.2.7/32=203.0.113.1', '192.0.2.6', '192.0.2.6'],
    ['128.0.0.0/1=203.0.113.1', '255.255.255.255', '203.0.113.1'],
  ];
  for (const [setting, reached, advertised] of cases) {
    it(`ADVERTISED_ADDRESS=${setting} gives a client that connected to ${reached} ${advertised ?? 'no address: EPSV only'}`, () => {
      assert.equal(advertisedAddressFor(parseAdvertisedAddress(setting), reached), advertised);
    });
  }

  const wrong: [setting: string, message: RegExp][] = [
    ['', /expected auto, an IPv4 address, or SUBNET=ADDRESS/],
    ['ftp.example.com', /expected auto, an IPv4 address, or SUBNET=ADDRESS .* got "ftp\.example\.com"/],
    ['2001:db8::1', /expected auto/],
    ['10.0.0.0=203.0.113.10', /expected SUBNET=ADDRESS such as/],
    ['10.0.0.0/33=203.0.113.10', /expected SUBNET=ADDRESS such as/],
    ['10.0.0.0/24=nowhere', /expected SUBNET=ADDRESS such as/],
    ['10.0.0.0/24=203.0.113.10,', /got ""/],
    ['10.0.0.1/24=203.0.113.10', /bits set behind its 24 prefix bits/],
    ['10.0.0.0/24=203.0.113.10,10.0.0.0/24=203.0.113.11', /names the subnet 10\.0\.0\.0\/24 twice/],
  ];
  for (const [setting, message] of wrong) {
    it(`ADVERTISED_ADDRESS=${JSON.stringify(setting)} is refused`, () => {
      assert.throws(() => parseAdvertisedAddress(setting), message);
    });
  }
});

describe('addresses as text', () => {
  for (const [given, expected] of [
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::ffff:1', '::ffff:1'],
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8::1', '2001:db8::1'],
  ] as const) {
    it(`foldIpv4Mapped() turns ${given} into ${expected}`, () =>
      assert.equal(foldIpv4Mapped(given), expected));
  }
  for (const [given, expected] of [
    ['2001:0DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['0:0:0:0:0:ffff:c000:201', '192.0.2.1'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['192.0.2.1', '192.0.2.1'],
  ] as const) {
    it(`canonicalAddress() turns ${given} into ${expected}`, () =>
      assert.equal(canonicalAddress(given), expected));
  }
});
