/** The conclusions from a command that may have been sent before or after the end of the data. */
import assert from 'node:assert/strict';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { beforeEach, describe, it } from 'node:test';
import { UploadEvidence } from '../../../src/ftp/data/upload-evidence.ts';

const mebibyte = 1024 * 1024;

describe('the evidence of an upload', () => {
  let givenUp: number;
  let evidence: UploadEvidence;

  beforeEach(() => {
    givenUp = 0;
    evidence = new UploadEvidence(() => {
      givenUp += 1;
      evidence.close();
    });
    evidence.announced();
    evidence.received(100);
  });

  it('is a command that is read behind the end of the data', () => {
    evidence.dataEnded();
    assert.equal(evidence.isConfirmed, false);
    evidence.commandArrived(false);
    assert.equal(evidence.isConfirmed, true);
    assert.equal(evidence.controlConnectionEnded(), true);
  });

  it('ends the grace time at once', async () => {
    evidence.dataEnded();
    const settled = evidence.confirmedInTime();
    evidence.commandArrived(false);
    const first = await Promise.race([settled.then(() => 'the grace time'), nextTurn('a turn')]);
    assert.equal(first, 'the grace time');
  });

  it('is a QUIT read one turn before the end of the data, which may have arrived first', async () => {
    evidence.commandArrived(false);
    evidence.commandArrived(true);
    await nextTurn();
    evidence.dataEnded();
    assert.equal(evidence.isConfirmed, true);
  });

  it('is no command that was read some turns before the end of the data', async () => {
    evidence.commandArrived(true);
    for (let turn = 0; turn < 3; turn++) await nextTurn();
    evidence.dataEnded();
    assert.equal(evidence.isConfirmed, false);
    assert.equal(evidence.controlConnectionEnded(), false);
  });

  it('is no command that was sent before the 150, and none of the same turn behind it', () => {
    const early = new UploadEvidence(() => undefined);
    early.commandArrived(true);
    early.announced();
    early.commandArrived(true);
    assert.equal(early.controlConnectionEnded(), false);
    early.dataEnded();
    assert.equal(early.isConfirmed, false);
  });

  it('is no recent command of a client that has pipelined one before', async () => {
    evidence.commandArrived(false);
    for (let turn = 0; turn < 3; turn++) await nextTurn();
    evidence.commandArrived(true);
    assert.equal(evidence.controlConnectionEnded(), false);
    evidence.dataEnded();
    assert.equal(evidence.isConfirmed, false);
  });

  it('is a QUIT with which the client leaves, when the rest of its data follows without a silence', async () => {
    evidence.commandArrived(true);
    assert.equal(evidence.controlConnectionEnded(), true);
    for (let bytes = 200; bytes < 1_000; bytes += 100) {
      await delay(8);
      evidence.received(bytes);
    }
    evidence.dataEnded();
    assert.deepEqual([evidence.isConfirmed, givenUp], [true, 0]);
  });

  it('is given up when a client that has left with QUIT sends nothing while it is read', async () => {
    evidence.commandArrived(true);
    assert.equal(evidence.controlConnectionEnded(), true);
    evidence.readingPaused();
    await delay(60);
    assert.equal(givenUp, 0);
    evidence.received(100);
    await delay(60);
    assert.equal(givenUp, 1);
  });

  it('is given up when more data follows a QUIT than can have been sent before it', () => {
    evidence.commandArrived(true);
    assert.equal(evidence.controlConnectionEnded(), true);
    evidence.received(16 * mebibyte);
    assert.equal(givenUp, 0);
    evidence.received(17 * mebibyte);
    assert.equal(givenUp, 1);
  });

  it('is no other command that is read before the end of the data, be it one turn', () => {
    evidence.commandArrived(false);
    assert.equal(evidence.controlConnectionEnded(), false);
    evidence.dataEnded();
    assert.equal(evidence.isConfirmed, false);
  });

  it('is not there when the control connection ends without a command', () => {
    assert.equal(evidence.controlConnectionEnded(), false);
    evidence.dataEnded();
    assert.equal(evidence.controlConnectionEnded(), false);
  });
});
