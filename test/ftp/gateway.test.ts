/** What stock ftp-srv 4.6.3 does to the process it runs in, and what the gateway does instead. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
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
      await client.says('PASS wrong', '530 Login incorrect.');
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
