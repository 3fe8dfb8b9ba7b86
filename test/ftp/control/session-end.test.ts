import assert from 'node:assert/strict';
import { it } from 'node:test';
import { abortReason } from '../../../src/ftp/control/session-end.ts';
import { causeOf } from '../../../src/observability/cause.ts';

it('Sessions that end for the same cause are aborted with one shared reason, which no session has to collect a stack for', () => {
  assert.equal(abortReason('QUIT'), abortReason('QUIT'));
  assert.notEqual(abortReason('QUIT'), abortReason('IDLE-TIMEOUT'));
});

it('The reason with which the work of a session is aborted carries the cause of its end', () => {
  assert.equal(causeOf(abortReason('DRAIN')), 'DRAIN');
  assert.equal(causeOf(abortReason('LIMIT-USER')), 'LIMIT-USER');
});
