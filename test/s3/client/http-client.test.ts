import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { setDefaultCACertificates, getCACertificates } from 'node:tls';
import { HttpClient, maxIdleConnections } from '../../../src/s3/client/http-client.ts';
import { bufferBytes } from '../../../src/s3/client/receive-buffers.ts';
import type { S3Response } from '../../../src/s3/client/response.ts';
import { maxHeadBytes } from '../../../src/s3/client/response-parser.ts';
import { testCertificate } from '../../support/certificate.ts';
import { bytesOf, digest, mib } from '../transfer.ts';
import { closed, respondWith, startScriptedServer, type ScriptedServer } from './scripted-server.ts';

const limits = { connectionTimeoutMs: 5_000, idleTimeoutMs: 5_000 };

for (const tls of [false, true]) {
  describe(`The GET client ${tls ? 'over TLS' : 'in clear'}`, () => {
    const over = tls ? 'over TLS' : 'in clear';
    let server: ScriptedServer;
    let client: HttpClient;
    const trusted = getCACertificates('default');

    before(async () => {
      server = await startScriptedServer({ tls });
      // Alone: OpenSSL finds an issuer by its name, and other test certificates have the same name.
      setDefaultCACertificates([(await testCertificate()).chain]);
    });
    after(async () => {
      setDefaultCACertificates(trusted);
      await server.close();
    });
    beforeEach(() => {
      client = new HttpClient(limits);
      server.requests.length = 0;
    });
    afterEach(() => {
      assert.equal(client.inFlight, 0, 'no request is left');
      client.close();
    });

    const get = (signal?: AbortSignal, headers: Record<string, string> = { host: 'x' }) =>
      client.send({ method: 'GET', origin: server.origin, path: '/bucket/key', headers, signal });
    const connectionsUsed = () => new Set(server.requests.map(({ connection }) => connection)).size;

    it(`A GET ${over} sends its headers and receives status, headers and body`, async () => {
      server.answers = [respondWith('body', 'ETag: "e"\r\n')];
      const response = await get(undefined, { host: 'x', range: 'bytes=0-3' });
      assert.equal(response.status, 200);
      assert.equal(response.headers['etag'], '"e"');
      assert.equal(await response.text(), 'body');
      assert.equal(
        server.requests[0]?.head,
        'GET /bucket/key HTTP/1.1\r\nhost: x\r\nrange: bytes=0-3\r\n\r\n',
      );
    });

    const put = (chunks: readonly Uint8Array[], signal?: AbortSignal) => {
      const body = { chunks, sizeBytes: chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0) };
      const headers = { host: 'x' };
      return client.send({
        method: 'PUT',
        origin: server.origin,
        path: '/bucket/key',
        headers,
        body,
        signal,
      });
    };

    it(`A PUT ${over} sends its length and all chunks of its body, and shares connections with GET`, async () => {
      server.answers = [respondWith('')];
      for (const sizes of [[], [1], [4096], [10, 16_384, 3], [65_536]]) {
        const chunks = sizes.map((size, index) => bytesOf(size, index + 1));
        server.requests.length = 0;
        await (await put(chunks)).bytes();
        const [request] = server.requests;
        const sent = Buffer.concat(chunks);
        assert.equal(
          request?.head,
          `PUT /bucket/key HTTP/1.1\r\nhost: x\r\ncontent-length: ${sent.length}\r\n\r\n`,
        );
        assert.ok(Buffer.from(request.body, 'latin1').equals(sent), `${sent.length} bytes`);
        await (await get()).bytes();
        assert.equal(connectionsUsed(), 1);
      }
    });

    it(`A PUT ${over} copies its body before it returns, so that the chunks can be used again`, async () => {
      server.answers = [respondWith('')];
      const chunk = Buffer.alloc(4096, 'a');
      const sending = put([chunk]);
      chunk.fill('b');
      await (await sending).bytes();
      assert.equal(server.requests[0]?.body, 'a'.repeat(4096));
    });

    it(`A PUT ${over} whose kept connection was closed before its response is not sent again`, async () => {
      server.answers = [respondWith(''), (socket) => socket.destroy(), respondWith('')];
      await (await put([Buffer.from('first')])).bytes();
      await assert.rejects(put([Buffer.from('second')]), { code: 'ECONNRESET' });
      assert.deepEqual(
        server.requests.map(({ body }) => body),
        ['first', 'second'],
      );
    });

    it(`A PUT ${over} that is refused before its body was read receives the refusal, and the next request its own response`, async (t) => {
      server.answersHeads = true;
      t.after(() => (server.answersHeads = false));
      const refusal = 'HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno';
      server.answers = [(socket) => socket.end(refusal), respondWith('yes')];
      const response = await put([bytesOf(65_536, 1)]);
      assert.equal(response.status, 403);
      assert.equal(await response.text(), 'no');
      assert.equal(await (await get()).text(), 'yes');
    });

    it(`A PUT ${over} rejects with the reason of its signal while it waits for the response`, async () => {
      const reason = new Error('426');
      const transfer = new AbortController();
      server.answers = [() => transfer.abort(reason)];
      await assert.rejects(put([Buffer.from('body')], transfer.signal), reason);
    });

    it(`A GET ${over} refuses a header that would begin another line`, async () => {
      await assert.rejects(get(undefined, { host: 'x', 'x-token': 'a\r\nb: c' }), TypeError);
      assert.equal(server.requests.length, 0);
    });

    it(`A GET ${over} receives a body of any length around the sizes of the buffers`, async () => {
      for (const around of [0, bufferBytes.small, 64 * 1024, bufferBytes.large, 3 * bufferBytes.large]) {
        for (const sizeBytes of [around - 200, around - 1, around, around + 1, around + 200].filter(
          (n) => n >= 0,
        )) {
          const body = bytesOf(sizeBytes, around + 1);
          server.answers = [respondWith(body)];
          assert.equal(digest(await (await get()).bytes()), digest(body), `${sizeBytes} bytes`);
        }
      }
      assert.equal(connectionsUsed(), 1);
    });

    // 16 KiB are three responses of 5,000 bytes and the beginning of the fourth one.
    it(`A GET ${over} receives heads that are split over the end of a buffer`, async () => {
      const held: Uint8Array[] = [];
      for (let request = 0; request < 200; request++) {
        const body = bytesOf(4_000 + request * 7, request + 1);
        server.answers = [respondWith(body, `x-filler: ${'y'.repeat(request * 3)}\r\n`)];
        const response = await get();
        const chunks: Uint8Array[] = [];
        for (let batch = await response.read(); batch; batch = await response.read()) chunks.push(...batch);
        assert.equal(digest(Buffer.concat(chunks)), digest(body), `request ${request}`);
        // Some views are recycled late, so that buffers are full at all places.
        held.push(...chunks);
        if (request % 3 === 0) for (const view of held.splice(0)) client.buffers.recycle(view);
      }
      assert.equal(connectionsUsed(), 1);
    });

    it(`A chunk of a GET ${over} keeps its bytes until it is recycled, whatever arrives meanwhile`, async () => {
      const body = bytesOf(8 * mib, 5);
      server.answers = [respondWith(body)];
      const response = await get();
      const held: Uint8Array[] = [];
      let receivedBytes = 0;
      for (let batch = await response.read(); batch; batch = await response.read()) {
        for (const view of batch) {
          held.push(view);
          assert.ok(
            Buffer.from(view).equals(body.subarray(receivedBytes, receivedBytes + view.byteLength)),
            `at ${receivedBytes}`,
          );
          receivedBytes += view.byteLength;
        }
        // Half of them are recycled: their memory is written to again, and that of the others is not.
        if (held.length >= 8) for (const view of held.splice(0, 4)) client.buffers.recycle(view);
        await nextTurn();
      }
      assert.equal(receivedBytes, body.length);
      const heldBytes = held.reduce((sum, view) => sum + view.byteLength, 0);
      const tail = Buffer.concat(held);
      assert.ok(heldBytes > 0 && tail.equals(body.subarray(body.length - heldBytes)));
    });

    it(`A GET ${over} whose chunks are recycled needs few buffers for a large body`, async () => {
      const body = bytesOf(32 * mib, 3);
      server.answers = [respondWith(body)];
      const response = await get();
      const memory = new Set<ArrayBufferLike>();
      for (let batch = await response.read(); batch; batch = await response.read()) {
        for (const view of batch) {
          memory.add(view.buffer);
          client.buffers.recycle(view);
        }
      }
      assert.ok(memory.size <= 6, `${memory.size} buffers`);
    });

    it(`A GET ${over} pauses while its body is not read, and does not time out meanwhile`, async () => {
      const quick = new HttpClient({ connectionTimeoutMs: 5_000, idleTimeoutMs: 200 });
      const body = bytesOf(32 * mib, 2);
      server.answers = [respondWith(body)];
      const response = await quick.send({
        method: 'GET',
        origin: server.origin,
        path: '/',
        headers: { host: 'x' },
      });
      const socket = server.connections.at(-1);
      await delay(600);
      assert.ok((socket?.writableLength ?? 0) > 16 * mib, 'most of the body is still with the server');
      assert.equal(digest(await response.bytes()), digest(body));
      quick.close();
    });

    it(`A GET ${over} receives chunked bodies`, async () => {
      const body = bytesOf(700_000, 4);
      server.answers = [
        (socket) => {
          socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
          for (let at = 0; at < body.length; at += 70_001) {
            const chunk = body.subarray(at, at + 70_001);
            socket.write(`${chunk.length.toString(16)}\r\n`);
            socket.write(chunk);
            socket.write('\r\n');
          }
          socket.write('0\r\n\r\n');
        },
      ];
      assert.equal(digest(await (await get()).bytes()), digest(body));
      assert.equal(digest(await (await get()).bytes()), digest(body));
      assert.equal(connectionsUsed(), 1);
    });

    it(`A GET ${over} skips informational responses`, async () => {
      server.answers = [
        (socket, head) => {
          socket.write('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n');
          respondWith('body')(socket, head);
        },
      ];
      assert.equal(await (await get()).text(), 'body');
    });

    it(`A GET ${over} receives a body that ends with the connection`, async () => {
      server.answers = [(socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nuntil the end')];
      assert.equal(await (await get()).text(), 'until the end');
      server.answers = [respondWith('next')];
      assert.equal(await (await get()).text(), 'next');
      assert.equal(connectionsUsed(), 2);
    });

    for (const [what, answer] of [
      ['with Connection: close', respondWith('body', 'Connection: close\r\n')],
      ['that the server keeps for less than a second', respondWith('body', 'Keep-Alive: timeout=1\r\n')],
      [
        'that sends more than its response',
        (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbodyHTTP/1.1 200 OK\r\n'),
      ],
    ] as const satisfies readonly (readonly [string, (typeof server.answers)[number]])[]) {
      it(`A connection ${over} ${what} is not used again`, async () => {
        server.answers = [answer];
        assert.equal(await (await get()).text(), 'body');
        assert.equal(await (await get()).text(), 'body');
        assert.equal(connectionsUsed(), 2);
        assert.equal(client.idleConnections, 0);
      });
    }

    // A TLS socket cannot be reset.
    const ends = tls ? (['destroy', 'end'] as const) : (['destroy', 'end', 'resetAndDestroy'] as const);
    for (const end of ends) {
      it(`A GET ${over} is sent again at once when the server closes a kept connection by ${end}`, async () => {
        server.answers = [respondWith('first'), (socket) => socket[end](), respondWith('second')];
        assert.equal(await (await get()).text(), 'first');
        assert.equal(await (await get()).text(), 'second');
        assert.equal(server.requests.length, 3);
        assert.equal(connectionsUsed(), 2);
      });
    }

    it(`A GET ${over} on a new connection that the server closes fails, and is not sent again`, async () => {
      server.answers = [(socket) => socket.destroy()];
      await assert.rejects(get(), { code: 'ECONNRESET' });
      assert.equal(server.requests.length, 1);
    });

    it(`A GET ${over} on a kept connection that closes after the first byte fails, and is not sent again`, async () => {
      server.answers = [respondWith('first'), (socket) => socket.write('H', () => socket.destroy())];
      await (await get()).text();
      await assert.rejects(get());
      assert.equal(server.requests.length, 2);
    });

    it(`A GET ${over} fails after the beginning of a body whose connection closes, and keeps that beginning`, async () => {
      server.answers = [
        (socket) =>
          socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345', () => socket.destroy()),
      ];
      const response = await get();
      let received = '';
      await assert.rejects(async () => {
        for (let batch = await response.read(); batch; batch = await response.read())
          received += Buffer.concat(batch).toString();
      });
      assert.equal(received, '12345');
    });

    it(`A GET ${over} fails on what is no HTTP response`, async () => {
      for (const wire of ['SSH-2.0-x\r\n', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(maxHeadBytes)}`, '\0\0\0']) {
        server.answers = [(socket) => socket.write(wire)];
        await assert.rejects(get(), { name: 'MalformedResponse' });
      }
    });

    it(`A GET ${over} times out when no byte of the response arrives, and when its body stops`, async () => {
      const quick = new HttpClient({ connectionTimeoutMs: 5_000, idleTimeoutMs: 100 });
      const request = { method: 'GET', origin: server.origin, path: '/', headers: { host: 'x' } } as const;
      server.answers = [() => undefined];
      await assert.rejects(quick.send(request), { name: 'ResponseTimeout', code: 'ETIMEDOUT' });
      server.answers = [(socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n1')];
      const response = await quick.send(request);
      await assert.rejects(response.bytes(), { name: 'ResponseTimeout', code: 'ETIMEDOUT' });
      assert.equal(quick.inFlight, 0);
      quick.close();
    });

    it(`A GET ${over} rejects with the reason of its signal, before and after the response began`, async () => {
      const reason = new Error('426');
      for (const answer of [undefined, 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n1']) {
        const transfer = new AbortController();
        server.answers = [
          (socket) => {
            if (answer === undefined) transfer.abort(reason);
            else socket.write(answer);
          },
        ];
        await assert.rejects(async () => {
          const response = await get(transfer.signal);
          await response.read();
          transfer.abort(reason);
          assert.equal(client.inFlight, 0);
          await response.read();
        }, reason);
      }
    });

    it(`The end of a response ${over} that is not needed closes its connection`, async () => {
      server.answers = [respondWith(bytesOf(4 * mib))];
      const response = await get();
      response.destroy();
      await closed(server.connections.at(-1)!);
      assert.equal(client.idleConnections, 0);
    });

    it(`An idle connection ${over} closes when the server sends something or closes it`, async () => {
      for (const unasked of [
        (socket: ScriptedServer['connections'][number]) =>
          socket.write('HTTP/1.1 408 Request Timeout\r\n\r\n'),
        (socket: ScriptedServer['connections'][number]) => socket.end(),
      ]) {
        server.answers = [respondWith('body')];
        await (await get()).text();
        const socket = server.connections.at(-1)!;
        unasked(socket);
        await closed(socket);
        while (client.idleConnections > 0) await nextTurn();
      }
    });

    it(`Closing the client ${over} fails requests under way and further ones`, async () => {
      server.answers = [() => client.close()];
      await assert.rejects(get(), { code: 'ECONNABORTED' });
      await assert.rejects(get(), { code: 'ECONNABORTED' });
    });
  });
}

describe('The GET client', () => {
  it('The GET client times out when a connection is not made', async () => {
    // Accepts connections, and never takes part in the TLS handshake.
    const silent = createServer((socket) => socket.on('error', () => undefined));
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    const { port } = silent.address() as AddressInfo;
    const client = new HttpClient({ connectionTimeoutMs: 100, idleTimeoutMs: 60_000 });
    const request = {
      method: 'GET',
      origin: `https://127.0.0.1:${port}`,
      path: '/',
      headers: { host: 'x' },
    } as const;
    await assert.rejects(client.send(request), { name: 'ConnectTimeout', code: 'ETIMEDOUT' });
    client.close();
    silent.close();
  });

  it('The GET client refuses a certificate that it does not trust', async () => {
    const server = await startScriptedServer({ tls: true });
    const client = new HttpClient(limits);
    const request = { method: 'GET', origin: server.origin, path: '/', headers: { host: 'x' } } as const;
    await assert.rejects(client.send(request), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
    client.close();
    await server.close();
  });

  it('The GET client keeps a limited number of idle connections', async () => {
    const server = await startScriptedServer();
    const client = new HttpClient(limits);
    const waiting: (() => void)[] = [];
    const allArrived = Promise.withResolvers<undefined>();
    const count = maxIdleConnections + 20;
    server.answers = [
      (socket, head) => {
        waiting.push(() => respondWith('body')(socket, head));
        if (waiting.length === count) allArrived.resolve(undefined);
      },
    ];
    const responses: Promise<S3Response>[] = [];
    for (let request = 0; request < count; request++)
      responses.push(
        client.send({ method: 'GET', origin: server.origin, path: '/', headers: { host: 'x' } }),
      );
    await allArrived.promise;
    for (const respond of waiting) respond();
    for (const response of responses) await (await response).text();
    assert.equal(client.idleConnections, maxIdleConnections);
    client.close();
    await server.close();
  });

  it('The GET client closes an idle connection before the server does', async () => {
    const server = await startScriptedServer();
    const client = new HttpClient({ connectionTimeoutMs: 200, idleTimeoutMs: 5_000 });
    server.answers = [respondWith('body', 'Keep-Alive: timeout=2\r\n')];
    await (
      await client.send({ method: 'GET', origin: server.origin, path: '/', headers: { host: 'x' } })
    ).text();
    assert.equal(client.idleConnections, 1);
    const startedAtMs = performance.now();
    await once(server.connections[0]!, 'end');
    assert.ok(performance.now() - startedAtMs < 1_900);
    client.close();
    await server.close();
  });
});
