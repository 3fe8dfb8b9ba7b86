import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  maxProxyHeaderBytes,
  parseProxyHeader,
  type ProxyHeader,
  ProxyHeaderReader,
} from '../../src/net/proxy-protocol.ts';

const signature = '0d0a0d0a000d0a515549540a';
const tcp4 = 'c6336407' + 'c0000201' + 'c350' + '0015'; // 198.51.100.7:50000 to 192.0.2.1:21
const tcp6 = '20010db8000000000000000000000007' + '20010db8000000000000000000000001' + 'c350' + '0015';
const mapped = '00000000000000000000ffffc6336407' + '00000000000000000000ffffc0000201' + 'c350' + '0015';
const awsEndpoint = 'ea0014' + '01' + Buffer.from('vpce-08d2bf15fac5001').toString('hex').slice(0, 38);

function header(versionCommand: string, family: string, body: string): Buffer {
  const length = (body.length / 2).toString(16).padStart(4, '0');
  return Buffer.from(signature + versionCommand + family + length + body, 'hex');
}

const ipv4Client: ProxyHeader = {
  kind: 'proxied',
  source: { address: '198.51.100.7', port: 50_000 },
  destination: { address: '192.0.2.1', port: 21 },
  lengthBytes: 28,
};

describe('a PROXY protocol v2 header', () => {
  const cases: [name: string, bytes: Buffer, expected: ProxyHeader][] = [
    ['of a client over IPv4', header('21', '11', tcp4), ipv4Client],
    [
      'with a TLV that AWS adds',
      header('21', '11', tcp4 + awsEndpoint),
      { ...ipv4Client, lengthBytes: 28 + awsEndpoint.length / 2 },
    ],
    [
      "in front of the client's first command",
      Buffer.concat([header('21', '11', tcp4), Buffer.from('USER a\r\n')]),
      ipv4Client,
    ],
    [
      'of a client over IPv6',
      header('21', '21', tcp6),
      {
        kind: 'proxied',
        source: { address: '2001:db8::7', port: 50_000 },
        destination: { address: '2001:db8::1', port: 21 },
        lengthBytes: 52,
      },
    ],
    ['with IPv4-mapped addresses', header('21', '21', mapped), { ...ipv4Client, lengthBytes: 52 }],
    ['of a health check (LOCAL, UNSPEC)', header('20', '00', ''), { kind: 'local', lengthBytes: 16 }],
    ['of a health check that has TLVs', header('20', '00', '040001ff'), { kind: 'local', lengthBytes: 20 }],
    [
      'of LOCAL with addresses, which are ignored',
      header('20', '11', tcp4),
      { kind: 'local', lengthBytes: 28 },
    ],
    ['of PROXY without addresses (UNSPEC)', header('21', '00', ''), { kind: 'local', lengthBytes: 16 }],
    ['without a byte yet', Buffer.alloc(0), { kind: 'incomplete' }],
    ['cut off in the signature', header('21', '11', tcp4).subarray(0, 5), { kind: 'incomplete' }],
    ['cut off in the addresses', header('21', '11', tcp4).subarray(0, 27), { kind: 'incomplete' }],
    [
      'that is missing before a command',
      Buffer.from('USER a\r\n'),
      malformed('no PROXY version 2 signature'),
    ],
    ['whose third byte is wrong', Buffer.from('\r\nU'), malformed('no PROXY version 2 signature')],
    [
      'of version 1',
      Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n'),
      malformed('no PROXY version 2 signature'),
    ],
    ['of version 3', header('31', '11', tcp4), malformed('PROXY version 3')],
    ['with an unknown command', header('22', '11', tcp4), malformed('PROXY command 2')],
    ['over UDP', header('21', '12', tcp4), malformed('address family and transport 0x12, not TCP')],
    [
      'over a UNIX socket',
      header('21', '31', '00'.repeat(216)),
      malformed('address family and transport 0x31, not TCP'),
    ],
    [
      'shorter than its addresses',
      header('21', '11', tcp4.slice(2)),
      malformed('too short for its addresses'),
    ],
    ['of IPv6 with the length of IPv4', header('21', '21', tcp4), malformed('too short for its addresses')],
    [
      'that announces 65,535 bytes without waiting for them',
      Buffer.from(`${signature}2111ffff`, 'hex'),
      malformed('a header of 65551 bytes'),
    ],
  ];
  for (const [name, bytes, expected] of cases) {
    it(`parseProxyHeader() handles a header ${name}`, () =>
      assert.deepEqual(parseProxyHeader(bytes), expected));
  }

  it('parseProxyHeader() returns the same result for any slice of a larger buffer', () => {
    const bytes = Buffer.concat([Buffer.from('before'), header('21', '11', tcp4)]).subarray(6);
    assert.deepEqual(parseProxyHeader(bytes), ipv4Client);
  });

  it('parseProxyHeader() never throws, waits only for a bounded number of bytes, and never changes its decision', () => {
    const likely = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc
        .record({
          versionCommand: fc.constantFrom(0x20, 0x21, 0x22, 0x31),
          family: fc.constantFrom(0x00, 0x11, 0x12, 0x21, 0x22, 0x31),
          length: fc.integer({ min: 0, max: 4000 }),
          body: fc.uint8Array({ maxLength: 100 }),
        })
        .map(({ versionCommand, family, length, body }) =>
          Buffer.concat([
            Buffer.from(signature, 'hex'),
            Buffer.from([versionCommand, family, length >> 8, length & 0xff]),
            body,
          ]),
        ),
    );
    fc.assert(
      fc.property(likely, (bytes) => {
        let decided: ProxyHeader | undefined;
        for (let length = 0; length <= bytes.length; length += 1) {
          const parsed = parseProxyHeader(bytes.subarray(0, length));
          if (decided !== undefined) assert.deepEqual(parsed, decided);
          else if (parsed.kind !== 'incomplete') decided = parsed;
        }
        if (decided === undefined) assert.ok(bytes.length < maxProxyHeaderBytes);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('ProxyHeaderReader', () => {
  const bytes = Buffer.concat([header('21', '11', tcp4 + awsEndpoint), Buffer.from('USER a\r\n')]);

  it('The PROXY header reader returns the same header and rest wherever the bytes are divided into chunks', () => {
    const expected = { ...ipv4Client, lengthBytes: bytes.length - 8 };
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 40 }), (sizes) => {
        const reader = new ProxyHeaderReader();
        let position = 0;
        for (const size of [...sizes, bytes.length]) {
          const result = reader.push(bytes.subarray(position, position + size));
          position = Math.min(position + size, bytes.length);
          if (result === undefined) continue;
          assert.deepEqual(result.header, expected);
          assert.equal(result.rest.toString() + bytes.subarray(position).toString(), 'USER a\r\n');
          return;
        }
        assert.fail('no header was found');
      }),
    );
  });

  it('The PROXY header reader returns all bytes as the rest if they are no header', () => {
    const reader = new ProxyHeaderReader();
    assert.equal(reader.push(Buffer.from('\r\n')), undefined);
    assert.deepEqual(reader.push(Buffer.from('USER a\r\n')), {
      header: malformed('no PROXY version 2 signature'),
      rest: Buffer.from('\r\nUSER a\r\n'),
    });
  });
});

function malformed(reason: string): ProxyHeader {
  return { kind: 'malformed', reason };
}
