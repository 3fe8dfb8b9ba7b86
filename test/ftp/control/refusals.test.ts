import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { observeWithLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { Dialogue, closed } from '../../support/dialogue.ts';
import { startTestGateway } from '../../support/gateway.ts';

/** More than the gateway refuses with a reply at the same time. */
const connections = 400;

const gauges = {
  sessions: 0,
  passivePortLeases: 0,
  passivePortWaiters: 0,
  transferMemoryBytes: 0,
  waitingUploads: 0,
};

describe('refusals of many connections at once', () => {
  it('Connections that are reset without a 421 are counted, and the log has few lines of them', async () => {
    const metrics = createMetrics(() => gauges);
    const lines: string[] = [];
    const log = observeWithLog({ level: 'warn' }, { write: (line) => void lines.push(line) });
    const gateway = await startTestGateway({
      maxSessions: 1,
      observe(event) {
        log(event);
        metrics.observe(event);
      },
    });
    const first = await Dialogue.logIn({ port: gateway.controlPort });
    const sockets: Socket[] = [];
    const reset = new Promise((resolve) => {
      for (let each = 0; each < connections; each++) {
        // They keep their side open, so that a refusal with a reply is not over.
        const socket = connect({ port: gateway.controlPort, host: '127.0.0.1', allowHalfOpen: true });
        socket.on('error', resolve);
        sockets.push(socket);
      }
    });
    await reset;
    await gateway.nextEvent('session-refused', (event) => event.reset === true);
    while (gateway.events.filter(({ event }) => event === 'session-refused').length < connections) {
      await gateway.nextEvent('session-refused');
    }
    const shown = await metrics.registry.metrics();
    assert.match(shown, /^ftp_gateway_sessions_refused_total\{cause="LIMIT-SESSIONS",side="gateway"\} 400$/m);
    const refused = lines.filter((line) => line.includes('"session-refused"'));
    const resets = refused.filter((line) => line.includes('"reset":true'));
    assert.ok(resets.length >= 1 && resets.length <= 30, `${resets.length} lines of resets`);
    assert.ok(refused.length <= 60, `${refused.length} lines`);
    for (const socket of sockets) socket.destroy();
    await Promise.all(sockets.map(closed));
    await first.quit();
    await gateway.close();
  });
});
