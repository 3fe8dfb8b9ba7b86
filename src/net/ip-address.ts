/** IP addresses as text, in the one form in which the whole gateway compares them. Pure. */
import { isIPv4, SocketAddress } from 'node:net';

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
