/**
 * Every cause, provoked through the running gateway: the code in the reply, the seconds until it, the line in the log with its side,
 * and the metric. A
 * cause is added with a row in `test/ftp/causes/`, or, where that takes a failing storage or a process of its own, with a test
 * that names it, listed below.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { causes, shownCode, sideOf, type CauseCode } from '../../src/observability/cause.ts';
import type { GatewayEvent } from '../../src/observability/event.ts';
import { observeWithLog } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { Dialogue } from '../support/dialogue.ts';
import { startTestGateway } from '../support/gateway.ts';
import { dataRows } from './causes/data-connections.ts';
import { fileRows } from './causes/files.ts';
import type { Row } from './causes/row.ts';
import { sessionRows } from './causes/sessions.ts';
import { tlsRows } from './causes/tls.ts';

const rows: readonly Row[] = [...sessionRows, ...fileRows, ...dataRows, ...tlsRows];

/** Tests that provoke causes in another way, by the beginning of the code. */
const elsewhere: readonly (readonly [prefix: string, file: string])[] = [
  ['STORAGE-', '../s3/storage-failures.test.ts'],
  ['STORAGE-UNCONFIRMED', '../system/process/drain-storage.test.ts'],
  ['SESSION-LIFETIME', './control/limits.test.ts'],
  ['USER-REVOKED', './control/limits.test.ts'],
  ['REPLIES-UNREAD', './control/limits.test.ts'],
  ['LIMIT-DESCRIPTORS', '../system/process/descriptors.test.ts'],
  ['LIMIT-LISTINGS', '../system/protection/event-loop.test.ts'],
  ['DATA-SLOW', '../system/protection/transfer-memory.test.ts'],
  ['PASV-RESET', './data/passive-ports.test.ts'],
  ['WORKER-LOST', '../system/process/workers.test.ts'],
  ['LIMIT-BEFORE-LOGIN', './control/limits.test.ts'],
  ['BANNED', '../users/login-checks.test.ts'],
  ['LOGIN-REFUSED', './control/control-channel.test.ts'],
];

/**
 * What a reply may take beyond the clock of its row, on a busy machine. It is shorter than every clock of the test gateway that a row
 * does not scale (5 s and more), so that a row fails whose gateway waits where it should not.
 */
const marginSeconds = 3;
/** Timers of Node may expire this much early by another clock. */
const timerInaccuracySeconds = 0.01;

/** The metric that counts the event of a row. */
const counters: Partial<Record<GatewayEvent['event'], string>> = {
  'session-closed': 'sessions_closed',
  'session-refused': 'sessions_refused',
  login: 'logins',
  transfer: 'transfers',
  command: 'commands',
  'tls-failed': 'tls_failures',
  'stray-data-connection': 'stray_data_connections',
  'passive-ports-exhausted': 'passive_ports_exhausted',
};

const noGauges = {
  sessions: 0,
  passivePortLeases: 0,
  passivePortWaiters: 0,
  transferMemoryBytes: 0,
  waitingUploads: 0,
};

describe('causes of failures', () => {
  for (const row of rows) {
    it(`${row.cause} is in the reply in time, in the log and in the metrics when ${row.when}`, () =>
      run(row));
  }

  for (const verb of ['STOR', 'RETR'] as const) {
    it(`ASCII-BINARY is in the log and the metrics when ${verb} transfers binary content in ASCII mode`, async () => {
      await checkBinaryWarning(verb);
    });
  }

  it('Replies to commands that are unknown, out of order or wrongly written have no code, and their log line has COMMAND-INVALID', async () => {
    const gateway = await startTestGateway({ tls: 'optional' });
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    for (const [command, expected] of [
      ['PASS secret', '503 Send USER first.'],
      ['PROT P', '503 Send AUTH TLS first.'],
      ['LIST', '530 Please log in with USER and PASS.'],
      ['USER', /^501 /],
      ['XYZ', /^500 /],
    ] as const) {
      const reply = await client.ask(command);
      assert.match(reply, typeof expected === 'string' ? new RegExp(`^${expected}$`) : expected);
      assert.doesNotMatch(reply, /\]$/);
      const { cause, replyCode } = await gateway.nextEvent('command');
      assert.deepEqual([cause, replyCode], ['COMMAND-INVALID', Number(reply.slice(0, 3))], command);
    }
    client.destroy();
    await gateway.close();
  });

  it('Every cause is provoked by a row or by a test that names it', () => {
    const provoked = new Set<string>([...rows.map(({ cause }) => cause), 'ASCII-BINARY']);
    const missing = Object.keys(causes).filter((code) => !provoked.has(code) && !isProvokedElsewhere(code));
    assert.deepEqual(missing, []);
  });
});

function isProvokedElsewhere(code: string): boolean {
  return elsewhere.some(
    ([prefix, file]) =>
      code.startsWith(prefix) && readFileSync(new URL(file, import.meta.url), 'utf8').includes(code),
  );
}

async function checkBinaryWarning(verb: 'STOR' | 'RETR'): Promise<void> {
  const metrics = createMetrics(() => noGauges);
  const lines: string[] = [];
  const log = observeWithLog({ level: 'warn' }, { write: (line) => void lines.push(line) });
  const gateway = await startTestGateway({
    observe: (event) => {
      metrics.observe(event);
      log(event);
    },
  });
  const binary = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0]);
  gateway.filesystem.putFile('/image.png', binary);
  gateway.filesystem.putFile('/text', 'text\n');
  const client = await Dialogue.logIn({ port: gateway.controlPort });
  if (verb === 'STOR') await client.upload('STOR image.png', binary);
  else await client.download('RETR image.png');
  await client.download('RETR text');
  const { outcome, warning } = await gateway.nextEvent(
    'transfer',
    ({ pathname }) => pathname === '/image.png',
  );
  assert.deepEqual([outcome, warning], ['completed', 'ASCII-BINARY']);
  assert.equal(lines.length, 1, 'text gives no warning');
  const shown = await metrics.registry.metrics();
  assert.match(shown, /^ftp_gateway_transfer_warnings_total\{cause="ASCII-BINARY",side="client"\} 1$/m);
  await client.quit();
  await gateway.close();
}

async function run(row: Row): Promise<void> {
  const lines: string[] = [];
  const log = observeWithLog(
    { level: 'debug', commands: 'info' },
    { write: (line) => void lines.push(line) },
  );
  const metrics = createMetrics(() => noGauges);
  const opened: { destroy(): unknown }[] = [];
  const gateway = await startTestGateway({
    ...row.options,
    observe: (event) => {
      log(event);
      metrics.observe(event);
    },
  });
  try {
    const startedAtMs = performance.now();
    const reply = await row.provoke({
      gateway,
      keep(socket) {
        opened.push(socket);
        return socket;
      },
    });
    const event = await gateway.nextEvent(
      row.event,
      (candidate) => 'cause' in candidate && candidate.cause === row.cause,
    );
    checkTime(row, (performance.now() - startedAtMs) / 1000);
    checkReply(row, reply);
    for (const [field, value] of Object.entries(row.fields ?? {})) {
      assert.deepEqual((event as Readonly<Record<string, unknown>>)[field], value, field);
    }
    checkLog(row.cause, row.event, lines);
    checkMetric(row, await metrics.registry.metrics());
  } finally {
    for (const socket of opened) socket.destroy();
    await gateway.close();
  }
}

function checkReply({ cause, reply: expected }: Row, reply: string | undefined): void {
  if (expected === undefined) {
    assert.equal(reply, undefined);
    return;
  }
  assert.match(reply ?? '', expected);
  assert.ok(reply?.endsWith(` [${shownCode(cause)}]`), reply);
}

/** From the first command to the reply, or, where there is none, to the end of what the client does, and to the event. */
function checkTime({ afterSeconds = 0 }: Row, seconds: number): void {
  assert.ok(
    seconds >= afterSeconds - timerInaccuracySeconds && seconds <= afterSeconds + marginSeconds,
    `after ${seconds} s, not within ${marginSeconds} s from ${afterSeconds} s on`,
  );
}

function checkMetric({ cause, event }: Row, shown: string): void {
  const counter = counters[event];
  assert.ok(counter, `no metric counts ${event}`);
  const sample = new RegExp(
    `^ftp_gateway_${counter}_total\\{(?:.*,)?cause="${cause}",side="${sideOf(cause)}"\\} [1-9]`,
    'm',
  );
  assert.match(shown, sample);
}

function checkLog(cause: CauseCode, event: Row['event'], lines: readonly string[]): void {
  const parsed = lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
  const line = parsed.find((candidate) => candidate['event'] === event && candidate['cause'] === cause);
  assert.ok(line, lines.join(''));
  assert.equal(line['side'], sideOf(cause));
  // Names of classes mean nothing to operators. The stack of a defect has them.
  const others = parsed.filter((candidate) => candidate['event'] !== 'unexpected-error');
  assert.doesNotMatch(JSON.stringify(others), /\b[A-Z][a-z]+[A-Za-z]*Error\b|DataConnectionLost/);
  assert.doesNotMatch(lines.join(''), /"argument":"[^"]*secret/);
}
