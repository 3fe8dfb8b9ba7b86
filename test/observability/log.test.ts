import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { GatewayEvent } from '../../src/observability/event.ts';
import { observeWithLog } from '../../src/observability/log.ts';
import type { LogLevel } from '../../src/observability/log-level.ts';

function lines(level: LogLevel, ...events: readonly GatewayEvent[]): Record<string, unknown>[] {
  const written: string[] = [];
  const observe = observeWithLog({ level }, { write: (line) => void written.push(line) });
  for (const event of events) observe(event);
  return written.map((line) => JSON.parse(line) as Record<string, unknown>);
}

const login: GatewayEvent = {
  event: 'login',
  sessionId: 's1',
  clientAddress: '192.0.2.1',
  username: 'alice\r\n{"event":"forged"}',
  outcome: 'accepted',
  tls: true,
};

describe('log', () => {
  it('The log writes an event as one line of JSON with its time, level and all fields, whatever a client put into them', () => {
    const [{ time, ...line } = {}, ...more] = lines('info', login);
    assert.deepEqual(more, []);
    assert.match(String(time), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.deepEqual(line, { level: 'info', ...login });
  });

  it('The log writes events that alarms count at every level except error', () => {
    const counted: readonly GatewayEvent[] = [
      {
        event: 'passive-ports-exhausted',
        sessionId: 's1',
        clientAddress: '192.0.2.1',
        cause: 'PASV-EXHAUSTED',
      },
      {
        event: 'storage-error',
        retrying: false,
        operation: 'PutObject',
        cause: 'STORAGE-THROTTLED',
        errorName: 'SlowDown',
        httpStatus: 503,
      },
      { event: 'unexpected-error', error: new Error('oops') },
    ];
    assert.deepEqual(
      lines('warn', login, ...counted).map(({ event }) => event),
      counted.map(({ event }) => event),
    );
  });

  it('The log writes an unexpected error with its stack and its cause', () => {
    const error = new Error('outer', { cause: new Error('inner') });
    const [line] = lines('error', { event: 'unexpected-error', sessionId: 's1', error });
    const shown = JSON.stringify(line);
    assert.match(shown, /outer/);
    assert.match(shown, /inner/);
    assert.match(shown, /log\.test\.ts/);
    assert.match(shown, /"sessionId":"s1"/);
  });

  it('The log writes session details only at the level that asks for them', () => {
    const opened: GatewayEvent = {
      event: 'session-opened',
      sessionId: 's1',
      clientAddress: '192.0.2.1',
      tls: false,
    };
    assert.equal(lines('info', opened).length, 0);
    assert.equal(lines('debug', opened).length, 1);
  });

  it('The log limits refused logins of a banned address and keeps every checked one', () => {
    const throttled: GatewayEvent = { ...login, outcome: 'throttled', cause: 'LOGIN-THROTTLED' };
    const refused: GatewayEvent = { ...login, outcome: 'refused', cause: 'LOGIN-PASSWORD' };
    assert.equal(lines('info', ...Array<GatewayEvent>(1_000).fill(throttled)).length, 30);
    assert.equal(lines('info', ...Array<GatewayEvent>(1_000).fill(refused)).length, 1_000);
  });

  it('The log has one line of an address whose probes close after the TLS handshake, and all lines of other failures', () => {
    const probe: GatewayEvent = {
      event: 'tls-failed',
      clientAddress: '192.0.2.1',
      connection: 'control',
      cause: 'TLS-UNUSED',
    };
    const probes = Array<GatewayEvent>(20).fill(probe);
    assert.equal(lines('info', ...probes).length, 1);
    assert.equal(lines('info', ...probes, { ...probe, clientAddress: '192.0.2.2' }).length, 2);
    assert.equal(lines('info', ...probes, { ...probe, cause: 'TLS-CERTIFICATE' }).length, 2);
  });

  it('Logins, transfers and bans are audit lines, and the line after lost ones has their number', () => {
    const written: [event: unknown, isAudit: boolean, dropped: unknown][] = [];
    const lost = [0, 7, 0];
    const observe = observeWithLog(
      { level: 'info' },
      {
        write(line, isAudit) {
          const { event, dropped } = JSON.parse(line) as { event: unknown; dropped?: unknown };
          written.push([event, isAudit, dropped]);
        },
        takeDropped: () => lost.shift() ?? 0,
      },
    );
    observe(login);
    observe({ event: 'session-refused', clientAddress: '192.0.2.1', cause: 'LIMIT-SESSIONS' });
    observe({ event: 'login-ban', source: '192.0.2.1', seconds: 300, cause: 'BANNED' });
    assert.deepEqual(written, [
      ['login', true, undefined],
      ['session-refused', false, 7],
      ['login-ban', true, undefined],
    ]);
  });
});
