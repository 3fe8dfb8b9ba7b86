/** A gateway under random input; see scripts/fuzz.ts for the long run, fuzz.test.ts for the short one. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { closed, Dialogue } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { proxyHeader } from '../../support/proxy-header.ts';
import { Random } from '../../support/random.ts';
import { commandLine, mutate } from './generator.ts';

export type FuzzOptions = {
  readonly lines: number;
  readonly headers: number;
  readonly hellos: number;
  readonly seed: number;
  readonly progress?: (text: string) => void;
};

export type FuzzFigures = {
  readonly lines: number;
  readonly replies: number;
  readonly sessions: number;
  readonly headers: number;
  readonly hellos: number;
  readonly unexpectedErrors: number;
  readonly heapBefore: number;
  readonly heapAfter: number;
  readonly residentBefore: number;
  readonly residentAfter: number;
};

const logInAgain = Buffer.from('\r\nUSER alice\r\nPASS secret\r\n');
/** A session that sends more than 16 KiB behind a PASS that is still being checked is ended. */
const linesPerSession = 150;
const sessionsAtOnce = 8;
const connectionsAtOnce = 64;

/** Lines that would only end the session, or make it wait for a connection that never comes, are sent now and then. */
const rareVerbs: ReadonlySet<string> = new Set(['QUIT', 'REIN', 'AUTH', 'USER']);

/** Rejects when the gateway stops answering, or leaves a session behind. */
export async function fuzz(options: FuzzOptions): Promise<FuzzFigures> {
  const random = new Random(options.seed);
  const unexpected: unknown[] = [];
  const gateway = await startTestGateway({
    tls: 'optional',
    implicitTls: true,
    dataConnectionTimeoutMs: 2,
    passivePortWaitMs: 2,
    maxLoginFailures: 1_000_000,
    observe: (event) => {
      if (event.event === 'unexpected-error') unexpected.push(event.error);
    },
  });
  const proxied = await startTestGateway({
    proxyProtocol: 'v2',
    activeMode: 'off',
    tls: 'optional',
    implicitTls: true,
  });
  await warmUp(gateway);
  const before = memory();

  const verbs = await verbsOf(gateway);
  let sent = 0;
  let replies = 0;
  let sessions = 0;
  await atOnce(sessionsAtOnce, async () => {
    while (sent < options.lines) {
      const lines = Math.min(linesPerSession, options.lines - sent);
      sent += lines;
      sessions += 1;
      const answered = await fuzzSession(gateway, random, verbs, lines);
      replies += answered;
      if (sessions % 200 === 0) options.progress?.(`${sent} lines`);
    }
  });
  await assertAlive(gateway);

  const header = proxyHeader(['127.0.7.7', 40_000], ['10.0.1.5', 21], Buffer.from([0xea, 0, 2, 1, 2]));
  await fuzzConnections(options.headers, (index) => {
    const port = index % 4 === 0 ? (proxied.implicitTlsPort ?? 0) : proxied.controlPort;
    return throwAt(port, Buffer.concat([mutate(random, header), mutate(random, Buffer.from('NOOP\r\n'))]));
  });
  options.progress?.(`${options.headers} PROXY headers`);
  await assertAlive(proxied, header);

  const hello = await clientHello();
  await fuzzConnections(options.hellos, (index) => {
    const bytes = mutate(random, hello);
    if (index % 4 !== 0) return throwAt(gateway.implicitTlsPort ?? 0, bytes);
    return throwAt(gateway.controlPort, Buffer.from('AUTH TLS\r\n'), bytes);
  });
  options.progress?.(`${options.hellos} ClientHellos`);
  await assertAlive(gateway);

  const after = await settledMemory(gateway, proxied, before.heapUsed);
  await gateway.close();
  await proxied.close();
  return {
    lines: sent,
    replies,
    sessions,
    headers: options.headers,
    hellos: options.hellos,
    unexpectedErrors: unexpected.length,
    heapBefore: before.heapUsed,
    heapAfter: after.heapUsed,
    residentBefore: before.rss,
    residentAfter: after.rss,
  };
}

/** One session's lines, in pieces that do not end where lines end; resolves to the number of replies when it has ended. */
async function fuzzSession(
  gateway: TestGateway,
  random: Random,
  verbs: readonly string[],
  lines: number,
): Promise<number> {
  const socket = connect({ port: gateway.controlPort, host: '127.0.0.1' });
  let replies = 0;
  socket.on('data', (bytes: Buffer) => {
    for (const byte of bytes) if (byte === 0x0a) replies += 1;
  });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  const parts: Buffer[] = [];
  for (let line = 0; line < lines; line++) {
    // Again and again, because much of what follows logs out.
    if (line % 25 === 0 && random.below(10) > 0) parts.push(logInAgain);
    let valid = commandLine(random, verbs);
    const verb = valid.toString().split(' ', 1)[0] ?? '';
    if (rareVerbs.has(verb) && random.below(50) > 0)
      valid = commandLine(random, ['CWD', 'MKD', 'PASV', 'STAT']);
    parts.push(mutate(random, valid), Buffer.from(random.oneOf(['\r\n', '\r\n', '\r\n', '\n', '\r'])));
  }
  let rest: Buffer = Buffer.concat(parts);
  while (rest.length > 0 && !socket.destroyed) {
    const length = 1 + random.below(4_000);
    const mayGoOn = socket.write(rest.subarray(0, length));
    rest = rest.subarray(length);
    if (!mayGoOn) await Promise.race([once(socket, 'drain').catch(() => undefined), closed(socket)]);
  }
  if (!socket.destroyed) socket.write('\r\nQUIT\r\nQUIT\r\n');
  await closed(socket);
  return replies;
}

async function fuzzConnections(count: number, run: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  await atOnce(connectionsAtOnce, async () => {
    while (next < count) await run(next++);
  });
}

/** Sends the parts, each when the server has answered the one before; then ends our side. */
async function throwAt(port: number, ...parts: readonly Buffer[]): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => undefined);
  await once(socket, 'connect').catch(() => undefined);
  for (const [index, part] of parts.entries()) {
    socket.write(part);
    if (index < parts.length - 1)
      await Promise.race([once(socket, 'data').catch(() => undefined), closed(socket)]);
  }
  socket.end();
  socket.resume();
  await closed(socket);
}

async function assertAlive(gateway: TestGateway, preamble?: Buffer): Promise<void> {
  const options = { port: gateway.controlPort, ...(preamble !== undefined && { preamble }) };
  const client = await Dialogue.logIn(options);
  await client.says('PWD', '257 "/" is the current directory.');
  await client.quit();
}

/** Every kind of session once, so that what is loaded and compiled only once is not taken for a leak. */
async function warmUp(gateway: TestGateway): Promise<void> {
  const random = new Random(0);
  const verbs = await verbsOf(gateway);
  for (let session = 0; session < 20; session++) await fuzzSession(gateway, random, verbs, 200);
  const hello = await clientHello();
  await fuzzConnections(500, () => throwAt(gateway.implicitTlsPort ?? 0, mutate(random, hello)));
}

async function verbsOf(gateway: TestGateway): Promise<readonly string[]> {
  const client = await Dialogue.open({ port: gateway.controlPort });
  await client.expect('220 Ready');
  const lines = (await client.ask('HELP')).split('\n').slice(1, -1);
  await client.quit();
  return lines.flatMap((line) => line.trim().split(' '));
}

/** The first bytes of a real client. */
async function clientHello(): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = connectTls({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    servername: 'localhost',
  });
  client.on('error', () => undefined);
  const [socket] = await accepted;
  const [hello] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return hello;
}

async function atOnce(count: number, run: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, run));
}

function memory(): NodeJS.MemoryUsage {
  // Twice, because weak references go with the second one.
  globalThis.gc?.();
  globalThis.gc?.();
  return process.memoryUsage();
}

/** What is held when every session has gone; waits for that, and for the last finalizers. */
async function settledMemory(
  one: TestGateway,
  other: TestGateway,
  heapBefore: number,
): Promise<NodeJS.MemoryUsage> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    (one.events as unknown[]).length = 0;
    (other.events as unknown[]).length = 0;
    await new Promise((resolve) => setTimeout(resolve, 50));
    const usage = memory();
    const sessions = one.sessionCount + other.sessionCount;
    const isBack = usage.heapUsed < heapBefore * 1.2 || globalThis.gc === undefined;
    if (sessions === 0 && (isBack || Date.now() > deadline - 20_000)) return usage;
    assert.ok(Date.now() < deadline, `${sessions} sessions are left`);
  }
}
