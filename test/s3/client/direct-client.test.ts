import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { DirectRequest } from '../../../src/s3/client/direct-client.ts';
import { classify } from '../../../src/s3/client/errors.ts';
import { headObject } from '../../../src/s3/client/operations.ts';
import { createS3Client, type GatewayS3Client } from '../../../src/s3/client/s3-client.ts';
import { bytesOf, digest, mib } from '../transfer.ts';

type Handle = (request: IncomingMessage, response: ServerResponse) => void;

const credentials = { accessKeyId: 'id', secretAccessKey: 'secret' };

describe('The direct client', () => {
  let server: Server;
  let client: GatewayS3Client;
  /** One for each request that arrives, the last one for all that follow. */
  let handlers: Handle[];
  let arrived: IncomingMessage[];

  before(async () => {
    server = createServer((request, response) => {
      arrived.push(request);
      const handle = handlers.length > 1 ? handlers.shift() : handlers[0];
      handle?.(request, response);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const endpoint = `http://127.0.0.1:${port}`;
    client = createS3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  });
  beforeEach(() => {
    arrived = [];
    handlers = [];
  });
  after(() => {
    assert.equal(client.direct.inFlight, 0, 'no request is left');
    client.destroy();
    server.closeAllConnections();
    server.close();
  });

  const get = (more: Partial<DirectRequest> = {}) =>
    client.direct.send({ method: 'GET', bucket: 'bucket', key: 'key', ...more });
  const answerWith =
    (status: number, body = '', headers: Record<string, string> = {}): Handle =>
    (request, response) => {
      request.resume().once('end', () => response.writeHead(status, headers).end(body));
    };
  const errorXml = (code: string) =>
    `<?xml version="1.0"?><Error><Code>${code}</Code><Message>a &amp; b</Message></Error>`;
  const ok = answerWith(200, 'whole');

  it('A HEAD that is refused with 400 is a name that is not allowed only where a segment has over 255 bytes', async () => {
    handlers = [answerWith(400)];
    const head = (key: string) => headObject(client, { bucket: 'bucket', key });
    await assert.rejects(head(`home/${'é'.repeat(128)}`), { kind: 'name-not-allowed' });
    for (const key of ['short', `${'a'.repeat(255)}/${'b'.repeat(255)}`]) {
      await assert.rejects(head(key), (error) => classify(error) === 'unavailable');
    }
  });

  it('The direct client encodes the key for the URL and for the signature', async () => {
    handlers = [ok];
    await (await get({ key: "a b/ü+'(*)?.txt", query: { partNumber: '1', uploadId: 'x/y' } })).bytes();
    assert.equal(arrived[0]?.url, '/bucket/a%20b/%C3%BC%2B%27%28%2A%29%3F.txt?partNumber=1&uploadId=x%2Fy');
    assert.match(
      arrived[0].headers.authorization ?? '',
      /^AWS4-HMAC-SHA256 Credential=id\/\d{8}\/us-east-1\/s3\//,
    );
  });

  it('The direct client reuses one connection for GET of objects and small PUTs, and one for all other requests', async () => {
    let connections = 0;
    const count = () => connections++;
    server.on('connection', count);
    handlers = [ok];
    const body = { chunks: [Buffer.from('x')], sizeBytes: 1 };
    await (await get()).bytes();
    // undici may open a second connection when the first one has just carried its first response.
    for (let round = 0; round < 2; round++) await (await get({ method: 'HEAD' })).bytes();
    const before = connections;
    for (const more of [{ method: 'HEAD' }, {}, { method: 'PUT', body }, { method: 'HEAD' }, {}] as const) {
      await (await get(more)).bytes();
    }
    server.off('connection', count);
    assert.equal(connections, before);
  });

  it('The direct client sends requests for the bucket itself', async () => {
    handlers = [ok];
    await (
      await client.direct.send({ method: 'GET', bucket: 'bucket', query: { 'list-type': '2' } })
    ).bytes();
    assert.equal(arrived[0]?.url, '/bucket?list-type=2');
  });

  it('The direct client rejects with the error code of S3', async () => {
    handlers = [answerWith(403, errorXml('AccessDenied'), { 'x-amz-request-id': 'R1' })];
    await assert.rejects(get(), (error: Error & { $metadata?: unknown }) => {
      assert.equal(error.name, 'AccessDenied');
      assert.equal(error.message, 'a & b');
      assert.deepEqual(error.$metadata, { httpStatusCode: 403, requestId: 'R1' });
      return true;
    });
    assert.equal(arrived.length, 1, 'what S3 refuses is not asked again');
  });

  it('The direct client names an error response without a body by its status', async () => {
    for (const [status, name] of [
      [404, 'NotFound'],
      [412, 'PreconditionFailed'],
      [403, 'HTTP 403'],
    ] as const) {
      handlers = [answerWith(status)];
      await assert.rejects(get({ method: 'HEAD' }), { name });
    }
  });

  for (const [fault, handle] of [
    ['S3 says SlowDown', answerWith(503, errorXml('SlowDown'))],
    ['S3 fails', answerWith(500, errorXml('InternalError'))],
    ['the connection is reset', (request: IncomingMessage) => request.socket.resetAndDestroy()],
    ['the connection is closed', (request: IncomingMessage) => request.socket.destroy()],
  ] as const) {
    it(`The direct client sends the same bytes again when ${fault}`, async () => {
      const received: Buffer[][] = [];
      const takeThen =
        (then: Handle): Handle =>
        (request, response) => {
          const body: Buffer[] = [];
          received.push(body);
          request.on('data', (bytes: Buffer) => body.push(bytes));
          if (then === ok) request.once('end', () => response.end());
          else then(request, response);
        };
      handlers = [takeThen(handle), takeThen(ok)];
      const bytes = bytesOf(mib);
      const body = { chunks: [bytes.subarray(0, 300_000), bytes.subarray(300_000)], sizeBytes: mib };
      await client.direct.send({ method: 'PUT', bucket: 'bucket', key: 'key', body });
      assert.equal(received.length, 2);
      assert.equal(digest(Buffer.concat(received[1] ?? [])), digest(bytes));
    });
  }

  it('The direct client gives up after three attempts', async () => {
    handlers = [answerWith(500, errorXml('InternalError'))];
    await assert.rejects(get(), { name: 'InternalError' });
    assert.equal(arrived.length, 3);
  });

  it('The direct client accepts a 200 as success only if its body has the expected result', async () => {
    const result = '<CopyObjectResult xmlns="x"><ETag>&quot;e&quot;</ETag></CopyObjectResult>';
    const copy = () =>
      client.direct.sendForResult({ method: 'PUT', bucket: 'bucket', key: 'key' }, 'CopyObjectResult');
    handlers = [answerWith(200, errorXml('InternalError')), answerWith(200, result)];
    assert.equal(await copy(), result);
    handlers = [answerWith(200, errorXml('SlowDown').replace('<Error>', '<Error xmlns="x">'))];
    await assert.rejects(copy(), { name: 'SlowDown' });
    for (const body of ['', '<?xml version="1.0"?>', '<html></html>', '<CopyObjectResult><ETag>']) {
      arrived = [];
      handlers = [answerWith(200, body)];
      await assert.rejects(copy(), { name: 'HTTP 500' }, body);
      assert.equal(arrived.length, 3, 'it was asked again');
    }
  });

  it('The direct client retries when the XML of a response is cut off', async () => {
    const result = '<ListBucketResult></ListBucketResult>';
    handlers = [
      (_request, response) => {
        response.writeHead(200, { 'content-length': 100 });
        response.write('<ListBucketResult>', () => response.destroy());
      },
      answerWith(200, result),
    ];
    const list = { method: 'GET', bucket: 'bucket' } as const;
    assert.equal(await client.direct.sendForResult(list, 'ListBucketResult'), result);
  });

  it('The direct client stops on an abort while credentials are fetched, or before a request is sent', async () => {
    const reason = new Error('426');
    const fetching = new AbortController();
    const slow = createS3Client({
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: async () => {
        await setTimeout(20);
        fetching.abort(reason);
        return credentials;
      },
    });
    const request = { method: 'GET', bucket: 'bucket', key: 'key' } as const;
    await assert.rejects(slow.direct.send({ ...request, signal: fetching.signal }), reason);
    assert.equal(slow.direct.inFlight, 0);

    const throttled = new AbortController();
    handlers = [answerWith(503, errorXml('SlowDown'))];
    const startedAtMs = performance.now();
    const refused = assert.rejects(get({ signal: throttled.signal }), reason);
    await once(server, 'request');
    throttled.abort(reason);
    await refused;
    assert.ok(performance.now() - startedAtMs < 1_000);
    slow.destroy();
  });

  it('The direct client survives a response that ends its connection while its body is not read', async () => {
    const body = bytesOf(8 * mib);
    for (const end of ['end', 'resetAndDestroy'] as const) {
      handlers = [
        (request, response) => {
          response.writeHead(200, { connection: 'close', 'content-length': body.length });
          response.end(body, () => {
            if (end === 'resetAndDestroy') request.socket.resetAndDestroy();
          });
        },
      ];
      const answer = await get();
      await setTimeout(50);
      const taken = answer.bytes().catch(() => undefined);
      const bytes = await taken;
      if (end === 'end') assert.equal(digest(bytes), digest(body));
      else assert.ok(bytes === undefined || digest(bytes) === digest(body));
    }
  });

  it('The direct client signs with the time of S3 when its own clock is wrong', async () => {
    const serverTime = new Date(Date.now() + 3_600_000);
    const hour = serverTime.toISOString().slice(0, 13).replaceAll('-', '');
    for (const method of ['GET', 'HEAD'] as const) {
      arrived = [];
      const body = method === 'GET' ? errorXml('RequestTimeTooSkewed') : '';
      handlers = [answerWith(403, body, { date: serverTime.toUTCString() }), ok];
      await (await get({ method })).bytes();
      assert.ok(String(arrived[1]?.headers['x-amz-date']).startsWith(hour));
      client.config.systemClockOffset = 0;
    }
  });

  it('The direct client retries every parallel request that S3 refused because of a wrong clock', async () => {
    const serverTime = new Date(Date.now() + 3_600_000);
    const waiting: ServerResponse[] = [];
    const bothArrived = Promise.withResolvers<undefined>();
    const refuse = (response: ServerResponse) =>
      response.writeHead(403, { date: serverTime.toUTCString() }).end();
    const holdBack: Handle = (_request, response) => {
      if (waiting.push(response) === 2) bothArrived.resolve(undefined);
    };
    handlers = [holdBack, holdBack, ok];
    const requests = [get({ method: 'HEAD' }), get({ method: 'HEAD' })];
    await bothArrived.promise;
    const [first, second] = waiting;
    refuse(first!);
    // The first refusal has corrected the clock by the time the second one comes in.
    await Promise.race(requests);
    refuse(second!);
    for (const answer of await Promise.all(requests)) assert.equal(answer.status, 200);
    assert.equal(arrived.length, 4);
    client.config.systemClockOffset = 0;
  });

  it('The direct client treats a 403 as final when the request was signed with the correct time', async () => {
    client.config.systemClockOffset = 3_600_000;
    const serverTime = new Date(Date.now() + 3_600_000);
    handlers = [answerWith(403, errorXml('AccessDenied'), { date: serverTime.toUTCString() })];
    await assert.rejects(get(), { name: 'AccessDenied' });
    assert.equal(arrived.length, 1);
    assert.equal(client.config.systemClockOffset, 3_600_000);
    client.config.systemClockOffset = 0;
  });

  it('The direct client reads only little of a body that is not consumed', async () => {
    const body = bytesOf(32 * mib);
    let socket: Socket | undefined;
    handlers = [
      (request, response) => {
        socket = request.socket;
        response.writeHead(200, { 'content-length': body.length });
        response.end(body);
      },
    ];
    const answer = await get();
    assert.equal(answer.status, 200);
    // The kernel's buffers fill up, and the rest stays with the server.
    let waitingBytes = Infinity;
    while (socket!.writableLength < waitingBytes) {
      waitingBytes = socket!.writableLength;
      await setTimeout(50);
    }
    assert.ok(waitingBytes > 16 * mib, `${waitingBytes} bytes wait`);
    assert.equal(digest(await answer.bytes()), digest(body));
  });

  it('The direct client reads the whole body when it is asked to buffer it', async () => {
    const body = bytesOf(8 * mib);
    const sent = Promise.withResolvers<undefined>();
    handlers = [(_request, response) => response.end(body, () => sent.resolve(undefined))];
    const answer = await get();
    answer.bufferAll();
    await sent.promise;
    assert.equal(digest(await answer.bytes()), digest(body));
    assert.equal(answer.isEmpty, false);
  });

  it('The direct client ends the request immediately when the signal aborts, and rejects with its reason', async () => {
    const transfer = new AbortController();
    const reason = new Error('426');
    handlers = [() => transfer.abort(reason)];
    await assert.rejects(get({ signal: transfer.signal }), reason);
    assert.equal(client.direct.inFlight, 0);

    const body = new AbortController();
    handlers = [(_request, response) => response.write('first')];
    const answer = await get({ signal: body.signal });
    await answer.read();
    body.abort(reason);
    await assert.rejects(answer.read(), reason);
    assert.equal(client.direct.inFlight, 0);
  });

  it('The direct client rejects when a body ends before its announced length', async () => {
    handlers = [
      (_request, response) => {
        response.writeHead(200, { 'content-length': 10 });
        response.write('12345', () => response.destroy());
      },
    ];
    await assert.rejects(async () => (await get()).bytes());
  });

  it('The direct client times out when the server stops sending', async () => {
    const shortTimeouts = createS3Client({
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials,
      idleTimeoutMs: 500,
    });
    handlers = [() => undefined];
    await assert.rejects(shortTimeouts.direct.send({ method: 'GET', bucket: 'bucket', key: 'key' }), {
      name: 'ResponseTimeout',
    });
    await assert.rejects(shortTimeouts.direct.send({ method: 'HEAD', bucket: 'bucket', key: 'key' }), {
      code: 'UND_ERR_HEADERS_TIMEOUT',
    });
    shortTimeouts.destroy();
  });
});
