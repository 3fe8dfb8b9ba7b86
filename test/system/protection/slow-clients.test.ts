/** Sessions that only stay open, listings that are not read, long names and short records: what they cost others. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Dialogue } from '../../support/dialogue.ts';
import { HeldRecords } from '../../support/tls-burst.ts';
import { type ListingServer, startListingServer } from './listing-server.ts';
import { MeasuredGateway, noopMs, passes, report } from './load.ts';

const maxTurnMs = 50;
const maxNoopMs = 100;

describe('clients that are slow', () => {
  let server: ListingServer;
  let gateway: MeasuredGateway;

  before(async () => {
    server = await startListingServer(100_000, (index) => `file-${String(index).padStart(6, '0')}.csv`);
    gateway = await MeasuredGateway.start(server, { tls: 'optional', dataConnectionTimeoutMs: 60_000 });
    // Compiled code and the heap of a gateway that has worked for a while.
    for (let index = 0; index < 300; index++) (await Dialogue.logIn({ port: gateway.port })).destroy();
    const dialogue = await Dialogue.logIn({ port: gateway.port });
    const data = await dialogue.passive();
    data.resume();
    await dialogue.says('LIST', /^150 /, /^226 /);
    dialogue.destroy();
    await passes(500);
    await gateway.measure();
  });
  after(async () => {
    await gateway.close();
    await server.close();
  });

  it('1,900 idle sessions in clear take less than 64 MiB, and a NOOP of another session less than 100 ms', async (test) => {
    const before = await gateway.measure();
    const idle: Dialogue[] = [];
    for (let index = 0; index < 1_900; index++) idle.push(await Dialogue.open({ port: gateway.port }));
    const roundTripMs = await noopMs(gateway.port, passes(1_000));
    const measured = await gateway.measure();
    const growthMib = measured.residentMib - before.residentMib;
    test.diagnostic(report(measured, { growthMib, roundTripMs }));
    for (const each of idle) each.destroy();
    assert.ok(growthMib < 64, `${growthMib} MiB`);
    assert.ok(roundTripMs < maxNoopMs);
    assert.ok(measured.longestTurnMs < maxTurnMs);
  });

  it('40 clients that do not read a listing of 100,000 files hold less than 96 MiB, and a NOOP of another session takes less than 100 ms', async (test) => {
    const before = await gateway.measure();
    const clients: Dialogue[] = [];
    for (let index = 0; index < 40; index++) {
      const localAddress = `127.0.9.${index + 1}`;
      const dialogue = await Dialogue.logIn({ port: gateway.port, localAddress });
      (await dialogue.passive({ localAddress })).pause();
      await dialogue.says('LIST', /^150 /);
      clients.push(dialogue);
    }
    // The kernel takes the first megabytes of each listing; then the gateway waits.
    do {
      await gateway.measure();
      await passes(500);
    } while ((await gateway.measure()).mainThreadCpuMs > 100);
    const roundTripMs = await noopMs(gateway.port, passes(2_000));
    const measured = await gateway.measure();
    const growthMib = measured.inUseMib - before.inUseMib;
    test.diagnostic(report(measured, { growthMib, roundTripMs }));
    for (const each of clients) each.destroy();
    assert.ok(growthMib < 96, `${growthMib} MiB`);
    assert.ok(roundTripMs < maxNoopMs);
  });

  it('300,000 TLS records of one byte, sent at once on a control connection, block the event loop for less than 50 ms', async (test) => {
    const raw = connect({ port: gateway.port, host: '127.0.0.1' });
    await once(raw, 'data');
    raw.write('AUTH TLS\r\n');
    await once(raw, 'data');
    const client = new HeldRecords(raw);
    await once(client.socket.resume(), 'secureConnect');
    const spaces = `${' '.repeat(99)}\n`;
    raw.write(await client.encrypt(spaces.repeat(200)));
    const burst = await client.encrypt(spaces.repeat(3_000));
    const before = await gateway.measure();
    raw.write(burst);
    const roundTripMs = await noopMs(gateway.port, passes(2_000));
    const measured = await gateway.measure();
    const growthMib = measured.inUseMib - before.inUseMib;
    test.diagnostic(report(measured, { growthMib, roundTripMs }));
    raw.destroy();
    assert.ok(measured.mainThreadCpuMs > 100, 'the records were read');
    assert.ok(growthMib < 16, `${growthMib} MiB`);
    assert.ok(measured.longestTurnMs < maxTurnMs, `a turn of ${measured.longestTurnMs} ms`);
  });

  it('500 logins with names of 8 KiB block the event loop for less than 50 ms', async (test) => {
    await gateway.measure();
    for (let index = 0; index < 500; index++) {
      const dialogue = await Dialogue.open({
        port: gateway.port,
        localAddress: `127.0.10.${(index % 250) + 1}`,
      });
      await dialogue.expect('220 Ready');
      await dialogue.says(`USER ${String(index).padEnd(8_000, 'é')}`, /^(331|501|530|500) /);
      await dialogue.send('PASS wrong\r\n');
      dialogue.destroy();
    }
    const measured = await gateway.measure();
    test.diagnostic(report(measured));
    assert.ok(measured.longestTurnMs < maxTurnMs);
  });
});
