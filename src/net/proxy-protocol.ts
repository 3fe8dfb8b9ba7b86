/**
 * PROXY protocol version 2, as a Network Load Balancer puts it in front of a client's first bytes
 * (haproxy.org, proxy-protocol.txt, section 2.2). Pure: takes the bytes that have come so far, and keeps nothing.
 */
import { canonicalAddress } from './ip-address.ts';

export type Endpoint = { readonly address: string; readonly port: number };

export type ProxyHeader =
  /** So far it may become a header; ask again when more bytes have come. */
  | { readonly kind: 'incomplete' }
  /** It is no header, or one that this gateway cannot accept. The reason is for logs. */
  | { readonly kind: 'malformed'; readonly reason: string }
  /** The proxy speaks for itself (a health check); the connection's own addresses hold. */
  | { readonly kind: 'local'; readonly lengthBytes: number }
  /** A client's connection: where it comes from, and the load balancer's address it reached. */
  | {
      readonly kind: 'proxied';
      readonly source: Endpoint;
      readonly destination: Endpoint;
      readonly lengthBytes: number;
    };

/** CR LF CR LF NUL CR LF QUIT LF: a line no FTP client begins with, nor a TLS ClientHello. */
const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const fixedBytes = 16;

/**
 * The longest header accepted, in bytes. The specification asks senders to stay within one 536-byte segment; this
 * leaves room for more TLVs than AWS has, and bounds what an unknown peer can make us keep.
 */
export const maxProxyHeaderBytes = 2048;

/** Reads the header at the beginning of `bytes`. TLVs are skipped; what follows `lengthBytes` is the client's. */
export function parseProxyHeader(bytes: Uint8Array): ProxyHeader {
  const known = Math.min(bytes.length, signature.length);
  for (let index = 0; index < known; index += 1) {
    if (bytes[index] !== signature[index]) return malformed('no PROXY version 2 signature');
  }
  if (bytes.length < fixedBytes) return { kind: 'incomplete' };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const lengthBytes = fixedBytes + view.getUint16(14);
  if (lengthBytes > maxProxyHeaderBytes) return malformed(`a header of ${lengthBytes} bytes`);
  const version = view.getUint8(12) >> 4;
  if (version !== 2) return malformed(`PROXY version ${version}`);
  const command = view.getUint8(12) & 0x0f;
  if (command > 1) return malformed(`PROXY command ${command}`);
  if (bytes.length < lengthBytes) return { kind: 'incomplete' };
  const familyAndTransport = view.getUint8(13);
  // A receiver must not look at the addresses of LOCAL, and finds none in UNSPEC (section 2.2).
  if (command === 0 || familyAndTransport === 0x00) return { kind: 'local', lengthBytes };
  switch (familyAndTransport) {
    case 0x11:
      return proxied(bytes, view, lengthBytes, 4);
    case 0x21:
      return proxied(bytes, view, lengthBytes, 16);
    default:
      return malformed(
        `address family and transport 0x${familyAndTransport.toString(16).padStart(2, '0')}, not TCP`,
      );
  }
}

function proxied(bytes: Uint8Array, view: DataView, lengthBytes: number, addressBytes: 4 | 16): ProxyHeader {
  const portsAt = fixedBytes + 2 * addressBytes;
  if (lengthBytes < portsAt + 4) return malformed('too short for its addresses');
  return {
    kind: 'proxied',
    source: {
      address: formatAddress(bytes.subarray(fixedBytes, fixedBytes + addressBytes)),
      port: view.getUint16(portsAt),
    },
    destination: {
      address: formatAddress(bytes.subarray(fixedBytes + addressBytes, portsAt)),
      port: view.getUint16(portsAt + 2),
    },
    lengthBytes,
  };
}

// The text must be the one a socket's remoteAddress has, because leases compare the two: shortest form, IPv4-mapped folded.
function formatAddress(octets: Uint8Array): string {
  if (octets.length === 4) return octets.join('.');
  const groups: string[] = [];
  for (let index = 0; index < octets.length; index += 2) {
    groups.push((((octets[index] ?? 0) << 8) | (octets[index + 1] ?? 0)).toString(16));
  }
  return canonicalAddress(groups.join(':'));
}

function malformed(reason: string): ProxyHeader {
  return { kind: 'malformed', reason };
}
