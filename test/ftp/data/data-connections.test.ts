/** Defects of stock ftp-srv 4.6.3 on data connections and in replies about files, and the behaviour of the gateway. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { GatewayEvent } from '../../../src/observability/event.ts';
import { closed, Dialogue, readAll } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { LeakCheck } from '../../support/leak-check.ts';

describe('data connections', () => {
  const leaks = new LeakCheck();
  let gateway: TestGateway;
  let client: Dialogue;

  before(async () => {
    gateway = await startTestGateway({ passivePorts: [0, 0], dataConnectionTimeoutMs: 300 });
  });
  beforeEach(async () => {
    client = await Dialogue.logIn({ port: gateway.controlPort });
    await client.says('TYPE I', /^200 /);
  });
  after(async () => {
    await gateway.close();
    await leaks.assertNothingLeft();
  });

  /** Resolves at the next end of a transfer of that file. */
  async function transferOf(pathname: string): Promise<Extract<GatewayEvent, { event: 'transfer' }>> {
    for (;;) {
      const event = await gateway.nextEvent('transfer');
      if (event.pathname === pathname) return event;
    }
  }

  it('A data connection serves its transfer as soon as it arrives', async () => {
    gateway.filesystem.putFile('/small', 'x'.repeat(4096));
    const times: number[] = [];
    for (let index = 0; index < 50; index += 1) {
      const startedAt = performance.now();
      assert.equal((await client.download('RETR small')).length, 4096);
      times.push(performance.now() - startedAt);
    }
    // Stock ftp-srv polls every 50 ms and waits 40 ms for a delayed acknowledgement.
    const median = times.sort((one, other) => one - other)[25]!;
    assert.ok(median < 20, `${median} ms a file`);
    await client.quit();
  });

  it('A command that fails anyway does not wait for its data connection', async () => {
    await client.says('PASV', /^227 /);
    const startedAt = performance.now();
    await client.says('RETR nofile', /^550 /);
    assert.ok(performance.now() - startedAt < 250);
    await client.quit();
  });

  it('A data connection that does not arrive is answered 425 after its own timeout, and the session continues', async () => {
    gateway.filesystem.putFile('/f', 'abc');
    await client.says('PASV', /^227 /);
    await client.says(
      'RETR f',
      /^150 /,
      /^425 No connection from 127\.0\.0\.1 reached port \d+ within 1 s; a firewall may block it\. Allow TCP \d+(?:, |-)\d+\. \[PASV-NONE\]$/,
    );
    assert.equal((await client.download('RETR f')).toString(), 'abc');
    await client.quit();
  });

  it('40 parallel sessions of one address transfer over two ports', async () => {
    gateway.filesystem.putFile('/big', Buffer.alloc(16 * 1024 * 1024, 'b'));
    const sessions = await Promise.all(
      Array.from({ length: 40 }, () => Dialogue.logIn({ port: gateway.controlPort })),
    );
    const running = await Promise.all(
      sessions.map(async (session) => {
        await session.says('TYPE I', /^200 /);
        const data = await session.passive();
        await session.says('RETR big', /^150 /);
        await once(data, 'readable');
        return data;
      }),
    );
    assert.deepEqual(gateway.passivePortUsage, { leases: 0, waiting: 0 });
    const contents = await Promise.all(running.map(readAll));
    assert.ok(contents.every(({ length }) => length === 16 * 1024 * 1024));
    for (const session of sessions) {
      await session.expect(/^226 /);
      await session.quit();
    }
    await client.quit();
  });

  it('Every PASV is answered when many sessions of one address share few ports', async () => {
    const sessions = await Promise.all(
      Array.from({ length: 10 }, () => Dialogue.logIn({ port: gateway.controlPort })),
    );
    await Promise.all(
      sessions.map(async (session) => {
        for (let index = 0; index < 30; index += 1) {
          const answer = await session.ask('EPSV');
          const port = Number(/^229 Entering Extended Passive Mode \(\|\|\|(\d+)\|\)$/.exec(answer)?.[1]);
          assert.ok(gateway.passivePorts.includes(port), answer);
          const data = connect({ host: '127.0.0.1', port, localAddress: '127.0.0.1' });
          data.on('error', () => undefined);
          await once(data, 'connect');
          data.destroy();
        }
        await session.quit();
      }),
    );
    await client.quit();
  });

  it('Active data connections to ports below 1024 are refused', async () => {
    await client.says(
      'PORT 127,0,0,1,0,22',
      '501 Data connections are made to ports from 1024 only. Use PASV or EPSV. [ACTIVE-PORT]',
    );
    await client.says(
      'EPRT |1|127.0.0.1|22|',
      '501 Data connections are made to ports from 1024 only. Use PASV or EPSV. [ACTIVE-PORT]',
    );
    await client.quit();
  });

  it('A listing of 20,000 entries is sent in far fewer chunks than entries', async () => {
    for (let index = 0; index < 20_000; index += 1) gateway.filesystem.putFile(`/many/file-${index}`, '');
    const data = await client.passive();
    let chunks = 0;
    let bytes = 0;
    data.on('data', (chunk: Buffer) => {
      chunks += 1;
      bytes += chunk.length;
    });
    const ended = once(data, 'end');
    await client.says('LIST many', /^150 /);
    await ended;
    data.destroy();
    await client.expect('226 Directory send OK.');
    assert.ok(bytes > 20_000 * 60 && chunks < 2_000, `${chunks} chunks`);
    await client.quit();
  });

  it('A listing of an empty directory sends no bytes', async () => {
    gateway.filesystem.putDirectory('/empty');
    for (const command of ['LIST empty', 'NLST empty', 'MLSD empty']) {
      assert.equal((await client.download(command)).length, 0, command);
    }
    await client.quit();
  });

  it('Listings accept every option and wildcard that clients send', async () => {
    gateway.filesystem.putFile('/dir/a.txt', '');
    gateway.filesystem.putFile('/dir/b.bin', '');
    await client.says('CWD dir', /^250 /);
    for (const command of [
      'LIST',
      'LIST -a',
      'LIST -la',
      'LIST -al',
      'LIST -aL',
      'LIST -al .',
      'LIST *',
      'LIST -R /dir',
    ]) {
      assert.equal(
        (await client.download(command)).toString().match(/[ab]\.(txt|bin)\r\n/g)?.length,
        2,
        command,
      );
    }
    assert.equal((await client.download('NLST *.txt')).toString(), 'a.txt\r\n');
    assert.equal((await client.download('NLST /dir/*.txt')).toString(), '/dir/a.txt\r\n');
    assert.equal((await client.download('NLST -la')).toString(), 'a.txt\r\nb.bin\r\n');
    await client.quit();
  });

  it('A listing of a missing directory is answered 550 without a path of the server and opens no data connection', async () => {
    for (const command of ['LIST none', 'NLST none', 'MLSD none', 'RETR none', 'LIST none/*.txt']) {
      await client.says('PASV', /^227 /);
      const answer = await client.ask(command);
      assert.match(answer, /^550 /, command);
      assert.doesNotMatch(answer, /ENOENT|\/work|\/tmp/);
    }
    await client.quit();
  });

  it('A data connection that is reset during an upload keeps the old file and creates no new one', async () => {
    gateway.filesystem.putFile('/old', 'old');
    for (const name of ['old', 'new']) {
      for (const verb of ['STOR', 'APPE']) {
        const data = await client.passive();
        await client.says(`${verb} ${name}`, /^150 /);
        data.write('half of it');
        await nextTurn();
        data.resetAndDestroy();
        await client.expect(/^426 /);
      }
    }
    assert.equal(gateway.filesystem.readFile('/old')?.toString(), 'old');
    assert.equal(gateway.filesystem.readFile('/new'), undefined);
    await client.quit();
  });

  it('A client that is killed during an upload stores nothing, whichever connection ends first', async () => {
    for (const order of ['control first', 'data first', 'both at once'] as const) {
      const victim = await Dialogue.logIn({ port: gateway.controlPort });
      const data = await victim.passive();
      await victim.says('STOR killed', /^150 /);
      data.write('x'.repeat(100_000));
      kill(victim.socket, data, order);
      assert.equal((await transferOf('/killed')).outcome, 'aborted', order);
      assert.equal(gateway.filesystem.readFile('/killed'), undefined, order);
    }
    await client.quit();
  });

  it('A control connection that is lost during a download closes the data connection and leaves nothing behind', async () => {
    gateway.filesystem.putFile('/never-read', Buffer.alloc(32 * 1024 * 1024, 'b'));
    const victim = await Dialogue.logIn({ port: gateway.controlPort });
    const data = await victim.passive();
    await victim.says('RETR never-read', /^150 /);
    // Stock ftp-srv does not notice the loss if bytes came on the control connection before.
    await victim.send('CWD /\r\n');
    data.on('error', () => undefined);
    victim.destroy();
    const { outcome, cause } = await transferOf('/never-read');
    assert.deepEqual([outcome, cause], ['aborted', 'CLIENT-CLOSED']);
    data.resume();
    await closed(data);
    await client.quit();
  });

  it('REST lets an upload overwrite a file from its middle and keep the bytes before', async () => {
    gateway.filesystem.putFile('/f', '0123456789');
    await client.says('REST 5', /^350 /);
    await client.upload('STOR f', 'XXXXX');
    assert.equal(gateway.filesystem.readFile('/f')?.toString(), '01234XXXXX');
    await client.quit();
  });

  it('The restart offset is reset by the next command, and REST refuses an invalid one', async () => {
    gateway.filesystem.putFile('/f', '0123456789');
    await client.says('REST 5', /^350 /);
    await client.says('PASV', /^227 /);
    await client.says('RETR nofile', /^550 /);
    assert.equal((await client.download('RETR f')).toString(), '0123456789');
    await client.says('REST 5', /^350 /);
    await client.download('LIST');
    assert.equal((await client.download('RETR f')).toString(), '0123456789');
    await client.says('REST 5x', /^501 /);
    await client.says('REST 11', /^350 /);
    await client.says('PASV', /^227 /);
    await client.says('RETR f', /^554 /);
    await client.says('REST 3', /^350 /);
    await client.upload('APPE f', '+');
    assert.equal(gateway.filesystem.readFile('/f')?.toString(), '0123456789+');
    await client.quit();
  });

  it('STOU names the unique file in its 150 and its 226', async () => {
    const data = await client.passive();
    const [, name = ''] = /^150 FILE: (\S+)$/.exec(await client.ask('STOU')) ?? [];
    data.end('unique');
    data.resume();
    await client.expect(`226 Transfer complete (unique file name: ${name}).`);
    assert.equal(gateway.filesystem.readFile(`/${name}`)?.toString(), 'unique');
    await client.quit();
  });

  it('TYPE A converts line ends in each of its forms', async () => {
    gateway.filesystem.putFile('/text', 'a\nb\n');
    for (const type of ['TYPE A', 'TYPE A N']) {
      await client.says(type, /^200 /);
      assert.equal((await client.download('RETR text')).toString(), 'a\r\nb\r\n');
    }
    await client.upload('STOR text2', 'a\r\nb\r\n');
    assert.equal(gateway.filesystem.readFile('/text2')?.toString(), 'a\nb\n');
    await client.says('TYPE L 8', /^200 /);
    assert.equal((await client.download('RETR text')).toString(), 'a\nb\n');
    await client.quit();
  });

  it('A slow but steady download outlives every timeout of the control connection', async () => {
    const shortTimeouts = await startTestGateway({ idleTimeoutMs: 200, loginTimeoutMs: 5_000 });
    shortTimeouts.filesystem.putFile('/big', Buffer.alloc(8 * 1024 * 1024, 'b'));
    const slow = await Dialogue.logIn({ port: shortTimeouts.controlPort });
    await slow.says('TYPE I', /^200 /);
    const data = await slow.passive();
    await slow.says('RETR big', /^150 /);
    let received = 0;
    const startedAt = performance.now();
    for await (const chunk of data as AsyncIterable<Buffer>) {
      received += chunk.length;
      const isAhead = received / (8 * 1024 * 1024) > (performance.now() - startedAt) / 600;
      if (isAhead) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    data.destroy();
    assert.equal(received, 8 * 1024 * 1024);
    assert.ok(performance.now() - startedAt > 400);
    await slow.expect(/^226 /);
    slow.destroy();
    await shortTimeouts.close();
    await client.quit();
  });

  it('PASV tells IPv6 clients to use EPSV', async (test) => {
    let dual: TestGateway;
    try {
      dual = await startTestGateway({ listenAddress: '::1' });
    } catch {
      test.skip('no IPv6 here');
      await client.quit();
      return;
    }
    dual.filesystem.putFile('/f', 'abc');
    const ipv6 = await Dialogue.logIn({ port: dual.controlPort, host: '::1' });
    await ipv6.says('PASV', '522 PASV cannot carry an IPv6 address, use EPSV (2).');
    const port = Number(/\|(\d+)\|/.exec(await ipv6.ask('EPSV 2'))?.[1]);
    const data = connect({ host: '::1', port });
    const content = readAll(data);
    await ipv6.says('RETR f', /^150 /);
    assert.equal((await content).toString(), 'abc');
    await ipv6.expect(/^226 /);
    await ipv6.quit();
    await dual.close();
    await client.quit();
  });
});

function kill(control: Socket, data: Socket, order: 'control first' | 'data first' | 'both at once'): void {
  if (order === 'data first') data.resetAndDestroy();
  control.destroy();
  if (order !== 'data first') data.destroy();
}
