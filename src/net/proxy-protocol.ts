/**
 * PROXY protocol version 2, as a Network Load Balancer puts it in front of a client's first bytes
 * (haproxy.org, proxy-protocol.txt, section 2.2). Pure.
 */
import { canonicalAddress } from './ip-address.ts';

export type Endpoint = { readonly address: string; readonly port: number };

export type ProxyHeader =
  /** The bytes may be the beginning of a header; more are needed. */
  | { readonly kind: 'incomplete' }
  /** The bytes are no header, or one that the gateway does not accept. The reason is for logs. */
  | { readonly kind: 'malformed'; readonly reason: string }
  /** The proxy's own connection (a health check): the socket's addresses apply. */
  | { readonly kind: 'local'; readonly lengthBytes: number }
  /** A client's connection: its address, and the load balancer's address that it reached. */
  | {
      readonly kind: 'proxied';
      readonly source: Endpoint;
      readonly destination: Endpoint;
      readonly lengthBytes: number;
    };

/** CR LF CR LF NUL CR LF QUIT LF: neither an FTP client nor a TLS ClientHello begins with it. */
const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const fixedBytes = 16;

/**
 * The longest header accepted, in bytes. The specification asks senders to stay within one 536-byte segment; this
 * leaves room for more TLVs than AWS sends, and limits the memory that an unknown peer can occupy.
 */
export const maxProxyHeaderBytes = 2048;

/** Parses the header at the beginning of `bytes`. TLVs are skipped; the bytes after `lengthBytes` are the client's. */
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
  // A receiver must ignore the addresses of LOCAL; UNSPEC has none (section 2.2).
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

export type CompleteProxyHeader = Exclude<ProxyHeader, { readonly kind: 'incomplete' }>;

/** Collects the first bytes of a connection until they hold the header. Keeps at most `maxProxyHeaderBytes` and one chunk. */
export class ProxyHeaderReader {
  #bytes: Buffer | undefined;

  /**
   * Adds a chunk. Returns undefined while the header is incomplete; then the header and the bytes that follow it, which are
   * all bytes where it is malformed.
   */
  push(chunk: Buffer): { readonly header: CompleteProxyHeader; readonly rest: Buffer } | undefined {
    const bytes = this.#bytes === undefined ? chunk : Buffer.concat([this.#bytes, chunk]);
    const header = parseProxyHeader(bytes);
    if (header.kind === 'incomplete') {
      this.#bytes = bytes;
      return undefined;
    }
    this.#bytes = undefined;
    return { header, rest: header.kind === 'malformed' ? bytes : bytes.subarray(header.lengthBytes) };
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

// Leases compare this text with a socket's remoteAddress, so both have the same form: shortest, IPv4-mapped folded.
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
