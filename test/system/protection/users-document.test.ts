/** How long a new version of a large users document keeps the event loop from the sessions. */
import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import type { GatewayEvent } from '../../../src/observability/event.ts';
import { openUserStore, type UserStore } from '../../../src/users/user-store.ts';
import { maxDocumentBytes } from '../../../src/util/watched-document.ts';
import { report } from './load.ts';
import { TurnMeter } from './turn-meter.ts';

const users = 10_000;
const maxTurnMs = 50;

/** A document just within the limit, of as many users as the test promises. */
function document(permissions: string): string {
  const entries = Array.from({ length: users }, (_unused, index) => ({
    name: `partner-${index}`,
    password: `scrypt:N=16384,r=8,p=5:${'A'.repeat(22)}:${String(index).padStart(43, 'B')}`,
    home: {
      bucket: 'homes-of-all-partners',
      prefix: `partners/partner-${index}/`,
      storage: { storageClass: 'STANDARD_IA', tags: { partner: `partner-${index}` } },
    },
    permissions,
  }));
  const text = JSON.stringify({ users: entries });
  const padded = text + ' '.repeat(maxDocumentBytes - text.length);
  assert.equal(Buffer.byteLength(padded), maxDocumentBytes);
  return padded;
}

describe('a users document of 10,000 users', () => {
  let folder: string;
  let path: string;
  let store: UserStore;
  let meter: TurnMeter;
  let next: (event: GatewayEvent) => void = () => undefined;

  /** Writes a version and resolves to the event of its load, or of its refusal. */
  const reload = async (test: TestContext, text: string): Promise<GatewayEvent> => {
    await writeFile(`${path}.new`, text);
    meter.reset();
    const loaded = new Promise<GatewayEvent>((resolve) => (next = resolve));
    await rename(`${path}.new`, path);
    const event = await loaded;
    const turns = meter.read();
    test.diagnostic(report(turns));
    assert.ok(turns.longestTurnMs < maxTurnMs, `a turn of ${turns.longestTurnMs} ms`);
    return event;
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'users-document-'));
    path = join(folder, 'users.json');
    await writeFile(path, document('read-only'));
    store = await openUserStore({
      source: { kind: 'file', path },
      defaultHome: { bucket: undefined, prefix: '' },
      refreshMs: 100,
      observe: (event) => next(event),
    });
    meter = new TurnMeter();
  });
  after(async () => {
    meter.stop();
    store.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('A users document of 10,000 users and 4 MiB, all of them changed, is reloaded in turns of less than 50 ms', async (test) => {
    assert.equal(store.find('partner-0')?.user.permissions, 'read-only');
    const event = await reload(test, document('read-write'));
    assert.deepEqual(event, { event: 'users-loaded', users, problems: [] });
    assert.equal(store.find(`partner-${users - 1}`)?.user.permissions, 'read-write');
  });

  it('A users document of 10,000 invalid users is reloaded in turns of less than 50 ms', async (test) => {
    const event = await reload(test, document('read'));
    assert.partialDeepStrictEqual(event, { event: 'users-loaded', users: 0 });
  });

  it('A users document of 10,000 users that is not JSON is refused in turns of less than 50 ms', async (test) => {
    await reload(test, document('read-write'));
    const event = await reload(test, document('read-write').trimEnd().slice(0, -1));
    assert.partialDeepStrictEqual(event, { event: 'config-reload-failed', config: 'users' });
    assert.match(
      (event as { reason: string }).reason,
      /it is not JSON: the mistake is in line 1, column \d{7}$/,
    );
    assert.equal(store.find('partner-0')?.user.permissions, 'read-write', 'the last valid version stays');
  });

  it('A users document of more than 4 MiB is refused', async (test) => {
    const event = await reload(test, `${document('read-only')} `);
    assert.equal(
      (event as { reason: string }).reason,
      `USERS: the file ${path} cannot be used: it is larger than 4 MiB`,
    );
    assert.equal(store.find('partner-0')?.user.permissions, 'read-write', 'the last valid version stays');
  });
});
