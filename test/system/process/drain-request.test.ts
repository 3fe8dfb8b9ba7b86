/** A drain that is asked for on the operations port, and the end after it, in the gateway's own process. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { setTimeout as passed } from 'node:timers/promises';
import { PasswordHash } from '../../../src/users/password.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { endGatewayProcesses, GatewayProcess } from '../../support/gateway-process.ts';

let folder: string;
let users: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ftp-gateway-drain-'));
  users = join(folder, 'users.json');
  const password = await PasswordHash.create('secret');
  await writeFile(
    users,
    JSON.stringify({
      users: [{ name: 'alice', password, permissions: 'read-write', home: { bucket: 'files', prefix: '' } }],
    }),
  );
});
after(async () => {
  await endGatewayProcesses();
  await rm(folder, { recursive: true, force: true });
});

async function start(environment: Readonly<Record<string, string>> = {}) {
  const gateway = new GatewayProcess({
    USERS: `file:${users}`,
    S3_ENDPOINT: 'http://127.0.0.1:9',
    S3_FORCE_PATH_STYLE: 'true',
    DRAIN_PROPAGATION_SECONDS: '1',
    DRAIN_IDLE_SECONDS: '2',
    DRAIN_SECONDS: '2',
    ...environment,
  });
  const { controlPort, operationsPort, passivePorts } = await gateway.event('gateway-started');
  const operations = (path: string, method = 'GET') =>
    fetch(`http://127.0.0.1:${operationsPort}${path}`, { method });
  const status = async () => (await (await operations('/status')).json()) as Record<string, unknown>;
  return {
    gateway,
    passivePorts,
    controlPort,
    operations,
    logIn: () => Dialogue.logIn({ host: '127.0.0.1', port: controlPort }, 'alice', 'secret'),
    status,
    stage: async (wanted: string) => {
      while ((await status())['stage'] !== wanted) await passed(50);
    },
  };
}

describe('a gateway that is asked to drain', () => {
  it('A gateway that was asked to drain is alive but not ready and serves new sessions; idle ones get 421 later, and NOOP does not count', async () => {
    const { gateway, operations, logIn, status, stage } = await start();
    const early = await logIn();
    assert.equal((await operations('/drain', 'POST')).status, 202);
    assert.equal((await operations('/readyz')).status, 503);
    assert.equal((await operations('/healthz')).status, 200);
    const late = await logIn();
    await late.says('PWD', /^257 /);
    assert.equal((await status())['sessions'], 2);
    await passed(1500);
    const noopMs = performance.now();
    await early.says('NOOP', /^200 /);
    await early.expect(/^421 /);
    assert.ok(performance.now() - noopMs < 1900, 'NOOP was taken for activity');
    await late.expect(/^421 /);
    await stage('drained');
    const startedMs = performance.now();
    gateway.child.kill('SIGTERM');
    assert.equal((await gateway.ended).code, 0);
    assert.ok(performance.now() - startedMs < 1500, 'a drained gateway ends at once');
  });

  it('A gateway is ready again when the drain is cancelled in time, and cannot be after the first 421', async () => {
    const { gateway, operations, logIn } = await start();
    const session = await logIn();
    await operations('/drain', 'POST');
    assert.equal((await operations('/serve', 'POST')).status, 200);
    assert.equal((await operations('/readyz')).status, 200);
    await operations('/drain', 'POST');
    await session.expect(/^421 /);
    assert.equal((await operations('/serve', 'POST')).status, 409);
    await gateway.stop('SIGKILL');
  });
});

describe('a gateway behind a load balancer', () => {
  it('A gateway behind a load balancer is ready only when every passive port has been probed', async () => {
    const { gateway, operations, passivePorts } = await start({
      READY_AFTER_PROBES: 'on',
      PASSIVE_PORTS: '0',
    });
    assert.equal((await operations('/readyz')).status, 503);
    for (const port of passivePorts) {
      assert.equal((await operations(`/healthz/${port}`)).status, 200);
    }
    assert.equal((await operations('/readyz')).status, 200);
    await gateway.stop('SIGKILL');
  });

  it('A gateway behind a load balancer answers 421 to sessions that arrive after SIGTERM until its drain ends', async () => {
    const { gateway, controlPort, logIn } = await start({ READY_AFTER_PROBES: 'on' });
    const session = await logIn();
    const startedMs = performance.now();
    gateway.child.kill('SIGTERM');
    await session.expect(/^421 /);
    const sent = connect({ port: controlPort, host: '127.0.0.1' });
    await once(sent, 'connect');
    assert.match(await text(sent), /^421 The gateway is stopping/);
    assert.equal((await gateway.ended).code, 0);
    assert.ok(performance.now() - startedMs > 1900);
  });
});
