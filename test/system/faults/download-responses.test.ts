/** What becomes of downloads when S3's responses are cut off at any byte, garbage, too long, too short, or of another version. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { FilesystemError } from '../../../src/filesystem/filesystem-error.ts';
import { openS3Download } from '../../../src/s3/download/download.ts';
import { type ScriptedServer, startScriptedServer } from '../../s3/client/scripted-server.ts';
import { bytesOf, digest, mib, readAll } from '../../s3/transfer.ts';
import { storageOn, type ObservedStorage } from '../../support/s3-storage.ts';

/** Longer than one range, so that later requests break as well. */
const object = bytesOf(9 * mib + 11, 8);
const etag = '"one"';

describe('downloads whose responses break', () => {
  let server: ScriptedServer;
  let storage: ObservedStorage;

  before(async () => {
    server = await startScriptedServer();
    storage = storageOn(server.origin, { idleTimeoutMs: 1_600, retryTimeoutMs: 10_000 });
  });
  beforeEach(() => {
    server.requests.length = 0;
  });
  afterEach(() => {
    assert.equal(storage.memory.heldBytes, 0, 'transfer memory is released');
    assert.equal(storage.client.direct.inFlight, 0, 'no request is left');
  });
  after(async () => {
    storage.client.destroy();
    await server.close();
  });

  const download = async (key = 'k'): Promise<Buffer> => {
    const { signal } = new AbortController();
    return readAll((await openS3Download(storage, { bucket: 'b', key, offsetBytes: 0, signal })).content);
  };

  /** The correct response to this request, head and body. */
  function responseTo(head: string, bytes = object, tag = etag): Buffer {
    const [, first = 0, last = 0] = (/range: bytes=(\d+)-(\d+)/i.exec(head) ?? []).map(Number);
    const body = bytes.subarray(first, last + 1);
    const lines = [
      'HTTP/1.1 206 Partial Content',
      `content-range: bytes ${first}-${first + body.length - 1}/${bytes.length}`,
      `content-length: ${body.length}`,
      `etag: ${tag}`,
    ];
    return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body]);
  }
  const answerWhole = (socket: Socket, head: string): void => void socket.write(responseTo(head));

  const headBytes = responseTo('range: bytes=0-8388607').indexOf('\r\n\r\n') + 4;
  const ends = {
    closes: (socket: Socket) => socket.end(),
    resets: (socket: Socket) => socket.resetAndDestroy(),
  };
  for (const [what, end] of Object.entries(ends)) {
    it(`A download is complete when S3 ${what} the connection at any byte of a head or just after it`, async () => {
      const small = object.subarray(0, 5_000);
      const cutKeys = new Set<string>();
      server.answers = [
        (socket, head) => {
          const key = /GET \/b\/(\d+) /.exec(head)?.[1] ?? '';
          const response = responseTo(head, small);
          if (cutKeys.has(key)) socket.write(response);
          else socket.write(response.subarray(0, Number(key)), () => end(socket));
          cutKeys.add(key);
        },
      ];
      const cuts = Array.from({ length: headBytes + 4 }, (_unused, cut) => String(cut));
      await Promise.all(
        cuts.map(async (cut) => assert.equal(digest(await download(cut)), digest(small), `cut at ${cut}`)),
      );
      assert.equal(server.requests.length, 2 * cuts.length);
    });

    it(`A download is complete when S3 ${what} the connection in bodies, around the sizes of its buffers`, async () => {
      for (const bodyBytes of [
        1,
        16_383,
        16_384,
        16_385,
        262_143,
        262_144,
        262_145,
        1_000_000,
        8 * mib - 1,
        8 * mib,
      ]) {
        server.answers = [
          (socket, head) =>
            socket.write(responseTo(head).subarray(0, headBytes + bodyBytes), () => end(socket)),
          answerWhole,
        ];
        assert.equal(digest(await download()), digest(object), `cut after ${bodyBytes} bytes`);
      }
    });
  }

  it('A download that breaks is continued from the byte where it broke', async () => {
    server.answers = [
      (socket, head) => socket.write(responseTo(head).subarray(0, headBytes + 1_000_000), () => socket.end()),
      answerWhole,
    ];
    assert.equal(digest(await download()), digest(object));
    assert.match(server.requests[1]?.head ?? '', /range: bytes=1000000-8388607/);
    assert.match(server.requests[1]?.head ?? '', /if-match: "one"/);
  });

  it('A download is complete when S3 stalls in a head and in a body', async () => {
    for (const sentBytes of [0, 20, headBytes, headBytes + 300_000]) {
      server.answers = [(socket, head) => socket.write(responseTo(head).subarray(0, sentBytes)), answerWhole];
      assert.equal(digest(await download()), digest(object), `stalled after ${sentBytes} bytes`);
    }
  });

  for (const [what, wire] of [
    ['garbage', 'garbage\r\n\r\n'],
    ['a head without an end', `HTTP/1.1 206 Partial Content\r\nx: ${'y'.repeat(20_000)}`],
    ['two lengths', 'HTTP/1.1 206 Partial Content\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
    ['bytes of zero', '\0'.repeat(100)],
  ] as const) {
    it(`A download is complete when S3 first responds with ${what}`, async () => {
      server.answers = [(socket) => socket.write(wire), answerWhole];
      assert.equal(digest(await download()), digest(object));
    });
  }

  it('A download ignores what follows a response, and does not take it for the next response', async () => {
    server.answers = [
      (socket, head) =>
        socket.write(Buffer.concat([responseTo(head), Buffer.from('HTTP/1.1 200 OK\r\n\r\nevil')])),
    ];
    assert.equal(digest(await download()), digest(object));
  });

  it('A download is complete when responses are shorter than the range', async () => {
    server.answers = [
      (socket, head) => {
        // A complete response of half of what was requested.
        const [, first = 0, last = 0] = (/range: bytes=(\d+)-(\d+)/i.exec(head) ?? []).map(Number);
        const half = `range: bytes=${first}-${Math.floor((first + last) / 2)}`;
        socket.write(responseTo(half));
      },
      answerWhole,
    ];
    assert.equal(digest(await download()), digest(object));
  });

  it('A download fails with changed when a retry meets another version, and never mixes two', async () => {
    const other = bytesOf(object.length, 9);
    server.answers = [
      (socket, head) => socket.write(responseTo(head).subarray(0, headBytes + 500_000), () => socket.end()),
      // A server that ignores If-Match.
      (socket, head) => socket.write(responseTo(head, other, '"two"')),
    ];
    await assert.rejects(download(), (error) => error instanceof FilesystemError && error.kind === 'changed');
  });

  it('A download is complete when S3 responds with another range first', async () => {
    server.answers = [
      answerWhole,
      (socket) => socket.write(responseTo('range: bytes=5-8388612')),
      answerWhole,
    ];
    assert.equal(digest(await download()), digest(object));
  });

  it('A download fails with unavailable when S3 sends nothing but garbage', async () => {
    const short = storageOn(server.origin, { idleTimeoutMs: 1_600, retryTimeoutMs: 300 });
    server.answers = [(socket) => socket.write('garbage\r\n\r\n')];
    const { signal } = new AbortController();
    await assert.rejects(
      openS3Download(short, { bucket: 'b', key: 'k', offsetBytes: 0, signal }),
      (error) => error instanceof FilesystemError && error.kind === 'unavailable',
    );
    short.client.destroy();
  });
});
