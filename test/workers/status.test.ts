import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { GatewayStatus } from '../../src/observability/gateway-status.ts';
import { mergeStatuses } from '../../src/workers/status.ts';

const idle: GatewayStatus = {
  version: '1.2.3',
  stage: 'serving',
  ready: true,
  reversible: true,
  sessions: 0,
  transfers: 0,
  loginBans: [],
  oldestTransferSeconds: 0,
  failingStorage: [],
};
const failing = {
  operation: 'PutObject',
  cause: 'STORAGE-THROTTLED',
  errorName: 'SlowDown',
  since: '2026-01-01T00:00:00.000Z',
  failures: 3,
} as const;
const serving = { version: '1.2.3', isStarted: true, isReady: true, isDraining: false };
const draining = { ...serving, isReady: false, isDraining: true };

const ban = { source: '203.0.113.1', until: '2026-01-01T00:00:00.000Z' };

function worker(number: number, status: Partial<GatewayStatus> | undefined) {
  return {
    worker: number,
    pid: 1000 + number,
    passivePorts: [50_000 + number],
    status: status && { ...idle, ...status },
  };
}

describe('the status of all workers', () => {
  it('The status adds up sessions and transfers, and shows the oldest transfer, what fails in the storage, and each worker', () => {
    const workers = [
      worker(1, { sessions: 3, transfers: 1, oldestTransferSeconds: 10, loginBans: [ban] }),
      worker(2, { sessions: 4, transfers: 2, oldestTransferSeconds: 70, failingStorage: [failing] }),
    ];
    assert.deepEqual(mergeStatuses(workers, serving), {
      version: '1.2.3',
      stage: 'serving',
      ready: true,
      reversible: true,
      sessions: 7,
      transfers: 3,
      oldestTransferSeconds: 70,
      loginBans: [ban],
      failingStorage: [failing],
      workers: [
        { worker: 1, pid: 1001, passivePorts: [50_001], sessions: 3, transfers: 1 },
        { worker: 2, pid: 1002, passivePorts: [50_002], sessions: 4, transfers: 2 },
      ],
    });
  });

  it('The gateway is drained only when every worker is, and cannot serve again once one has ended a session', () => {
    const one = worker(1, { stage: 'drained', reversible: false });
    const half = mergeStatuses([one, worker(2, { stage: 'draining', sessions: 1 })], draining);
    assert.deepEqual([half.stage, half.reversible], ['draining', false]);
    const whole = mergeStatuses([one, worker(2, { stage: 'drained' })], draining);
    assert.deepEqual([whole.stage, whole.reversible], ['drained', false]);
  });

  it('A ban that all workers know is shown once, with the time at which the last of them ends it', () => {
    const early = { source: '192.0.2.1', until: '2026-01-01T00:00:00.000Z' };
    const late = { ...early, until: '2026-01-01T00:00:01.000Z' };
    const pair = { ...early, username: 'alice' };
    const workers = [worker(1, { loginBans: [early, pair] }), worker(2, { loginBans: [late] })];
    assert.deepEqual(mergeStatuses(workers, serving).loginBans, [pair, late]);
  });

  it('A worker that has not answered yet counts as one without sessions', () => {
    const status = mergeStatuses([worker(1, undefined), worker(2, { sessions: 5 })], serving);
    assert.equal(status.sessions, 5);
    assert.deepEqual(
      status.workers?.map(({ sessions }) => sessions),
      [0, 5],
    );
  });

  it('The stage is "starting" until every worker has started', () => {
    assert.equal(mergeStatuses([], { ...serving, isStarted: false }).stage, 'starting');
  });
});
