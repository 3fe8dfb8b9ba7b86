/**
 * How long one client's work keeps the event loop from all others. A turn is measured by the CPU time of the main thread, because
 * the machine that runs the tests has other work to do.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it, type TestContext } from 'node:test';
import { deflateSync } from 'node:zlib';
import { bytesOf, mib, putObject } from '../../s3/transfer.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { startS3Server, type S3Server } from '../../support/s3-server.ts';
import { MeasuredGateway, report } from './load.ts';
import { startListingServer, type ListingServer } from './listing-server.ts';

const maxTurnMs = 50;

async function assertShortTurns(test: TestContext, gateway: MeasuredGateway): Promise<void> {
  const measured = await gateway.measure();
  test.diagnostic(report(measured));
  assert.ok(measured.longestTurnMs < maxTurnMs, `a turn of ${measured.longestTurnMs} ms`);
}

/** Runs a command that sends a listing, in a session of its own; resolves to the number of bytes. */
async function listingBytes(port: number, command: string): Promise<number> {
  const dialogue = await Dialogue.logIn({ port });
  const data = await dialogue.passive();
  let bytes = 0;
  data.on('data', (chunk: Buffer) => (bytes += chunk.length));
  const ended = once(data, 'end');
  await dialogue.says(command, /^150 /);
  await ended;
  data.end();
  await dialogue.expect(/^226 /);
  dialogue.destroy();
  return bytes;
}

describe('listings of 100,000 files', () => {
  let server: ListingServer;
  let gateway: MeasuredGateway;

  before(async () => {
    server = await startListingServer(100_000, (index) => `file-${String(index).padStart(6, '0')}.csv`);
    gateway = await MeasuredGateway.start(server);
    for (const command of ['MLSD', 'LIST', 'NLST *5.csv']) await listingBytes(gateway.port, command);
    await gateway.measure();
  });
  after(async () => {
    await gateway.close();
    await server.close();
  });

  for (const command of ['MLSD', 'LIST', 'NLST', 'NLST *5.csv']) {
    it(`${command} of 100,000 files blocks the event loop for less than 50 ms`, async (test) => {
      assert.ok((await listingBytes(gateway.port, command)) > 100_000);
      await assertShortTurns(test, gateway);
    });
  }

  it('STAT of a directory of 100,000 files blocks the event loop for less than 50 ms', async (test) => {
    const dialogue = await Dialogue.logIn({ port: gateway.port });
    await dialogue.says('STAT /', /^213-/);
    dialogue.destroy();
    await assertShortTurns(test, gateway);
  });
});

describe('wildcards and names made to be slow', () => {
  let server: ListingServer;
  let gateway: MeasuredGateway;

  before(async () => {
    server = await startListingServer(5_000, (index) => 'a'.repeat(990) + String(index).padStart(4, '0'));
    gateway = await MeasuredGateway.start(server);
    await listingBytes(gateway.port, 'NLST');
    await gateway.measure();
  });
  after(async () => {
    await gateway.close();
    await server.close();
  });

  for (const [what, pattern] of [
    ['17 sets', `*${'[b-zA-Za]'.repeat(17)}Z`],
    ['120 runs', `${'*a'.repeat(120)}*b`],
    ['a long literal', `*${'a'.repeat(254)}b`],
  ] as const) {
    it(`NLST with ${what} and 5,000 names of 994 letters blocks the event loop for less than 50 ms`, async (test) => {
      assert.equal(await listingBytes(gateway.port, `NLST ${pattern}`), 0);
      await assertShortTurns(test, gateway);
    });
  }

  it('NLST with a pattern of more than 256 characters is refused', async () => {
    const dialogue = await Dialogue.logIn({ port: gateway.port });
    const data = await dialogue.passive();
    await dialogue.says(
      `NLST *${'[bcdefgXYZa]'.repeat(70)}`,
      '553 The name is not allowed. [LIMIT-LISTINGS]',
    );
    data.destroy();
    dialogue.destroy();
  });
});

describe('digests and compression', () => {
  let s3: S3Server;
  let gateway: MeasuredGateway;
  const large = bytesOf(64 * mib);

  before(async () => {
    s3 = await startS3Server();
    await putObject(s3.client, s3.bucket, 'large', large);
    gateway = await MeasuredGateway.start(s3, {
      users: ['alice', 'bob', 'carol'].map((name) => ({ name, password: 'secret' })),
    });
    const dialogue = await Dialogue.logIn({ port: gateway.port });
    await dialogue.says('XMD5 large', /^250 /);
    dialogue.destroy();
    await gateway.measure();
  });
  after(async () => {
    await gateway.close();
    await s3.close();
  });

  it('30 digests of 64 MiB at once block the event loop for less than 50 ms, and ABOR ends each at once', async (test) => {
    const clients = await Promise.all(
      Array.from({ length: 30 }, (_unused, index) =>
        Dialogue.logIn({ port: gateway.port }, ['alice', 'bob', 'carol'][index % 3]),
      ),
    );
    const [first, ...others] = clients as [Dialogue, ...Dialogue[]];
    for (const client of clients) {
      await client.says('OPTS HASH SHA-512', /^200 /);
      await client.send('HASH large\r\n');
    }
    await first.expect(/^213 SHA-512 0-67108864 /);
    const startedAtMs = performance.now();
    await Promise.all(others.map((client) => client.send('ABOR\r\n')));
    const replies = await Promise.all(others.map((client) => client.reply()));
    const tookMs = performance.now() - startedAtMs;
    await Promise.all(others.map((client) => client.expect(/^226 /)));
    assert.ok(
      replies.filter((reply) => reply === '426 Command aborted. [ABOR]').length > 20,
      replies.join('\n'),
    );
    test.diagnostic(`29 ABOR were answered within ${tookMs.toFixed()} ms`);
    assert.ok(tookMs < 1_000);
    for (const client of clients) client.destroy();
    await assertShortTurns(test, gateway);
  });

  it('An upload in MODE Z of 256 KiB that inflates to 256 MiB blocks the event loop for less than 50 ms', async (test) => {
    const bomb = deflateSync(Buffer.alloc(256 * mib), { level: 9 });
    const dialogue = await Dialogue.logIn({ port: gateway.port });
    await dialogue.says('TYPE I', /^200 /);
    await dialogue.says('MODE Z', /^200 /);
    const data = await dialogue.passive();
    await dialogue.says('STOR bomb', /^150 /);
    data.end(bomb);
    assert.match(await dialogue.reply(60_000), /^226 /);
    dialogue.destroy();
    await assertShortTurns(test, gateway);
  });
});
