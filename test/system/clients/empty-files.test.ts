/**
 * Real clients that move nothing, or a single byte, over TLS: a marker file is the commonest sign of a hand-over, and its
 * end comes together with the handshake. EMPTY_FILE_RUNS says how often each of them does it.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { missing, run, type Client, type Deed, type Invocation, type Security } from './client.ts';
import { clients } from './clients.ts';
import { alice, startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { LeakCheck } from '../../support/leak-check.ts';

const runs = Number(process.env['EMPTY_FILE_RUNS'] ?? 2);
const timeoutMs = 60_000 + runs * 2_000;

/** Clients whose data connections resume the control connection's session; the gateway demands it of them here. */
const reusing = ['ftplib with session reuse', 'commons-net with session reuse'];
const names = [
  'curl',
  'lftp',
  'ftplib',
  'Net::FTP',
  'commons-net',
  'Go jlaffaye/ftp',
  ...reusing.slice(0, 2),
];

/** Options that hold a client to TLS 1.2, where it has them. */
const tls12: Readonly<Record<string, (invocation: Invocation) => Invocation>> = {
  curl: (invocation) => ({ ...invocation, arguments: ['--tls-max', '1.2', ...invocation.arguments] }),
  'Go jlaffaye/ftp': (invocation) => ({ ...invocation, environment: { GO_CLIENT_TLS: '1.2' } }),
  'commons-net': (invocation) => ({
    ...invocation,
    arguments: ['-Djdk.tls.client.protocols=TLSv1.2', ...invocation.arguments],
  }),
};

describe('real clients that move nothing', () => {
  const leaks = new LeakCheck();
  let optional: TestGateway;
  let required: TestGateway;
  let folder: string;

  before(async () => {
    const options = { tls: 'required', implicitTls: true, stallTimeoutMs: 300_000 } as const;
    optional = await startTestGateway(options);
    required = await startTestGateway({ ...options, tlsDataResumption: 'required' });
    for (const { filesystem } of [optional, required]) {
      filesystem.putFile('/nothing', '');
      filesystem.putDirectory('/empty');
    }
    folder = await mkdtemp(join(tmpdir(), 'empty-files-'));
    await writeFile(join(folder, '0'), '');
    await writeFile(join(folder, '1'), 'x');
  });
  after(async () => {
    await optional.close();
    await required.close();
    await rm(folder, { recursive: true });
    await leaks.assertNothingLeft();
  });

  for (const client of clients.filter(({ name }) => names.includes(name))) {
    for (const version of client.name in tls12 ? ['its highest TLS version', 'TLS 1.2'] : ['its own TLS']) {
      for (const security of ['explicit', 'implicit'] as const) {
        it(`${client.name} uploads, downloads and lists empty files ${runs} times over ${security} TLS, with ${version}`, async (t) => {
          const reason = await missing(client);
          if (reason !== undefined) {
            t.skip(reason);
            return;
          }
          const limit = version === 'TLS 1.2' ? tls12[client.name] : undefined;
          await moveNothing(client, security, limit ?? ((invocation) => invocation));
        });
      }
    }
  }

  async function moveNothing(
    client: Client,
    security: Security,
    limit: (invocation: Invocation) => Invocation,
  ): Promise<void> {
    const gateway = reusing.includes(client.name) ? required : optional;
    const server = {
      host: '127.0.0.1',
      port: security === 'implicit' ? gateway.implicitTlsPort! : gateway.controlPort,
      security,
      username: alice.name,
      password: alice.password,
      caFile: gateway.caFile,
    };
    const runsAtOnce = client.timesVariable === undefined ? 1 : runs;
    const perform = async (deed: Deed): Promise<string> => {
      const invocation = client.invocation(server, deed);
      assert.ok(invocation, `${client.name} can ${deed.deed}`);
      const earlier = gateway.events.length;
      const { environment, ...program } = limit(invocation);
      const times = client.timesVariable && { [client.timesVariable]: String(runsAtOnce) };
      const output = await run({ ...program, environment: { ...environment, ...times } }, timeoutMs);
      const transfers = gateway.events
        .slice(earlier)
        .flatMap((event) => (event.event === 'transfer' ? [event] : []));
      assert.ok(transfers.length >= runsAtOnce, `${transfers.length} transfers`);
      for (const { outcome } of transfers) assert.equal(outcome, 'completed', JSON.stringify(transfers));
      return output;
    };
    const local = join(folder, 'got');
    for (let index = 0; index < runs; index += runsAtOnce) {
      for (const content of ['', 'x']) {
        gateway.filesystem.putFile('/ready.done', 'old');
        const put = {
          deed: 'put',
          local: join(folder, String(content.length)),
          remote: '/ready.done',
        } as const;
        await perform(put);
        assert.equal(gateway.filesystem.readFile('/ready.done')?.toString(), content);
      }
      await rm(local, { force: true });
      await perform({ deed: 'get', remote: '/nothing', local });
      assert.equal((await readFile(local)).length, 0);
      assert.equal((await perform({ deed: 'list', directory: '/empty' })).trim(), '');
    }
  }
});
