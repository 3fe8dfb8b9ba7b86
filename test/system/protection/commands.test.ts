/** Commands by the thousand, and replies that their client does not read. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { putObject } from '../../s3/transfer.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { startS3Server, type S3Server } from '../../support/s3-server.ts';
import { MeasuredGateway, noopMs, passes, report } from './load.ts';

const maxTurnMs = 50;
const maxNoopMs = 100;
const maxGrowthMib = 32;

describe('commands by the thousand', () => {
  let s3: S3Server;
  let gateway: MeasuredGateway;

  before(async () => {
    s3 = await startS3Server();
    await Promise.all(
      Array.from({ length: 300 }, (_unused, index) =>
        putObject(s3.client, s3.bucket, `many/file-${index}`, Buffer.alloc(0)),
      ),
    );
    gateway = await MeasuredGateway.start(s3);
    // The memory of the process grows until the garbage collector has found its rhythm, with commands one at a time as well.
    const dialogue = await Dialogue.logIn({ port: gateway.port });
    for (let index = 0; index < 3_000; index++) await dialogue.says('STAT many', /^213-/);
    dialogue.destroy();
  });
  after(async () => {
    await gateway.close();
    await s3.close();
  });

  it('40,000 STAT commands behind a transfer delay a NOOP of another session by less than 100 ms and take less than 32 MiB', async (test) => {
    const dialogue = await Dialogue.logIn({ port: gateway.port });
    const data = await dialogue.passive();
    await dialogue.says('STOR upload', /^150 /);
    const before = await gateway.measure();
    dialogue.socket.write('STAT many\r\n'.repeat(40_000));
    const duringMs = await noopMs(gateway.port, passes(2_000));
    data.end();
    const afterMs = await noopMs(gateway.port, passes(3_000));
    const measured = await gateway.measure();
    const growthMib = measured.peakResidentMib - before.residentMib;
    test.diagnostic(report(measured, { duringMs, afterMs, growthMib }));
    assert.ok(Math.max(duringMs, afterMs) < maxNoopMs);
    assert.ok(growthMib < maxGrowthMib);
    assert.ok(measured.longestTurnMs < maxTurnMs);
    dialogue.destroy();
  });

  for (const [what, command, count] of [
    ['FEAT', 'FEAT\r\n', 50_000],
    ['HELP', 'HELP\r\n', 50_000],
    ['empty', '\n', 300_000],
    ['NOOP', 'NOOP\r\n', 100_000],
  ] as const) {
    it(`${count} ${what} commands sent at once before the login block the event loop for less than 50 ms`, async (test) => {
      await gateway.measure();
      const dialogue = await Dialogue.open({ port: gateway.port });
      dialogue.socket.on('data', () => undefined);
      dialogue.socket.write(command.repeat(count));
      const roundTripMs = await noopMs(gateway.port, passes(1_500));
      dialogue.destroy();
      const measured = await gateway.measure();
      test.diagnostic(report(measured, { roundTripMs }));
      assert.ok(measured.longestTurnMs < maxTurnMs);
    });
  }

  for (const [what, commands, count] of [
    ['PASV', 'PASV\r\n', 20_000],
    ['STOR and ABOR', 'PASV\r\nSTOR x\r\nABOR\r\nREST 5\r\nAPPE y\r\nABOR\r\n', 3_000],
  ] as const) {
    it(`${count} times ${what}, sent at once by each of ten sessions, block the event loop for less than 50 ms`, async (test) => {
      const sessions: Dialogue[] = [];
      for (let index = 0; index < 10; index++) {
        const dialogue = await Dialogue.logIn({ port: gateway.port, localAddress: `127.0.8.${index + 1}` });
        dialogue.socket.on('data', () => undefined);
        sessions.push(dialogue);
      }
      await gateway.measure();
      for (const { socket } of sessions) socket.write(commands.repeat(count));
      const roundTripMs = await noopMs(gateway.port, passes(2_000));
      const measured = await gateway.measure();
      test.diagnostic(report(measured, { roundTripMs }));
      for (const session of sessions) session.destroy();
      assert.ok(measured.longestTurnMs < maxTurnMs, `a turn of ${measured.longestTurnMs} ms`);
    });
  }

  it('2 MB of random bytes from each of 20 connections block the event loop for less than 50 ms', async (test) => {
    await gateway.measure();
    const sockets = Array.from({ length: 20 }, () => {
      const socket = connect({ port: gateway.port, host: '127.0.0.1' });
      socket.on('error', () => undefined);
      socket.resume().write(randomBytes(2_000_000));
      return socket;
    });
    const roundTripMs = await noopMs(gateway.port, passes(2_000));
    const measured = await gateway.measure();
    test.diagnostic(report(measured, { roundTripMs }));
    for (const socket of sockets) socket.destroy();
    assert.ok(measured.longestTurnMs < maxTurnMs, `a turn of ${measured.longestTurnMs} ms`);
  });
});
