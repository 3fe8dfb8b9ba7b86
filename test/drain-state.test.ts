import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { DrainState } from '../src/drain-state.ts';
import type { DrainableSessions } from '../src/ftp/running-gateway.ts';

const times = { propagationMs: 180_000, idleMs: 300_000, maxMs: 24 * 3_600_000, endMs: 110_000 };

/** Sessions that a test changes by hand: how many there are, and how many of them are idle for too long. */
class Sessions implements DrainableSessions {
  sessionCount = 3;
  idle = 0;
  endedWithinMs: number | undefined;

  endIdleSessions(idleMs: number): number {
    assert.equal(idleMs, times.idleMs);
    const ended = this.idle;
    this.sessionCount -= ended;
    this.idle = 0;
    return ended;
  }

  endSessions(timeoutMs: number): void {
    this.endedWithinMs = timeoutMs;
    this.sessionCount = 0;
  }
}

function scene(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  const sessions = new Sessions();
  const events: string[] = [];
  const state = new DrainState(sessions, times, ({ event }) => void events.push(event));
  t.after(() => state.close());
  return { sessions, events, state, pass: (ms: number) => t.mock.timers.tick(ms) };
}

describe('a drain that is asked for', () => {
  it('A requested drain ends no session until load balancers have noticed it', (t) => {
    const { sessions, state, pass } = scene(t);
    state.drain();
    sessions.idle = 3;
    pass(179_000);
    assert.equal(state.stage, 'draining');
    assert.equal(sessions.sessionCount, 3);
  });

  it('A drain ends idle sessions after the propagation time, waits for busy ones, and completes when none is left', (t) => {
    const { sessions, state, pass } = scene(t);
    state.drain();
    sessions.idle = 2;
    pass(180_000);
    assert.equal(sessions.sessionCount, 1);
    assert.equal(state.stage, 'draining');
    pass(3_600_000);
    sessions.idle = 1;
    pass(31_000);
    assert.equal(state.stage, 'drained');
    assert.equal(sessions.endedWithinMs, undefined);
  });

  it('A drain without sessions still waits for the propagation time, because a load balancer may send one', (t) => {
    const { sessions, state, pass } = scene(t);
    sessions.sessionCount = 0;
    state.drain();
    assert.equal(state.stage, 'draining');
    pass(180_000);
    assert.equal(state.stage, 'drained');
    sessions.sessionCount = 1;
    assert.equal(state.stage, 'draining');
  });

  it('A drain ends busy sessions at its time limit, within the time that SIGTERM would give them', (t) => {
    const { sessions, state, pass } = scene(t);
    state.drain();
    pass(24 * 3_600_000 - 1);
    assert.equal(sessions.endedWithinMs, undefined);
    pass(1);
    assert.equal(sessions.endedWithinMs, 110_000);
    assert.equal(state.stage, 'drained');
  });

  it('A drain can be cancelled until it has ended a session', (t) => {
    const { sessions, events, state, pass } = scene(t);
    state.drain();
    pass(200_000);
    assert.equal(state.serve(), true);
    assert.equal(state.stage, 'serving');
    sessions.idle = 3;
    pass(3_600_000);
    assert.equal(sessions.sessionCount, 3);
    state.drain();
    pass(180_000);
    assert.equal(sessions.sessionCount, 0);
    assert.equal(state.isReversible, false);
    assert.equal(state.serve(), false);
    assert.equal(state.stage, 'drained');
    assert.deepEqual(events, ['drain-requested', 'drain-cancelled', 'drain-requested']);
  });

  it('A drain starts once, however often it is requested', (t) => {
    const { events, state, pass } = scene(t);
    state.drain();
    pass(100_000);
    state.drain();
    pass(80_000);
    assert.deepEqual(events, ['drain-requested']);
  });
});
