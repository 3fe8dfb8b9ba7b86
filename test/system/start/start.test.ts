import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { GatewayStatus } from '../../../src/observability/gateway-status.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { endGatewayProcesses, GatewayProcess } from '../../support/gateway-process.ts';
import { freeRange } from '../../support/loopback-port.ts';

const program = 'dev/start.ts';
let cwd: string;

before(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'ftp-gateway-start-'));
});

after(async () => {
  await endGatewayProcesses();
  await rm(cwd, { recursive: true });
});

function start(environment: Readonly<Record<string, string>> = {}): GatewayProcess {
  return new GatewayProcess(environment, { program, cwd });
}

async function portOf(gateway: GatewayProcess): Promise<number> {
  return await gateway.line((line) => {
    const [, port] = /^FTP gateway on 127\.0\.0\.1, port (\d+) /.exec(line) ?? [];
    return port === undefined ? undefined : Number(port);
  });
}

async function workersOf(gateway: GatewayProcess): Promise<readonly number[]> {
  const url = await gateway.line((line) => /^ {2}Health +(http:.*)\/healthz,/.exec(line)?.[1]);
  const status = (await (await fetch(`${url}/status`)).json()) as GatewayStatus;
  return status.workers?.map(({ pid }) => pid) ?? [];
}

describe('npm start', () => {
  it('npm start serves the demo user, stops cleanly on Ctrl-C, and has the files again at the next start', async () => {
    const first = start();
    const client = await Dialogue.logIn({ port: await portOf(first) }, 'demo', 'demo');
    await client.upload('STOR kept.txt', 'kept between starts');
    // The terminal and npm both send it.
    first.child.kill('SIGINT');
    first.child.kill('SIGINT');
    await client.expect(/^421 /);
    const { code, stderr } = await first.ended;
    assert.equal(stderr, '');
    assert.equal(code, 0);

    const second = start();
    const again = await Dialogue.logIn({ port: await portOf(second) }, 'demo', 'demo');
    assert.equal((await again.download('RETR kept.txt')).toString(), 'kept between starts');
    await again.quit();
    assert.equal((await second.stop('SIGINT')).code, 0);
    const names = await readdir(join(cwd, '.data/s3/demo-bucket'));
    assert.ok(
      names.some((name) => name.startsWith('kept.txt')),
      'the bucket is a folder',
    );
  });

  it('npm start prints commands that work as printed', async (test) => {
    const gateway = start();
    await portOf(gateway);
    const command = (label: string) =>
      gateway.line((line) =>
        line.startsWith(`  ${label} `) ? line.slice(`  ${label} `.length).trim() : undefined,
      );
    await writeFile(join(cwd, 'README.md'), 'read me');
    const shell = promisify(execFile);
    const commands = [await command('Upload'), await command('Download'), await command('List')];
    const hasCurl = await shell('curl', ['--version']).then(
      () => true,
      () => false,
    );
    if (!hasCurl) test.skip('curl is not installed');
    else {
      for (const line of commands) await shell('sh', ['-c', line.replace('curl ', 'curl -sS ')], { cwd });
      assert.equal(await readFile(join(cwd, 'copy.md'), 'utf8'), 'read me');
    }
    assert.equal((await gateway.stop('SIGINT')).code, 0);
  });

  it('npm start accepts the variables of the gateway, including the users', async () => {
    const gateway = start({ USERS: 'file:mine.json', MAX_LOGIN_ATTEMPTS: 'x' });
    const { code, stderr } = await gateway.ended;
    assert.match(
      stderr,
      /^The configuration has a problem:\n {2}MAX_LOGIN_ATTEMPTS: expected a whole number/,
    );
    assert.equal(code, 2);
  });

  it('npm start shows the transfers of all worker processes in words, and stops all of them on Ctrl-C', async () => {
    const range = await freeRange(2);
    const gateway = start({ WORKERS: '2', PASSIVE_PORTS: range.toString() });
    const port = await portOf(gateway);
    const pids = await workersOf(gateway);
    assert.equal(pids.length, 2);
    // Connections go to the workers in turn.
    const clients = await Promise.all([1, 2].map(() => Dialogue.logIn({ port }, 'demo', 'demo')));
    const ports = new Set<number>();
    for (const [index, client] of clients.entries()) {
      const data = await client.passive();
      ports.add(data.remotePort!);
      data.end(`content ${index}`);
      data.resume();
      await client.says(`STOR worker-${index}.txt`, /^150 /, /^226 /);
      await gateway.line((line) => line.startsWith(`demo: STOR /worker-${index}.txt completed`) || undefined);
    }
    assert.deepEqual(ports, new Set(range.ports), 'each worker has a session');
    for (const pid of [gateway.child.pid!, ...pids]) process.kill(pid, 'SIGINT');
    for (const client of clients) await client.expect(/^421 /);
    const { code, stderr } = await gateway.ended;
    assert.deepEqual([code, stderr], [0, '']);
    assert.equal(gateway.lines.filter((line) => line.startsWith('Stopping')).length, 1);
    assert.ok(!gateway.lines.some((line) => line.startsWith('{')), gateway.lines.join('\n'));
  });

  it('npm start names the variable to change when the passive port of a worker process is taken', async () => {
    const range = await freeRange(4);
    const [first = 0] = range.ports;
    const other = start({ PASSIVE_PORTS: String(first + 3) });
    await portOf(other);
    const { code, stderr } = await start({ WORKERS: '2', PASSIVE_PORTS: range.toString() }).ended;
    assert.equal(code, 2);
    assert.match(
      stderr,
      new RegExp(`Another program listens on port ${first + 3}: stop it, or set PASSIVE_PORTS`),
    );
    assert.equal((await other.stop('SIGINT')).code, 0);
  });

  it('npm start names the variable to change when a port is taken', async () => {
    const first = start();
    const port = await portOf(first);
    const { code, stderr } = await start({ CONTROL_PORT: String(port) }).ended;
    assert.match(
      stderr,
      new RegExp(`listens on port ${port}: stop it, or set CONTROL_PORT to another port\\.\\n$`),
    );
    assert.equal(code, 2);
    assert.equal((await first.stop('SIGINT')).code, 0);
  });
});
