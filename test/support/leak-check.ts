/**
 * What a test must give back: sockets, listeners, timers and file handles of this process. Take one before anything is
 * started, and ask it after everything was closed.
 */
import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Kinds of resources that a gateway that was not closed would leave open; names as `process.getActiveResourcesInfo` gives them. */
const watched = [
  'TCPServerWrap',
  'TCPSocketWrap',
  'TLSWrap',
  'Timeout',
  'FSReqPromise',
  'FSEvent',
  'StatWatcher',
];

// A closed handle is gone some turns of the event loop after its 'close' event, and nothing tells when.
const turns = 2_000;

export class LeakCheck {
  readonly #before = countResources();

  /** Fails with the kinds and numbers of what is open now and was not before. */
  async assertNothingLeft(): Promise<void> {
    let left = this.#left();
    for (let turn = 0; turn < turns && Object.keys(left).length > 0; turn++) {
      await nextTurn();
      left = this.#left();
    }
    assert.deepEqual(left, {}, 'resources left open');
  }

  #left(): Record<string, number> {
    const now = countResources();
    const left: Record<string, number> = {};
    for (const kind of watched) {
      const surplus = (now.get(kind) ?? 0) - (this.#before.get(kind) ?? 0);
      if (surplus > 0) left[kind] = surplus;
    }
    return left;
  }
}

function countResources(): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}
