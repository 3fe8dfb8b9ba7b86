import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { GatewayEvent } from '../../src/observability/event.ts';
import type { FailedRequest } from '../../src/s3/client/request-monitor.ts';
import { StorageHealth } from '../../src/s3/storage-health.ts';

const throttled: FailedRequest = {
  operation: 'PutObject',
  bucket: 'files',
  endpoint: 'https://files.example',
  cause: 'STORAGE-THROTTLED',
  errorName: 'SlowDown',
  httpStatus: 503,
  sessionId: 's1',
};

function open() {
  const events: GatewayEvent[] = [];
  let nowMs = 1_000_000;
  const health = new StorageHealth({ observe: (event) => events.push(event), nowMs: () => nowMs });
  return { events, health, pass: (ms: number) => (nowMs += ms) };
}

describe('the state of the storage', () => {
  it('The first failure of a cause is reported at once, and further ones with their number after ten seconds', () => {
    const { events, health, pass } = open();
    for (let failure = 0; failure < 100; failure++) health.failed(throttled, true);
    assert.equal(events.length, 1);
    pass(10_000);
    health.failed(throttled, true);
    assert.deepEqual(events, [
      { event: 'storage-error', retrying: true, ...throttled, failures: 1 },
      { event: 'storage-error', retrying: true, ...throttled, failures: 100 },
    ]);
  });

  it('Failures between two lines are reported after ten seconds even if none follows', (test) => {
    test.mock.timers.enable({ apis: ['setTimeout'] });
    const { events, health, pass } = open();
    for (const sessionId of ['s1', 's2', 's3']) health.failed({ ...throttled, sessionId }, true);
    pass(10_000);
    test.mock.timers.tick(10_000);
    assert.deepEqual(events, [
      { event: 'storage-error', retrying: true, ...throttled, failures: 1 },
      { event: 'storage-error', retrying: true, ...throttled, sessionId: 's3', failures: 2 },
    ]);
  });

  it('Requests of the gateway itself do not hide those of sessions', () => {
    const { events, health } = open();
    health.failed({ ...throttled, sessionId: undefined }, true);
    health.failed(throttled, true);
    assert.equal(events.length, 2);
  });

  it('Another cause is reported at once', () => {
    const { events, health } = open();
    health.failed(throttled, true);
    health.failed({ ...throttled, cause: 'STORAGE-DENIED', errorName: 'AccessDenied' }, true);
    assert.equal(events.length, 2);
  });

  it('A failure that is not retried is reported with the failed command alone', () => {
    const { events, health } = open();
    health.failed(throttled, false);
    assert.deepEqual(events, []);
    assert.equal(health.failing.length, 1);
  });

  it('An operation fails from its first failure until it succeeds, and its success alone ends that', () => {
    const { events, health, pass } = open();
    health.failed(throttled, true);
    pass(7_000);
    health.failed(throttled, true);
    health.succeeded('GetObject', 'files');
    health.succeeded('PutObject', 'others');
    assert.deepEqual(health.failing, [
      {
        operation: 'PutObject',
        bucket: 'files',
        endpoint: 'https://files.example',
        cause: 'STORAGE-THROTTLED',
        errorName: 'SlowDown',
        sinceMs: 1_000_000,
        failures: 2,
      },
    ]);
    health.succeeded('PutObject', 'files');
    assert.deepEqual(health.failing, []);
    assert.deepEqual(events.at(-1), {
      event: 'storage-recovered',
      operation: 'PutObject',
      bucket: 'files',
      cause: 'STORAGE-THROTTLED',
      failingMs: 7_000,
      failures: 2,
    });
  });

  it('The end of a failure that a retry has cured within five seconds is no event', () => {
    const { events, health, pass } = open();
    health.failed(throttled, true);
    pass(4_999);
    health.succeeded('PutObject', 'files');
    assert.equal(events.length, 1);
  });

  it('A failure that has not been reported for five minutes is dropped', () => {
    const { health, pass } = open();
    health.failed(throttled, true);
    pass(300_000);
    assert.equal(health.failing.length, 0);
    health.failed(throttled, true);
    assert.equal(health.failing[0]?.sinceMs, 1_300_000);
  });

  it('A request without a response is reported as slow, at most once in ten seconds', () => {
    const { events, health, pass } = open();
    const slow = { operation: 'GetObject', bucket: 'files', endpoint: undefined, waitingMs: 5_000.4 };
    health.slow(slow);
    health.slow(slow);
    pass(10_000);
    health.slow(slow);
    const line = {
      event: 'storage-slow',
      operation: 'GetObject',
      bucket: 'files',
      waitingMs: 5_000,
    } as const;
    const cause = 'STORAGE-NO-RESPONSE';
    assert.deepEqual(events, [
      { ...line, cause, requests: 1 },
      { ...line, cause, requests: 2 },
    ]);
  });
});
