/** The conclusions from a command that may have been sent before or after the end of the data. */
import assert from 'node:assert/strict';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { beforeEach, describe, it } from 'node:test';
import { UploadEvidence, uploadGraceMs } from '../../../src/ftp/data/upload-evidence.ts';
import { gatewayDefaults } from '../../../src/ftp/gateway-settings.ts';

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

  it('A command that is read after the end of the data proves that the upload is complete', () => {
    evidence.dataEnded();
    assert.equal(evidence.isConfirmed, false);
    evidence.commandArrived(false);
    assert.equal(evidence.isConfirmed, true);
    assert.equal(evidence.controlConnectionEnded(), true);
  });

  it('A command that proves the upload ends the grace time immediately', async () => {
    evidence.dataEnded();
    const settled = evidence.confirmedInTime(gatewayDefaults.uploadGraceMs);
    evidence.commandArrived(false);
    const first = await Promise.race([settled.then(() => 'the grace time'), nextTurn('a turn')]);
    assert.equal(first, 'the grace time');
  });

  it('A QUIT that is read one turn before the end of the data proves the upload, as it may have arrived after it', async () => {
    evidence.commandArrived(false);
    evidence.commandArrived(true);
    await nextTurn();
    evidence.dataEnded();
    assert.equal(evidence.isConfirmed, true);
  });

  it('A command that was read several turns before the end of the data proves nothing', async () => {
    evidence.commandArrived(true);
    for (let turn = 0; turn < 3; turn++) await nextTurn();
    evidence.dataEnded();
    assert.equal(evidence.isConfirmed, false);
    assert.equal(evidence.controlConnectionEnded(), false);
  });

  it('A command that was sent before the 150, or behind one in the same turn, proves nothing', () => {
    const early = new UploadEvidence(() => undefined);
    early.commandArrived(true);
    early.announced();
    early.commandArrived(true);
    assert.equal(early.controlConnectionEnded(), false);
    early.dataEnded();
    assert.equal(early.isConfirmed, false);
  });

  it('A recent command proves nothing when the client has pipelined one before', async () => {
    evidence.commandArrived(false);
    for (let turn = 0; turn < 3; turn++) await nextTurn();
    evidence.commandArrived(true);
    assert.equal(evidence.controlConnectionEnded(), false);
    evidence.dataEnded();
    assert.equal(evidence.isConfirmed, false);
  });

  it('A QUIT of a client that leaves proves the upload when the rest of its data follows without a pause', async () => {
    evidence.commandArrived(true);
    assert.equal(evidence.controlConnectionEnded(), true);
    // Data in every turn of the event loop, for longer than the silence that would end the upload: on a busy machine a turn may
    // last longer than that, too.
    const untilMs = performance.now() + 45;
    for (let bytes = 200; performance.now() < untilMs; bytes += 100) {
      await nextTurn();
      evidence.received(bytes);
    }
    evidence.dataEnded();
    assert.deepEqual([evidence.isConfirmed, givenUp], [true, 0]);
  });

  it('A QUIT proves nothing when the client sends nothing for a while as its data is read', async () => {
    evidence.commandArrived(true);
    assert.equal(evidence.controlConnectionEnded(), true);
    evidence.readingPaused();
    await delay(50);
    assert.equal(givenUp, 0);
    evidence.received(100);
    const timesGivenUp = () => givenUp;
    while (timesGivenUp() === 0) await nextTurn();
    assert.equal(givenUp, 1);
  });

  it('A QUIT proves nothing when more data follows than can have been sent before it', () => {
    evidence.commandArrived(true);
    assert.equal(evidence.controlConnectionEnded(), true);
    evidence.received(16 * mebibyte);
    assert.equal(givenUp, 0);
    evidence.received(17 * mebibyte);
    assert.equal(givenUp, 1);
  });

  it('A command other than QUIT that is read one turn before the end of the data proves nothing', () => {
    evidence.commandArrived(false);
    assert.equal(evidence.controlConnectionEnded(), false);
    evidence.dataEnded();
    assert.equal(evidence.isConfirmed, false);
  });

  it('The end of the control connection without a command proves nothing', () => {
    assert.equal(evidence.controlConnectionEnded(), false);
    evidence.dataEnded();
    assert.equal(evidence.controlConnectionEnded(), false);
  });
});

describe('the grace time of an upload', () => {
  const kib = 1024;
  const cases = [
    { receivedBytes: 8 * kib, durationMs: 0, silenceMs: 1, graceMs: 0, what: 'one write that ends promptly' },
    { receivedBytes: 0, durationMs: 0, silenceMs: 1, graceMs: 0, what: 'an empty file that ends promptly' },
    {
      receivedBytes: 8 * kib,
      durationMs: 0,
      silenceMs: 2,
      graceMs: 100,
      what: 'one write and 2 ms of silence',
    },
    {
      receivedBytes: 9 * kib,
      durationMs: 0,
      silenceMs: 0.1,
      graceMs: 20,
      what: 'a burst that ends promptly',
    },
    { receivedBytes: 9 * kib, durationMs: 0, silenceMs: 1, graceMs: 50, what: 'a burst and 1 ms of silence' },
    {
      receivedBytes: 9 * kib,
      durationMs: 0,
      silenceMs: 5,
      graceMs: 250,
      what: 'a burst and 5 ms of silence',
    },
    { receivedBytes: 9 * kib, durationMs: 500, silenceMs: 1, graceMs: 100, what: 'half a second' },
    { receivedBytes: 9 * kib, durationMs: 60_000, silenceMs: 0, graceMs: 250, what: 'a minute' },
  ];
  for (const { what, graceMs, ...end } of cases) {
    it(`An upload waits ${graceMs} of at most 250 ms after ${what}`, () => {
      assert.equal(uploadGraceMs(end, 250), graceMs);
    });
  }

  it('No upload waits longer than the configured grace time', () => {
    assert.equal(uploadGraceMs({ receivedBytes: 9 * kib, durationMs: 500, silenceMs: 1 }, 5), 5);
    assert.equal(uploadGraceMs({ receivedBytes: 9 * kib, durationMs: 500, silenceMs: 50 }, 0), 0);
  });
});
