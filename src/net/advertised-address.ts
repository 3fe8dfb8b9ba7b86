/**
 * The IPv4 address in a 227 reply. Some clients connect to it, some ignore it, and some reject it where it differs from the
 * address they reached; so it follows from the address that the client reached. Pure.
 */
import { isIPv4 } from 'node:net';

/** A subnet of a load balancer, and the public address of its node there. */
export type AdvertisedSubnet = {
  readonly network: string;
  readonly prefixBits: number;
  readonly address: string;
};

export type AdvertisedAddress =
  | { readonly kind: 'auto' }
  | { readonly kind: 'fixed'; readonly address: string }
  | { readonly kind: 'by-subnet'; readonly subnets: readonly AdvertisedSubnet[] };

/**
 * Reads the setting: `auto`, an IPv4 address, or `10.0.0.0/24=203.0.113.10,10.0.1.0/24=203.0.113.11`.
 * Throws an Error whose message says what is wrong and what is expected.
 */
export function parseAdvertisedAddress(text: string): AdvertisedAddress {
  const setting = text.trim();
  if (setting === 'auto') return { kind: 'auto' };
  if (isIPv4(setting)) return { kind: 'fixed', address: setting };
  if (!setting.includes('=')) {
    throw new Error(
      `expected auto, an IPv4 address, or SUBNET=ADDRESS pairs separated by commas, got ${JSON.stringify(text)}`,
    );
  }
  const subnets = setting.split(',').map(parseSubnet);
  const networks = subnets.map(({ network, prefixBits }) => `${network}/${prefixBits}`);
  const twice = networks.find((network, index) => networks.indexOf(network) !== index);
  if (twice !== undefined) throw new Error(`names the subnet ${twice} twice`);
  return { kind: 'by-subnet', subnets };
}

/**
 * The address for the 227 reply to a client that reached `reachedAddress` (folded to IPv4 where it is IPv4-mapped). Undefined
 * on an IPv6 control connection, whose client must use EPSV (RFC 2428). Of several matching subnets the narrowest decides;
 * outside of all subnets the reached address itself is advertised.
 */
export function advertisedAddressFor(
  advertised: AdvertisedAddress,
  reachedAddress: string,
): string | undefined {
  if (!isIPv4(reachedAddress)) return undefined;
  switch (advertised.kind) {
    case 'auto':
      return reachedAddress;
    case 'fixed':
      return advertised.address;
    case 'by-subnet': {
      let narrowest: AdvertisedSubnet | undefined;
      for (const subnet of advertised.subnets) {
        if (!contains(subnet, reachedAddress)) continue;
        if (narrowest === undefined || subnet.prefixBits > narrowest.prefixBits) narrowest = subnet;
      }
      return narrowest?.address ?? reachedAddress;
    }
  }
}

const subnetPattern = /^([0-9.]+)\/([0-9]{1,2})=([0-9.]+)$/;

function parseSubnet(pair: string): AdvertisedSubnet {
  const [, network = '', bits = '', address = ''] = subnetPattern.exec(pair.trim()) ?? [];
  const prefixBits = Number(bits);
  if (!isIPv4(network) || !isIPv4(address) || prefixBits > 32) {
    throw new Error(
      `expected SUBNET=ADDRESS such as 10.0.0.0/24=203.0.113.10, got ${JSON.stringify(pair.trim())}`,
    );
  }
  const subnet = { network, prefixBits, address };
  if ((ipv4Number(network) & ~mask(prefixBits)) >>> 0 !== 0) {
    throw new Error(`the subnet ${network}/${prefixBits} has bits set behind its ${prefixBits} prefix bits`);
  }
  return subnet;
}

function contains({ network, prefixBits }: AdvertisedSubnet, address: string): boolean {
  return ((ipv4Number(network) ^ ipv4Number(address)) & mask(prefixBits)) >>> 0 === 0;
}

function mask(prefixBits: number): number {
  // A shift by 32 is a shift by 0 in ECMAScript.
  return prefixBits === 0 ? 0 : (-1 << (32 - prefixBits)) >>> 0;
}

function ipv4Number(address: string): number {
  return address.split('.').reduce((number, octet) => number * 256 + Number(octet), 0);
}
