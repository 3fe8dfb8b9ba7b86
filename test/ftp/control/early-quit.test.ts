/** Sessions that outlive their control connection, and what a drain still answers. */
import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { after, beforeEach, describe, it } from 'node:test';
import { MemoryFilesystem } from '../../../src/filesystem/memory-filesystem.ts';
import { gatewayDefaults } from '../../../src/ftp/gateway-settings.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from '../../support/gateway.ts';
import { CommitGate } from '../../support/upload-order.ts';

describe('an upload whose client has said QUIT and gone', () => {
  const gate = new CommitGate();
  let filesystem: MemoryFilesystem;
  let gateway: TestGateway | undefined;

  beforeEach(() => {
    filesystem = new MemoryFilesystem();
    gate.close();
  });
  after(() => gateway?.close());

  async function start(options: TestGatewayOptions = {}): Promise<TestGateway> {
    await gateway?.close();
    gateway = await startTestGateway({
      uploadGraceMs: gatewayDefaults.uploadGraceMs,
      filesystemFor: () => gate.wrap(filesystem),
      ...options,
    });
    return gateway;
  }

  /** Leaves an upload behind whose commit waits for the gate, in a session without a control connection. */
  async function leaveUpload(running: TestGateway, how: 'close' | 'reset'): Promise<void> {
    const client = await Dialogue.logIn({ port: running.controlPort });
    const data = await client.passive();
    await client.says('STOR /f', /^150 /);
    data.end('new');
    data.resume();
    await client.send('QUIT\r\n');
    if (how === 'reset') client.socket.resetAndDestroy();
    else client.destroy();
    for (let turn = 0; turn < 50; turn++) await nextTurn();
  }

  for (const how of ['close', 'reset'] as const) {
    it(`A session whose client sent QUIT and disconnected by ${how} counts until the storage has confirmed its upload`, async () => {
      const running = await start();
      await leaveUpload(running, how);
      assert.ok(!running.events.some(({ event }) => event === 'session-closed'));
      const countMeanwhile = running.sessionCount;
      gate.open();
      assert.equal(countMeanwhile, 1);
      assert.equal((await running.nextEvent('transfer')).outcome, 'completed');
      await running.nextEvent('session-closed');
      assert.equal(String(filesystem.readFile('/f')), 'new');
      while (running.sessionCount > 0) await nextTurn();
    });
  }

  it('A drain completes an upload whose client has sent QUIT and disconnected', async () => {
    const running = await start();
    await leaveUpload(running, 'reset');
    const drained = running.drain(60_000);
    await nextTurn();
    gate.open();
    await drained;
    assert.equal(String(filesystem.readFile('/f')), 'new');
    assert.equal(running.sessionCount, 0);
  });

  it('A drain at its time limit and close() abort an upload whose client has sent QUIT and disconnected', async () => {
    const ends: readonly ((running: TestGateway) => Promise<void>)[] = [
      (running) => running.drain(1),
      (running) => running.close(),
    ];
    for (const end of ends) {
      const running = await start();
      gate.close();
      await leaveUpload(running, 'reset');
      const ended = end(running);
      await new Promise((resolve) => setTimeout(resolve, 20));
      gate.open();
      await ended;
      assert.equal((await running.nextEvent('transfer')).outcome, 'aborted');
      assert.equal(filesystem.readFile('/f'), undefined);
    }
  });

  it('An upload whose client has disconnected counts against all session limits until it is stored', async () => {
    for (const limit of [{ maxSessions: 1 }, { maxSessionsPerAddress: 1 }, { maxSessionsPerUser: 1 }]) {
      const running = await start(limit);
      gate.close();
      await leaveUpload(running, 'reset');
      const refused = await Dialogue.open({ port: running.controlPort });
      if ('maxSessionsPerUser' in limit) {
        await refused.expect('220 Ready');
        await refused.says('USER alice', /^331 /);
        await refused.says('PASS secret', /^421 /);
      } else {
        // The greeting of a session that is over its address's limit is on its way by then.
        let reply = await refused.reply();
        if (reply === '220 Ready') reply = await refused.reply();
        assert.match(reply, /^421 /);
      }
      refused.destroy();
      gate.open();
      await running.nextEvent('transfer');
      while (running.sessionCount > 0) await nextTurn();
      await (await Dialogue.logIn({ port: running.controlPort })).quit();
    }
  });

  it('Commands behind an upload are executed when the client half-closed the control connection', async () => {
    const running = await start();
    gate.open();
    const client = await Dialogue.logIn({ port: running.controlPort });
    const data = await client.passive();
    await client.says('STOR /f.part', /^150 /);
    data.end('new');
    data.resume();
    client.socket.end('RNFR /f.part\r\nRNTO /f\r\nQUIT\r\n');
    await client.expect(/^226 /, /^350 /, /^250 /, '221 Goodbye.');
    await client.expectClosed();
    assert.deepEqual(filesystem.pathnames(), ['/f']);
    assert.equal((await running.nextEvent('session-closed')).cause, 'QUIT');
  });
});

describe('a drain', () => {
  let gateway: TestGateway;

  beforeEach(async () => {
    gateway = await startTestGateway();
  });
  after(() => gateway.close());

  it('A drain answers an ABOR that was sent before it started, and then ends the session', async () => {
    const client = await Dialogue.logIn({ port: gateway.controlPort });
    const data = await client.passive();
    await client.says('STOR /f', /^150 /);
    data.write('half of');
    await client.send('ABOR\r\n');
    const drained = gateway.drain(60_000);
    await client.expect(/^426 /, '226 ABOR command successful.', /^421 /);
    await client.expectClosed();
    data.destroy();
    await drained;
  });

  it('A drain answers an ABOR that arrives while it waits for the transfer', async () => {
    const client = await Dialogue.logIn({ port: gateway.controlPort });
    const data = await client.passive();
    await client.says('STOR /f', /^150 /);
    const drained = gateway.drain(60_000);
    await client.says('ABOR', /^426 /, '226 ABOR command successful.', /^421 /);
    await client.expectClosed();
    data.destroy();
    await drained;
  });

  it('A drain answers a QUIT behind the transfer that it waits for with 221 only', async () => {
    const client = await Dialogue.logIn({ port: gateway.controlPort });
    const data = await client.passive();
    await client.says('STOR /f', /^150 /);
    const drained = gateway.drain(60_000);
    data.end('whole');
    data.resume();
    await client.says('QUIT', /^226 /, '221 Goodbye.');
    await client.expectClosed();
    await drained;
    assert.equal(String(gateway.filesystem.readFile('/f')), 'whole');
  });

  it('A drain executes no other command that waits behind the transfer', async () => {
    const client = await Dialogue.logIn({ port: gateway.controlPort });
    const data = await client.passive();
    await client.says('STOR /f', /^150 /);
    await client.send('MKD /d\r\n');
    const drained = gateway.drain(60_000);
    data.end('whole');
    data.resume();
    await client.expect(/^226 /, /^421 /);
    await client.expectClosed();
    await drained;
    assert.deepEqual(gateway.filesystem.pathnames(), ['/f']);
  });
});
