/** The response parser beside undici's, on random responses, valid and damaged. The seed is printed; FUZZ_SEED repeats a run. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Agent, request } from 'undici';
import { HttpClient } from '../../../src/s3/client/http-client.ts';
import { digest } from '../../s3/transfer.ts';
import { startScriptedServer } from '../../s3/client/scripted-server.ts';
import { Random } from '../../support/random.ts';

const runs = Number(process.env['FUZZ_RUNS'] ?? 10_000);

const hasTabAfterLength = /content-length:[^\r]*\t *\r/i;

/** What a client made of a response; undefined where it failed. */
type Outcome = { readonly status: number; readonly headers: Record<string, string>; readonly body: string };

type RandomResponse = {
  readonly wire: Buffer;
  readonly isValid: boolean;
  readonly pieces: readonly number[];
};

it(`The response parser reads ${runs} random responses as undici does, and accepts nothing that undici refuses`, async () => {
  const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 1_000_000_000);
  console.log(`FUZZ_SEED=${seed}`);
  const random = new Random(seed);
  const server = await startScriptedServer();
  const agent = new Agent({ connections: 1, keepAliveTimeout: 60_000 });
  const client = new HttpClient({ connectionTimeoutMs: 20_000, idleTimeoutMs: 20_000 });
  const counts = { valid: 0, damaged: 0, bothRefused: 0, onlyOursRefused: 0 };
  try {
    for (let run = 0; run < runs; run++) {
      const response = randomResponse(random);
      server.answers = [(socket) => void sendInPieces(socket, response)];
      const ours = await outcome(async () => {
        const received = await client.send({
          method: 'GET',
          origin: server.origin,
          path: '/',
          headers: { host: 'x' },
        });
        return { status: received.status, headers: received.headers, body: await received.bytes() };
      });
      const theirs = await outcome(async () => {
        const received = await request(server.origin, { dispatcher: agent });
        const body = Buffer.from(await received.body.arrayBuffer());
        return { status: received.statusCode, headers: received.headers, body };
      });
      const what = `FUZZ_SEED=${seed}, run ${run}: ${JSON.stringify(response.wire.toString('latin1', 0, 400))}`;
      if (response.isValid) {
        counts.valid++;
        assert.ok(ours && theirs, what);
      } else {
        counts.damaged++;
        if (!ours && !theirs) counts.bothRefused++;
        if (!ours && theirs) counts.onlyOursRefused++;
      }
      // llhttp refuses a length with a tab behind it, which RFC 9110 5.5 allows.
      if (ours && !(theirs === undefined && hasTabAfterLength.test(response.wire.toString('latin1'))))
        assert.deepEqual(ours, theirs, what);
    }
  } finally {
    client.close();
    await agent.destroy();
    await server.close();
  }
  console.log(JSON.stringify(counts));
  assert.ok(counts.valid > runs / 3 && counts.bothRefused > runs / 20, 'the runs are of both kinds');
});

async function outcome(
  attempt: () => Promise<{ status: number; headers: object; body: Buffer }>,
): Promise<Outcome | undefined> {
  try {
    const { status, headers, body } = await attempt();
    // llhttp leaves a tab at the end of a value, which RFC 9110 5.5 excludes from it.
    const joined = Object.entries(headers as Record<string, string | string[]>).map(
      ([name, value]) => [name, withoutSpaces([value].flat().join(','))] as const,
    );
    return { status, headers: Object.fromEntries(joined), body: digest(body) ?? '' };
  } catch {
    return undefined;
  }
}

function withoutSpaces(list: string): string {
  return list.replace(/[ \t]*(,|$)[ \t]*/g, '$1');
}

/** Sends the response and closes the connection, so that neither client waits for what does not come. */
async function sendInPieces(
  socket: { write(bytes: Buffer): boolean; end(): unknown },
  { wire, pieces }: RandomResponse,
): Promise<void> {
  let at = 0;
  for (const length of pieces) {
    socket.write(wire.subarray(at, at + length));
    at += length;
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
}

const names = [
  'ETag',
  'x-amz-request-id',
  'Date',
  'Last-Modified',
  'X-Repeated',
  'x-repeated',
  'Server',
  'Accept-Ranges',
];
const values = ['"abc"', '', 'a b', ' spaced\t', '\xfc\xff', 'x'.repeat(300), 'bytes 0-9/10', ','];

function randomResponse(random: Random): RandomResponse {
  const lines: string[] = [];
  for (let count = random.below(3); count > 0; count--) {
    if (random.isIn(0.2)) lines.push('HTTP/1.1 103 Early Hints', 'link: </x>', '');
  }
  const status = random.oneOf([200, 200, 206, 206, 204, 304, 400, 403, 404, 412, 416, 500, 503]);
  lines.push(`HTTP/1.1 ${status} ${random.oneOf(['OK', '', 'Not really', 'x y z'])}`);
  for (let count = random.below(6); count > 0; count--) {
    lines.push(`${random.oneOf(names)}:${random.oneOf(['', ' ', '\t '])}${random.oneOf(values)}`);
  }
  if (random.isIn(0.3)) lines.push(`Connection: ${random.oneOf(['close', 'keep-alive', 'Close', 'x'])}`);
  const body = random.bytes(random.oneOf([0, 1, 10, 100, 1_000, 5_000, 20_000]));
  const chunks: Buffer[] = [];
  const hasNoBody = status === 204 || status === 304;
  if (!hasNoBody && random.isIn(0.5)) {
    lines.push(random.oneOf(['Transfer-Encoding: chunked', 'transfer-encoding:CHUNKED']));
    for (let at = 0; at < body.length;) {
      const chunk = body.subarray(at, at + 1 + random.below(3_000));
      const size = chunk.length.toString(16);
      chunks.push(
        Buffer.from(
          `${random.oneOf([size, size.toUpperCase(), `0${size}`])}${random.oneOf(['', '', ';a=b'])}\r\n`,
        ),
      );
      chunks.push(chunk, Buffer.from('\r\n'));
      at += chunk.length;
    }
    chunks.push(Buffer.from(random.oneOf(['0\r\n\r\n', '000\r\n\r\n', '0\r\nx-trailer: 1\r\n\r\n'])));
  } else if (!hasNoBody) {
    if (random.isIn(0.9)) lines.push(`${random.oneOf(['Content-Length', 'content-length'])}: ${body.length}`);
    chunks.push(body);
  }
  const whole = Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), ...chunks]);
  const isValid = random.isIn(0.5);
  const wire = isValid ? whole : damaged(random, whole);
  const pieces: number[] = [];
  for (let left = wire.length; left > 0;) {
    const length = pieces.length < 8 && random.isIn(0.7) ? 1 + random.below(Math.min(left, 600)) : left;
    pieces.push(length);
    left -= length;
  }
  return { wire, isValid, pieces };
}

const interesting = [
  '\r',
  '\n',
  '\r\n',
  ':',
  ' ',
  '\0',
  '0',
  'content-length: 5\r\n',
  'transfer-encoding: chunked\r\n',
  ';',
  '-',
  '\t',
];

function damaged(random: Random, whole: Buffer): Buffer {
  // In the head and where chunks begin, rather than anywhere in a body of arbitrary bytes.
  const near = Math.min(whole.length, random.isIn(0.8) ? 200 : 2_000);
  const at = random.below(near + 1);
  const inserted = Buffer.from(random.oneOf(interesting), 'latin1');
  switch (random.below(4)) {
    case 0:
      return whole.subarray(0, at);
    case 1:
      return Buffer.concat([whole.subarray(0, at), inserted, whole.subarray(at)]);
    case 2:
      return Buffer.concat([whole.subarray(0, at), whole.subarray(at + 1 + random.below(4))]);
    default:
      return Buffer.concat([whole.subarray(0, at), random.bytes(1), whole.subarray(at + 1)]);
  }
}
