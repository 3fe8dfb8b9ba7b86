import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  MalformedResponse,
  maxHeadBytes,
  maxInformationalResponses,
  type ResponseHead,
  ResponseParser,
} from '../../../src/s3/client/response-parser.ts';

type Parsed = {
  readonly heads: readonly ResponseHead[];
  readonly body: string;
  readonly isOver: boolean;
  readonly keepsAlive: boolean;
  /** Bytes behind the end of the response. */
  readonly rest: number;
};

/** Parses a response that arrives in pieces of the given lengths, each at another place of a buffer full of other bytes. */
function parse(wire: string, pieces: readonly number[] = [wire.length], finish = false): Parsed {
  const bytes = Buffer.from(wire, 'latin1');
  const heads: ResponseHead[] = [];
  const body: Buffer[] = [];
  let piece = Buffer.alloc(0);
  const parser = new ResponseParser({
    onHead: (head) => heads.push(head),
    onBody: (from, to) => body.push(Buffer.from(piece.subarray(from, to))),
  });
  let at = 0;
  let rest = 0;
  for (const length of pieces) {
    const from = (at * 7) % 13;
    piece = Buffer.alloc(from + length + 5, '\n');
    bytes.copy(piece, from, at, at + length);
    const parsedTo = parser.execute(piece, from, from + length);
    rest += from + length - parsedTo;
    at += length;
  }
  if (finish) parser.finish();
  return {
    heads,
    body: Buffer.concat(body).toString('latin1'),
    isOver: parser.isOver,
    keepsAlive: parser.keepsAlive,
    rest,
  };
}

const responses: readonly {
  readonly name: string;
  readonly wire: string;
  readonly status?: number;
  readonly body: string;
  readonly keepsAlive: boolean;
  readonly rest?: number;
  readonly closed?: true;
}[] = [
  {
    name: 'a body of announced length',
    wire: 'HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nETag: "e"\r\n\r\n12\r\n5',
    status: 206,
    body: '12\r\n5',
    keepsAlive: true,
  },
  {
    name: 'no body at all',
    wire: 'HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n',
    body: '',
    keepsAlive: true,
  },
  {
    name: 'a status line without a reason',
    wire: 'HTTP/1.1 204\r\n\r\n',
    status: 204,
    body: '',
    keepsAlive: true,
  },
  {
    name: 'a 304, whose length is that of another response',
    wire: 'HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n',
    status: 304,
    body: '',
    keepsAlive: true,
  },
  {
    name: 'a chunked body with extensions and trailers',
    wire: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0A;x=y;z\r\n0123456789\r\n000\r\nx-t: 1\r\n\r\n',
    body: 'abc0123456789',
    keepsAlive: true,
  },
  {
    name: 'informational responses before the response',
    wire: 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx',
    body: 'x',
    keepsAlive: true,
  },
  {
    name: 'Connection: close',
    wire: 'HTTP/1.1 200 OK\r\nConnection: foo , Close\r\ncontent-length: 1\r\n\r\nx',
    body: 'x',
    keepsAlive: false,
  },
  { name: 'HTTP/1.0', wire: 'HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx', body: 'x', keepsAlive: false },
  {
    name: 'HTTP/1.0 that keeps the connection',
    wire: 'HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx',
    body: 'x',
    keepsAlive: true,
  },
  {
    name: 'a body that ends with the connection',
    wire: 'HTTP/1.1 403 Forbidden\r\n\r\n<Error/>',
    status: 403,
    body: '<Error/>',
    keepsAlive: false,
    closed: true,
  },
  {
    name: 'bytes behind the response',
    wire: 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n',
    body: 'x',
    keepsAlive: true,
    rest: 17,
  },
];

describe('The response parser', () => {
  for (const { name, wire, status = 200, body, keepsAlive, rest = 0, closed } of responses) {
    it(`The response parser reads ${name}, wherever the bytes are split`, () => {
      const whole = parse(wire, undefined, closed);
      assert.equal(whole.heads.length, 1);
      assert.equal(whole.heads[0]?.status, status);
      assert.deepEqual(
        { body: whole.body, isOver: whole.isOver, keepsAlive: whole.keepsAlive, rest: whole.rest },
        { body, isOver: true, keepsAlive, rest },
      );
      for (let split = 0; split <= wire.length; split++) {
        assert.deepEqual(parse(wire, [split, wire.length - split], closed), whole, `split at ${split}`);
      }
      assert.deepEqual(parse(wire, Array<number>(wire.length).fill(1), closed), whole, 'byte by byte');
    });

    it(`The response parser does not take the beginning of ${name} for the whole`, () => {
      const complete = wire.length - rest;
      // A body that ends with the connection is complete at every byte after its head.
      const last = closed ? wire.indexOf('\r\n\r\n') + 3 : complete - 1;
      for (let length = 0; length <= last; length++) {
        assert.equal(parse(wire.slice(0, length)).isOver, false, `after ${length} bytes`);
        assert.throws(() => parse(wire.slice(0, length), [length], true), MalformedResponse);
      }
    });
  }

  it('The response parser joins repeated headers, trims their values and takes no name for a property of objects', () => {
    const wire =
      'HTTP/1.1 200 OK\r\nX-A: 1 \r\nx-a:\t2\r\nx-empty:\r\nConstructor: c\r\n__proto__: p\r\nx-latin: \xfc\r\ncontent-length: 0\r\n\r\n';
    assert.deepEqual(
      { ...parse(wire).heads[0]?.headers },
      {
        'x-a': '1, 2',
        'x-empty': '',
        constructor: 'c',
        ['__proto__']: 'p',
        'x-latin': '\xfc',
        'content-length': '0',
      },
    );
  });

  const head = 'HTTP/1.1 200 OK\r\n';
  const chunked = `${head}transfer-encoding: chunked\r\n\r\n`;
  const refused: readonly (readonly [what: string, wire: string])[] = [
    ['another protocol', 'SSH-2.0-OpenSSH\r\n'],
    ['garbage without a line end', 'HTTQ'],
    ['HTTP/2', 'HTTP/2 200 OK\r\n'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n'],
    ['a line end of LF alone', 'HTTP/1.1 200 OK\n'],
    ['a CR inside of a line', 'HTTP/1.1 200 OK\r\r\n'],
    ['a NUL in a header', `${head}x: a\0b\r\n`],
    ['a space before the colon', `${head}content-length : 1\r\n`],
    ['a header that is continued', `${head}x: a\r\n b\r\n`],
    ['a header without a colon', `${head}content-length\r\n`],
    ['a header without a name', `${head}: 1\r\n`],
    ['two lengths', `${head}content-length: 1\r\ncontent-length: 1\r\n\r\n`],
    ['a length and a coding', `${head}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n`],
    ['a negative length', `${head}content-length: -1\r\n\r\n`],
    ['a length in hexadecimal', `${head}content-length: 0x10\r\n\r\n`],
    ['an empty length', `${head}content-length:\r\n\r\n`],
    ['a length beyond exact numbers', `${head}content-length: 99999999999999999\r\n\r\n`],
    ['a coding that it does not know', `${head}transfer-encoding: gzip, chunked\r\n\r\n`],
    ['chunked twice', `${head}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n`],
    ['a switch of protocols', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
    ['a chunk without a size', `${chunked}\r\n`],
    ['a chunk size with a sign', `${chunked}+1\r\n`],
    ['a chunk size that is too large', `${chunked}fffffffffffffff\r\n`],
    ['a chunk longer than its size', `${chunked}1\r\nab\r\n`],
    ['an endless chunk extension', `${chunked}1;${'x'.repeat(300)}`],
    ['an endless status line', `${head.trimEnd()}${'x'.repeat(maxHeadBytes)}`],
    ['endless headers', `${head}${'x: y\r\n'.repeat(maxHeadBytes / 4)}`],
    ['endless trailers', `${chunked}0\r\n${'x: y\r\n'.repeat(maxHeadBytes / 4)}`],
    [
      'endless informational responses',
      'HTTP/1.1 100 Continue\r\n\r\n'.repeat(maxInformationalResponses + 1),
    ],
  ];
  for (const [what, wire] of refused) {
    it(`The response parser refuses ${what}, wherever the bytes are split`, () => {
      const step = Math.ceil(wire.length / 500);
      for (let split = 0; split <= wire.length; split += step)
        assert.throws(
          () => parse(wire, [split, wire.length - split]),
          MalformedResponse,
          `split at ${split}`,
        );
    });
  }

  it('The response parser accepts a head of the largest size', () => {
    const filler = 'x'.repeat(
      maxHeadBytes - 'HTTP/1.1 200 OK\r'.length - 'x:\r'.length - 'content-length:0\r'.length - 1,
    );
    const wire = `HTTP/1.1 200 OK\r\nx:${filler}\r\ncontent-length:0\r\n\r\n`;
    assert.equal(parse(wire).isOver, true);
    assert.throws(() => parse(wire.replace('x:', 'x:x')), MalformedResponse);
  });

  it('The response parser reads responses of one connection one after the other', () => {
    const bodies: string[] = [];
    const wire = Buffer.from(
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nc\r\n0\r\n\r\n',
    );
    const parser = new ResponseParser({
      onHead: () => undefined,
      onBody: (from, to) => bodies.push(wire.toString('latin1', from, to)),
    });
    const first = parser.execute(wire, 0, wire.length);
    parser.reset();
    assert.equal(parser.execute(wire, first, wire.length), wire.length);
    assert.equal(parser.isOver, true);
    assert.deepEqual(bodies, ['ab', 'c']);
  });
});
