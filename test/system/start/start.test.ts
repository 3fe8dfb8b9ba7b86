import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Dialogue } from '../../support/dialogue.ts';
import { endGatewayProcesses, GatewayProcess } from '../../support/gateway-process.ts';

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
