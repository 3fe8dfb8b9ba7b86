import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import type { CauseCode } from '../../src/observability/cause.ts';
import type { GatewayEvent } from '../../src/observability/event.ts';
import { startPartnerSummaries } from '../../src/observability/partner-summaries.ts';
import { Dialogue } from '../support/dialogue.ts';
import { startTestGateway } from '../support/gateway.ts';

type Summary = Extract<GatewayEvent, { event: 'partner-summary' }>;

const startMs = Date.parse('2026-01-01T00:00:00.000Z');
const hourMs = 3_600_000;

const client = { sessionId: 's1', clientAddress: '192.0.2.1' };

function transfer(username: string, verb: string, sizeBytes: number, cause?: CauseCode): GatewayEvent {
  return {
    event: 'transfer',
    ...client,
    username,
    verb,
    pathname: '/a',
    sizeBytes,
    durationMs: 10,
    outcome: cause === undefined ? 'completed' : 'aborted',
    ...(cause !== undefined && { cause }),
    dataMode: 'passive',
    dataPort: 50_000,
    tls: true,
  };
}

function login(username: string, cause?: CauseCode): GatewayEvent {
  const outcome = cause === undefined ? 'accepted' : 'refused';
  return { event: 'login', ...client, username, outcome, tls: true, ...(cause !== undefined && { cause }) };
}

function refusal(username: string | undefined, cause: CauseCode): GatewayEvent {
  const user = username === undefined ? {} : { username };
  return { event: 'command', ...client, ...user, verb: 'DELE', replyCode: 550, outcome: 'refused', cause };
}

/** Summaries at a clock that stands still until the test moves it. */
function start(test: TestContext) {
  test.mock.timers.enable({ apis: ['setInterval', 'Date'], now: startMs });
  const written: Summary[] = [];
  const summaries = startPartnerSummaries((event) => {
    assert.equal(event.event, 'partner-summary');
    written.push(event);
  });
  return {
    written,
    observe: summaries.observe,
    close: () => summaries.close(),
    pass: (ms: number) => test.mock.timers.tick(ms),
    /** The summaries since the last call. */
    take: () => written.splice(0),
  };
}

const nothing = {
  event: 'partner-summary',
  periodMs: hourMs,
  uploads: 0,
  uploadedBytes: 0,
  downloads: 0,
  downloadedBytes: 0,
  listings: 0,
  failures: 0,
  failuresByCause: {},
} as const;

describe('summaries of partners', () => {
  it('A summary has the transfers, bytes, failures by cause and the last success of a user in one hour', (test) => {
    const { observe, pass, take, close } = start(test);
    observe(transfer('alice', 'STOR', 100));
    observe(transfer('alice', 'APPE', 10));
    pass(60_000);
    observe(transfer('alice', 'RETR', 7));
    pass(60_000);
    observe(transfer('alice', 'MLSD', 500));
    observe(transfer('alice', 'STOR', 1, 'PASV-NONE'));
    observe(transfer('alice', 'LIST', 0, 'PASV-NONE'));
    observe(refusal('alice', 'FILE-PERMISSION'));
    observe(login('alice', 'LOGIN-PASSWORD'));
    assert.deepEqual(take(), []);
    pass(hourMs - 120_000);
    assert.deepEqual(take(), [
      {
        ...nothing,
        username: 'alice',
        lastSuccess: '2026-01-01T00:01:00.000Z',
        uploads: 2,
        uploadedBytes: 110,
        downloads: 1,
        downloadedBytes: 7,
        listings: 1,
        failures: 4,
        failuresByCause: { 'PASV-NONE': 2, 'FILE-PERMISSION': 1, 'LOGIN-PASSWORD': 1 },
      },
    ]);
    close();
  });

  it('A user without a transfer or a failure in an hour has no summary, and the next one still has the last success', (test) => {
    const { observe, pass, take, close } = start(test);
    observe(transfer('alice', 'STOR', 100));
    pass(hourMs);
    assert.equal(take().length, 1);
    observe(login('alice'));
    pass(hourMs);
    assert.deepEqual(take(), []);
    observe(transfer('alice', 'STOR', 0, 'STORAGE-DENIED'));
    pass(hourMs);
    assert.deepEqual(take(), [
      {
        ...nothing,
        username: 'alice',
        lastSuccess: '2026-01-01T00:00:00.000Z',
        failures: 1,
        failuresByCause: { 'STORAGE-DENIED': 1 },
      },
    ]);
    close();
  });

  it('Listings are no success, and ABOR, routine refusals and names that are no users are no failures', (test) => {
    const { observe, pass, take, close } = start(test);
    observe(transfer('alice', 'LIST', 9));
    observe(transfer('alice', 'RETR', 9, 'ABOR'));
    observe(refusal('alice', 'FILE-NOT-FOUND'));
    observe(refusal(undefined, 'TLS-REQUIRED'));
    observe(login('mallory', 'LOGIN-USER'));
    observe(login('mallory', 'LOGIN-THROTTLED'));
    pass(hourMs);
    assert.deepEqual(take(), [{ ...nothing, username: 'alice', listings: 1 }]);
    close();
  });

  it('The first thousand users of an hour have a summary each, and all others one together, without a name', (test) => {
    const { observe, pass, take, close } = start(test);
    for (let user = 0; user < 1_002; user++) observe(transfer(`user${user}`, 'STOR', 5));
    observe(transfer('user0', 'STOR', 5));
    observe(transfer('user1001', 'STOR', 0, 'PASV-NONE'));
    pass(hourMs);
    const summaries = take();
    assert.equal(summaries.length, 1_001);
    assert.deepEqual([summaries[0]!.username, summaries[0]!.uploads], ['user0', 2]);
    assert.equal(summaries[999]!.username, 'user999');
    const { username, uploads, uploadedBytes, failures, failuresByCause } = summaries[1_000]!;
    assert.deepEqual([username, uploads, uploadedBytes, failures], [undefined, 2, 10, 1]);
    assert.deepEqual(failuresByCause, { 'PASV-NONE': 1 });
    observe(transfer('user1001', 'STOR', 5));
    pass(hourMs);
    assert.deepEqual(
      take().map((summary) => summary.username),
      ['user1001'],
      'the limit holds for each hour',
    );
    close();
  });

  it('The end writes the summaries of the hour that has begun, once', (test) => {
    const { observe, pass, take, close } = start(test);
    observe(transfer('alice', 'STOR', 100));
    pass(90_000);
    close();
    close();
    pass(2 * hourMs);
    const summaries = take();
    assert.deepEqual(
      summaries.map(({ username, periodMs, uploads }) => [username, periodMs, uploads]),
      [['alice', 90_000, 1]],
    );
  });

  it('A session with a wrong password, an upload and a transfer without a data connection is in the summary of its user', async () => {
    const written: GatewayEvent[] = [];
    const summaries = startPartnerSummaries((event) => void written.push(event));
    const gateway = await startTestGateway({ dataConnectionTimeoutMs: 30, observe: summaries.observe });
    const session = await Dialogue.open({ port: gateway.controlPort });
    await session.expect(/^220 /);
    await session.says('USER alice', /^331 /);
    await session.says('PASS wrong', /^530 /);
    await session.says('USER alice', /^331 /);
    await session.says('PASS secret', /^230 /);
    await session.says('TYPE I', /^200 /);
    const data = await session.passive();
    const dataClosed = once(data.resume(), 'close');
    await session.says('STOR report', /^150 /);
    data.end('content');
    await session.expect(/^226 /);
    await dataClosed;
    await session.says('PASV', /^227 /);
    await session.says('RETR report', /^150 /, /^425 .*\[PASV-NONE\]$/);
    await session.quit();
    await gateway.close();
    summaries.close();
    assert.equal(written.length, 1);
    const { username, lastSuccess, uploads, uploadedBytes, failures, failuresByCause } =
      written[0] as Summary;
    assert.deepEqual([username, uploads, uploadedBytes, failures], ['alice', 1, 7, 2]);
    assert.deepEqual(failuresByCause, { 'LOGIN-PASSWORD': 1, 'PASV-NONE': 1 });
    assert.ok(Date.now() - Date.parse(lastSuccess!) < 60_000, lastSuccess);
  });
});
