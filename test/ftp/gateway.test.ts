/** The gateway as a library: its defaults, and what it leaves alone in the process that it runs in. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { variables, type Variable } from '../../src/config/variables.ts';
import { MemoryFilesystem } from '../../src/filesystem/memory-filesystem.ts';
import { startGateway } from '../../src/ftp/gateway.ts';
import { gatewayDefaults } from '../../src/ftp/gateway-settings.ts';
import { Dialogue } from '../support/dialogue.ts';
import { startTestGateway } from '../support/gateway.ts';
import { LeakCheck } from '../support/leak-check.ts';

describe('the process', () => {
  it('Starting many gateways adds no signal listeners to the process and causes no warning', async () => {
    const leaks = new LeakCheck();
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => {
      warnings.push(warning);
    };
    process.on('warning', onWarning);
    const listeners = (): number[] =>
      ['SIGTERM', 'SIGINT', 'SIGQUIT'].map((signal) => process.listenerCount(signal));
    const before = listeners();
    const gateways = await Promise.all(Array.from({ length: 15 }, () => startTestGateway()));
    assert.deepEqual(listeners(), before);
    await Promise.all(gateways.map((gateway) => gateway.close()));
    process.removeListener('warning', onWarning);
    assert.deepEqual(warnings, []);
    await leaks.assertNothingLeft();
  });

  it('Refused logins, lost clients and failed commands write nothing to stderr', async () => {
    const written: string[] = [];
    const write = process.stderr.write.bind(process.stderr);
    process.stderr.write = (text: string | Uint8Array) => {
      written.push(String(text));
      return true;
    };
    try {
      const gateway = await startTestGateway();
      const client = await Dialogue.open({ port: gateway.controlPort });
      await client.expect('220 Ready');
      await client.says('USER alice', '331 Password required.');
      await client.says('PASS wrong', '530 Login incorrect. [LOGIN-REFUSED]');
      await client.says('USER alice', '331 Password required.');
      await client.send('PASS wrong\r\n');
      client.destroy();
      await gateway.nextEvent('session-closed');
      // Before its greeting is written, too.
      (await Dialogue.open({ port: gateway.controlPort })).destroy();
      await gateway.nextEvent('session-closed');
      await gateway.close();
    } finally {
      process.stderr.write = write;
    }
    assert.deepEqual(written, []);
  });
});

describe('The defaults of startGateway', () => {
  it('The defaults of startGateway are those of the environment variables', () => {
    const ofVariables = Object.keys(gatewayDefaults).map((field) => {
      assert.ok(field in variables, `${field} is a field of the configuration`);
      const variable = variables[field as keyof typeof variables] as Variable<unknown>;
      assert.ok(typeof variable.presence === 'object', `the variable of ${field} has a default`);
      return [field, variable.parse(variable.presence.default)];
    });
    assert.deepEqual(gatewayDefaults, Object.fromEntries(ofVariables));
  });

  it('startGateway needs only ports, users and a filesystem, and takes an undefined option for its default', async () => {
    const filesystem = new MemoryFilesystem();
    const user = { name: 'alice', home: { bucket: 'b', prefix: '' }, permissions: 'read-write' } as const;
    const gateway = await startGateway(
      { controlPort: 0, passivePorts: [0], tls: undefined, maxSessions: undefined },
      { authenticate: () => Promise.resolve(user), filesystemFor: () => filesystem },
    );
    const client = await Dialogue.logIn({ port: gateway.controlPort });
    await client.says('PWD', /^257 "\/"/);
    await client.says('AUTH TLS', '502 TLS is not available here.');
    client.destroy();
    await gateway.close();
  });

  it('startGateway without an observer turns an unexpected error into a warning of the process', async () => {
    const failure = new Error('the users cannot be read');
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const gateway = await startGateway(
      { controlPort: 0, passivePorts: [0] },
      { authenticate: () => Promise.reject(failure), filesystemFor: () => new MemoryFilesystem() },
    );
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    await client.says('USER alice', '331 Password required.');
    await client.says('PASS secret', /^451 /);
    client.destroy();
    await gateway.close();
    process.removeListener('warning', onWarning);
    assert.deepEqual(warnings, [failure]);
  });
});

describe('endIdleSessions', () => {
  it('endIdleSessions ends a session whose last command is long ago, NOOP aside, and keeps an active one', async (t) => {
    const gateway = await startTestGateway();
    const idle = await Dialogue.logIn({ port: gateway.controlPort });
    const active = await Dialogue.logIn({ port: gateway.controlPort });
    const now = performance.now.bind(performance);
    t.mock.method(performance, 'now', () => now() + 600_000);
    await idle.says('NOOP', /^200 /);
    await active.says('PWD', /^257 /);
    assert.equal(gateway.endIdleSessions(300_000), 1);
    await idle.expect('421 The gateway is stopping; closing the control connection. [DRAIN]');
    await idle.expectClosed();
    await active.says('NOOP', /^200 /);
    assert.equal(gateway.sessionCount, 1);
    active.destroy();
    await gateway.close();
  });

  it('endIdleSessions keeps a session that has agreed on a data connection', async (t) => {
    const gateway = await startTestGateway();
    const client = await Dialogue.logIn({ port: gateway.controlPort });
    await client.says('PASV', /^227 /);
    const now = performance.now.bind(performance);
    t.mock.method(performance, 'now', () => now() + 600_000);
    assert.equal(gateway.endIdleSessions(300_000), 0);
    client.destroy();
    await gateway.close();
  });
});
