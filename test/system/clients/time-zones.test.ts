/**
 * Times in listings are UTC. Clients in other time zones read them right: by MLSD and MDTM as they are, by LIST where they are set
 * to UTC (docs/clients.md, "Times"); also when the year has just changed on one side of the world only.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { formatListLine } from '../../../src/ftp/listing/format.ts';
import type { User } from '../../../src/users/user.ts';
import { missing, run, type Server } from './client.ts';
import { clients, lftpOpening } from './clients.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';

/** Behind UTC, ahead of it by no whole hour, and by more than half a day. */
const timeZones = ['America/Los_Angeles', 'Asia/Kolkata', 'Pacific/Kiritimati', 'UTC'] as const;
const offsetHours = { 'America/Los_Angeles': -8, 'Asia/Kolkata': 5.5, 'Pacific/Kiritimati': 14, UTC: 0 };

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const jar = '/usr/share/java/commons-net.jar';
const user: User = { name: 'alice', home: { bucket: 'b', prefix: '' }, permissions: 'read-write' };

describe('A client in another time zone', () => {
  let gateway: TestGateway;
  let server: Server;
  let folder: string;
  /** Ages from just now to years, to the minute, by name. */
  let times: ReadonlyMap<string, number>;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'time-zones-'));
    gateway = await startTestGateway();
    const nowMs = Math.floor(Date.now() / minuteMs) * minuteMs;
    times = new Map([
      ['now', nowMs],
      ['an-hour', nowMs - hourMs],
      ['half-a-day', nowMs - 13 * hourMs],
      ['a-month', nowMs - 30 * dayMs],
      ['years', Date.parse('2020-02-29T00:00:00Z')],
    ]);
    for (const [name, time] of times) gateway.filesystem.putFile(`/${name}`, name, new Date(time));
    const { controlPort: port, caFile } = gateway;
    server = { host: '127.0.0.1', port, security: 'plain', username: 'alice', password: 'secret', caFile };
  });
  after(async () => {
    await gateway.close();
    await rm(folder, { recursive: true });
  });

  /** Runs the work for each time zone; it resolves to times in milliseconds by name, which must be those of the gateway. */
  async function assertReadRight(read: (environment: { TZ: string }) => Promise<Map<string, number>>) {
    for (const TZ of timeZones) assert.deepEqual(await read({ TZ }), times, TZ);
  }

  for (const [listing, setting] of [
    ['MLSD', 'set ftp:use-mlsd yes; '],
    ['LIST', 'set ftp:use-mlsd no; '],
  ] as const) {
    it(`lftp mirror in another time zone gives its copies the right times by ${listing}`, async (t) => {
      if (await skipMissing(t, 'lftp')) return;
      await assertReadRight(async (environment) => {
        const target = join(folder, `lftp-${listing}-${environment.TZ.replace('/', '-')}`);
        const command = `${lftpOpening(server)}${setting}mirror / "${target}"`;
        await run({ program: 'lftp', arguments: ['--norc', '-c', command], environment });
        return await timesOfFiles(target);
      });
    });
  }

  for (const [listing, disableMlsd] of [
    ['MLSD', 'false'],
    ['LIST', 'true'],
  ] as const) {
    it(`rclone in another time zone lists the right times by ${listing}`, async (t) => {
      if (await skipMissing(t, 'rclone')) return;
      const rclone = clients.find(({ name }) => name === 'rclone')!;
      const invocation = rclone.invocation(server, { deed: 'list', directory: '/' })!;
      await assertReadRight(async ({ TZ }) => {
        const output = await run({
          ...invocation,
          arguments: [...invocation.arguments.slice(0, -2), 'lsjson', ':ftp:/'],
          environment: { ...invocation.environment, TZ, RCLONE_FTP_DISABLE_MLSD: disableMlsd },
        });
        const entries = JSON.parse(output) as { Name: string; ModTime: string }[];
        return inOrder(entries.map(({ Name, ModTime }) => [Name, Date.parse(ModTime)]));
      });
    });
  }

  it('curl in another time zone gives its copies the right times by MDTM', async (t) => {
    if (await skipMissing(t, 'curl')) return;
    await assertReadRight(async (environment) => {
      const target = await mkdtemp(join(folder, 'curl-'));
      for (const name of times.keys()) {
        const url = `ftp://${server.username}:${server.password}@${server.host}:${server.port}/${name}`;
        const options = ['--silent', '--show-error', '--disable', '--remote-time', '--output'];
        await run({ program: 'curl', arguments: [...options, join(target, name), url], environment });
      }
      return await timesOfFiles(target);
    });
  });

  it('wget in another time zone gives its copies the right times with TZ=UTC, and is wrong by the offset of any other zone', async (t) => {
    if (await skipMissing(t, 'wget')) return;
    for (const TZ of ['UTC', 'Asia/Kolkata'] as const) {
      const target = await mkdtemp(join(folder, 'wget-'));
      const account = `ftp://${server.username}:${server.password}@${server.host}:${server.port}`;
      const urls = [...times.keys()].map((name) => `${account}/${name}`);
      const options = ['--quiet', '--no-config', '--tries=1', '--timestamping', '--directory-prefix', target];
      await run({ program: 'wget', arguments: [...options, ...urls], environment: { TZ } });
      const expected = [...times].map(([name, time]) => [name, time - offsetHours[TZ] * hourMs] as const);
      assert.deepEqual(await timesOfFiles(target), new Map(expected), TZ);
    }
  });

  describe('with Apache Commons Net', () => {
    let classes: string;

    before(async () => {
      classes = await mkdtemp(join(tmpdir(), 'commons-net-times-'));
    });
    after(() => rm(classes, { recursive: true }));

    const compiled = async (t: TestContext): Promise<boolean> => {
      const source = fileURLToPath(new URL('CommonsNetTimes.java', import.meta.url));
      const probe = { program: 'javac', arguments: ['-cp', jar, '-d', classes, source] };
      const reason = await missing({ name: 'commons-net', probe });
      if (reason !== undefined) t.skip(reason);
      return reason === undefined;
    };
    const java = (TZ: string, deed: readonly string[], input = ''): Promise<string> =>
      run({
        program: 'java',
        arguments: [`-Duser.timezone=${TZ}`, '-cp', `${jar}:${classes}`, 'CommonsNetTimes', ...deed],
        input,
      });
    const list = async (
      TZ: string,
      serverTimeZone: string,
      listing: string,
    ): Promise<Map<string, number>> => {
      const { host, port, username, password } = server;
      const account = [host, String(port), username, password];
      const lines = (await java(TZ, ['list', ...account, serverTimeZone, listing])).trim().split('\n');
      return inOrder(lines.map((line) => [line.split('\t')[0] ?? '', Number(line.split('\t')[1])]));
    };

    it('Apache Commons Net reads the right times by MLSD as it is, and by LIST with serverTimeZoneId=UTC', async (t) => {
      if (!(await compiled(t))) return;
      await assertReadRight(({ TZ }) => list(TZ, 'default', 'MLSD'));
      await assertReadRight(({ TZ }) => list(TZ, 'UTC', 'LIST'));
    });

    it('Apache Commons Net is wrong by the offset of its zone, and by no more, without serverTimeZoneId', async (t) => {
      if (!(await compiled(t))) return;
      const found = await list('Asia/Kolkata', 'default', 'LIST');
      for (const [name, time] of times) assert.equal(found.get(name), time - 5.5 * hourMs, name);
    });

    it('Apache Commons Net reads the right times around the turn of the year with serverTimeZoneId=UTC, and is off by its zone without', async (t) => {
      if (!(await compiled(t))) return;
      const cases = aroundTheTurnOfTheYear();
      const input = cases.map(({ nowMs, shown }) => `${nowMs}\t${shown}\n`).join('');
      for (const TZ of timeZones) {
        const utc = (await java(TZ, ['parse', 'UTC'], input)).trim().split('\n').map(Number);
        assert.deepEqual(
          utc.map((time, index) => ({ ...cases[index], time })),
          cases.map((each) => ({ ...each, time: each.shownMs })),
          TZ,
        );
        const local = (await java(TZ, ['parse', 'default'], input)).trim().split('\n').map(Number);
        for (const [index, { shownMs, shown, nowMs }] of cases.entries()) {
          // Of those, no zone has summer time.
          if (nowMs - shownMs > dayMs) continue;
          const what = `${shown} at ${new Date(nowMs).toISOString()} in ${TZ}`;
          assert.equal(local[index], shownMs - offsetHours[TZ] * hourMs, what);
        }
      }
    });
  });
});

/** What LIST shows of files of many ages, at each hour of the two days around a New Year, the gateway's clock set to that. */
function aroundTheTurnOfTheYear() {
  const cases: { nowMs: number; shown: string; shownMs: number }[] = [];
  for (
    let nowMs = Date.parse('2026-12-31T00:00:00Z');
    nowMs <= Date.parse('2027-01-02T00:00:00Z');
    nowMs += hourMs
  ) {
    for (const ageMs of [0, 1, 59, 60, 61, 12 * 60, 24 * 60, 60 * 24 * 60, 170 * 24 * 60].map(
      (age) => age * minuteMs,
    )) {
      const modifiedAt = new Date(nowMs - ageMs);
      const line = formatListLine({ name: 'f', type: 'file', sizeBytes: 0, modifiedAt }, user, nowMs);
      const [, shown = ''] = /\b([A-Z][a-z]{2} \d\d (?:\d\d:\d\d| \d{4})) f$/.exec(line) ?? [];
      cases.push({ nowMs, shown, shownMs: modifiedAt.getTime() });
    }
  }
  return cases;
}

async function skipMissing(t: TestContext, name: string): Promise<boolean> {
  const reason = await missing(clients.find((client) => client.name === name)!);
  if (reason !== undefined) t.skip(reason);
  return reason !== undefined;
}

function inOrder(entries: readonly (readonly [name: string, timeMs: number])[]): Map<string, number> {
  const order = ['now', 'an-hour', 'half-a-day', 'a-month', 'years'];
  return new Map([...entries].sort(([a], [b]) => order.indexOf(a) - order.indexOf(b)));
}

async function timesOfFiles(directory: string): Promise<Map<string, number>> {
  const names = ['now', 'an-hour', 'half-a-day', 'a-month', 'years'];
  const entries = names.map(async (name) => [name, (await stat(join(directory, name))).mtimeMs] as const);
  return new Map(await Promise.all(entries));
}
