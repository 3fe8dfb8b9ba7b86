/** IP addresses as text, in the one form in which the whole gateway compares them. Pure. */
import { BlockList, isIPv4, isIPv6, SocketAddress } from 'node:net';

const ipv4MappedPrefix = '::ffff:';

/**
 * Folds an IPv4-mapped IPv6 address (RFC 4291 2.5.5.2), as a dual-stack listener reports its IPv4 peers, to plain IPv4.
 * Any other address is returned as it is.
 */
export function foldIpv4Mapped(address: string): string {
  if (!address.startsWith(ipv4MappedPrefix)) return address;
  const tail = address.slice(ipv4MappedPrefix.length);
  return isIPv4(tail) ? tail : address;
}

/**
 * The form that a socket's address has: an IPv6 address in its shortest form (RFC 5952), an IPv4-mapped one folded.
 * `address` is valid, in any form.
 */
export function canonicalAddress(address: string): string {
  if (isIPv4(address)) return address;
  return foldIpv4Mapped(new SocketAddress({ address, family: 'ipv6' }).address);
}

/** RFC 1918, RFC 6598 (carrier-grade NAT), RFC 3927, loopback; RFC 4193 and RFC 4291 2.5.6 for IPv6. */
const privateNetworks = new BlockList();
for (const [network, bits] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['100.64.0.0', 10],
  ['169.254.0.0', 16],
  ['127.0.0.0', 8],
] as const) {
  privateNetworks.addSubnet(network, bits, 'ipv4');
}
for (const [network, bits] of [
  ['fc00::', 7],
  ['fe80::', 10],
  ['::1', 128],
] as const) {
  privateNetworks.addSubnet(network, bits, 'ipv6');
}

/** Whether the address has a meaning only inside a private network. False for what is no address. */
export function isPrivateAddress(address: string): boolean {
  if (isIPv4(address)) return privateNetworks.check(address, 'ipv4');
  return isIPv6(address) && privateNetworks.check(address, 'ipv6');
}

/**
 * The source that limits of a client count for: an IPv4 address, or the /64 network of an IPv6 address, which one subscriber has
 * all to itself (RFC 6177). `address` is canonical.
 */
export function sourceOf(address: string): string {
  if (isIPv4(address)) return address;
  const [head = '', tail = ''] = address.split('::', 2);
  const before = head === '' ? [] : head.split(':');
  const after = tail === '' ? [] : tail.split(':');
  const zeros = Math.max(0, 8 - before.length - after.length);
  const groups = address.includes('::') ? [...before, ...Array<string>(zeros).fill('0'), ...after] : before;
  return `${canonicalAddress(`${groups.slice(0, 4).join(':')}::`)}/64`;
}
