/** PROXY version 2 headers as a Network Load Balancer sends them. */
import { isIPv4 } from 'node:net';

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

/** A header of a TCP connection over IPv4; `tlvs` is what stands behind the addresses. */
export function proxyHeader(
  source: readonly [address: string, port: number],
  destination: readonly [address: string, port: number],
  tlvs: Uint8Array = Buffer.alloc(0),
): Buffer {
  const addresses = [source, destination].map(([address]) => {
    if (!isIPv4(address)) throw new Error(`${address} is not IPv4`);
    return Buffer.from(address.split('.').map(Number));
  });
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(source[1], 0);
  ports.writeUInt16BE(destination[1], 2);
  return withLength(0x21, 0x11, Buffer.concat([...addresses, ports, tlvs]));
}

/** What a health check sends: the load balancer speaks for itself. */
export function localProxyHeader(): Buffer {
  return withLength(0x20, 0x00, Buffer.alloc(0));
}

function withLength(versionAndCommand: number, familyAndTransport: number, rest: Uint8Array): Buffer {
  const head = Buffer.from([versionAndCommand, familyAndTransport, rest.length >> 8, rest.length & 255]);
  return Buffer.concat([signature, head, rest]);
}
