import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import packageJson from '../../../package.json' with { type: 'json' };
import { endGatewayProcesses, GatewayProcess } from '../../support/gateway-process.ts';
import { Dialogue } from '../../support/dialogue.ts';

let folder: string;
let usersPath: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ftp-gateway-main-'));
  usersPath = join(folder, 'users.json');
  await writeFile(usersPath, '{"users":[]}');
});

after(async () => {
  await endGatewayProcesses();
  await rm(folder, { recursive: true });
});

describe('process', () => {
  it('The gateway prints every variable with default and meaning for --help, and exits with 0', async () => {
    const gateway = new GatewayProcess({}, { arguments: ['--help'] });
    assert.equal((await gateway.ended).code, 0);
    const help = gateway.lines.join('\n');
    assert.match(help, /^ {2}CONTROL_PORT \(default: 21\)\n {6}FTP control port/m);
    assert.match(help, /^ {2}USERS \(required\)/m);
    assert.match(help, /^ {2}IMPLICIT_TLS_PORT \(unset\)/m);
  });

  it('The gateway prints its version for --version', async () => {
    const gateway = new GatewayProcess({}, { arguments: ['--version'] });
    assert.equal((await gateway.ended).code, 0);
    assert.deepEqual(gateway.lines, [packageJson.version]);
  });

  const wrongStarts: readonly (readonly [string, Record<string, string>, RegExp])[] = [
    [
      'a wrong environment',
      { TLS: 'yes', CONTROL_PORT: '-1' },
      /^The configuration has 3 problems:\n {2}CONTROL_PORT: .*\n {2}USERS: .*\n {2}TLS: .*\nRun with --help for all variables\.\n$/,
    ],
    [
      'users that are not there',
      { USERS: 'file:/nowhere/users.json' },
      /^The gateway cannot start: USERS: the file \/nowhere\/users\.json cannot be used: no such file or directory \(ENOENT\)\n$/,
    ],
    [
      'a misspelt variable',
      { USERS: '', LOG_LEVLE: 'debug' },
      /^The configuration has a problem:\n {2}USERS: .*\nLOG_LEVLE is set and not known: is LOG_LEVEL meant\?\nRun with/,
    ],
  ];
  for (const [what, environment, message] of wrongStarts) {
    it(`The gateway explains without a stack trace that it cannot start with ${what}, and exits with 2`, async () => {
      const { code, stderr } = await new GatewayProcess(environment).ended;
      assert.match(stderr, message);
      assert.equal(code, 2);
    });
  }

  it('The gateway refuses unknown arguments', async () => {
    const { code, stderr } = await new GatewayProcess({}, { arguments: ['--port=21'] }).ended;
    assert.match(stderr, /^The gateway cannot start: Unknown option '--port'/);
    assert.equal(code, 2);
  });

  it('The gateway names the variable of a port that is taken, for each kind of port', async () => {
    const first = new GatewayProcess({ USERS: `file:${usersPath}` });
    const { controlPort, passivePorts, operationsPort } = await first.event('gateway-started');
    const taken = [
      { CONTROL_PORT: String(controlPort) },
      { PASSIVE_PORTS: String(passivePorts[0]) },
      { OPERATIONS_PORT: String(operationsPort) },
    ];
    for (const environment of taken) {
      const { code, stderr } = await new GatewayProcess({ USERS: `file:${usersPath}`, ...environment }).ended;
      const [[name, port]] = Object.entries(environment) as [[string, string]];
      assert.ok(
        stderr.endsWith(
          `Another program listens on port ${port}: stop it, or set ${name} to another port.\n`,
        ),
        stderr,
      );
      assert.equal(code, 2);
    }
    assert.equal((await first.stop()).code, 0);
  });

  it('The gateway greets clients, and drains and exits with 0 for SIGTERM and SIGINT', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const gateway = new GatewayProcess({ USERS: `file:${usersPath}` });
      const { controlPort } = await gateway.event('gateway-started');
      const client = await Dialogue.open({ port: controlPort });
      assert.match(await client.reply(), /^220 /);
      gateway.child.kill(signal);
      assert.match(await client.reply(), /^421 /);
      await client.expectClosed();
      assert.deepEqual(await gateway.ended, { code: 0, signal: null, stderr: '' });
      await gateway.event('gateway-stopped', ({ reason }) => reason === signal);
    }
  });
});
