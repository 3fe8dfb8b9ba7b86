/** PROXY protocol version 2 headers, as a Network Load Balancer writes them (proxy-protocol.txt, section 2.2). Pure. */

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

type Endpoint = { readonly address: string; readonly port: number };

/** A client's connection over IPv4, followed by the TLVs that AWS sends: a CRC32C placeholder's room as NOOP padding. */
export function proxyHeader(source: Endpoint, destination: Endpoint): Buffer {
  const addresses = Buffer.alloc(12);
  [source, destination].forEach(({ address, port }, index) => {
    Buffer.from(address.split('.').map(Number)).copy(addresses, index * 4);
    addresses.writeUInt16BE(port, 8 + index * 2);
  });
  const padding = Buffer.from([0x04, 0x00, 0x04, 0, 0, 0, 0]);
  return header(0x21, 0x11, Buffer.concat([addresses, padding]));
}

/** What goes in front of a health check: the balancer speaks for itself. */
export function localHeader(): Buffer {
  return header(0x20, 0x00, Buffer.alloc(0));
}

function header(versionAndCommand: number, familyAndTransport: number, rest: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(rest.length);
  return Buffer.concat([signature, Buffer.from([versionAndCommand, familyAndTransport]), length, rest]);
}
