/**
 * Real clients that make many data connections in one session, where resumption is optional: those that resume, those that do not,
 * and those that resume for as long as they have tickets. None of them may be taken for another client.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { alice, startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { missing, run, type Client, type Deed, type Invocation, type Server } from './client.ts';
import { clients, lftpOpening } from './clients.ts';

const transfers = 6;
const files = Array.from({ length: transfers }, (_unused, index) => `file-${index}`);

/** The calls of one client with which it makes all transfers in one session. */
type Session = (client: Client, server: Server, folder: string) => Invocation;

const put = (folder: string): Deed => ({ deed: 'put', local: join(folder, 'file-0'), remote: '/file-0' });

function repeated(variable: string, ...options: string[]): Session {
  return (client, server, folder) => {
    const invocation = client.invocation(server, put(folder));
    assert.ok(invocation);
    return {
      ...invocation,
      arguments: [...options, ...invocation.arguments],
      environment: { ...invocation.environment, [variable]: String(transfers) },
    };
  };
}

function curl(...options: string[]): Session {
  return (_client, { host, port, username, password, caFile }, folder) => ({
    program: 'curl',
    arguments: [
      ...['--silent', '--show-error', '--disable', '--user', `${username}:${password}`],
      ...['--ssl-reqd', '--cacert', caFile, ...options],
      ...[
        '--upload-file',
        `{${files.map((file) => join(folder, file)).join(',')}}`,
        `ftp://${host}:${port}/`,
      ],
    ],
  });
}

const sessions: readonly (readonly [what: string, client: string, session: Session])[] = [
  ['curl with TLS 1.3', 'curl', curl()],
  ['curl with TLS 1.2', 'curl', curl('--tls-max', '1.2')],
  [
    'lftp',
    'lftp',
    (_client, server, folder) => ({
      program: 'lftp',
      arguments: [
        '--norc',
        '-c',
        lftpOpening(server) + files.map((file) => `put ${join(folder, file)} -o /${file}; ls /; `).join(''),
      ],
    }),
  ],
  ['ftplib', 'ftplib', repeated('FTPLIB_TRANSFERS')],
  ['ftplib that resumes', 'ftplib with session reuse', repeated('FTPLIB_TRANSFERS')],
  ['commons-net with TLS 1.3', 'commons-net', repeated('COMMONS_NET_TRANSFERS')],
  [
    'commons-net with TLS 1.2',
    'commons-net',
    repeated('COMMONS_NET_TRANSFERS', '-Djdk.tls.client.protocols=TLSv1.2'),
  ],
  ['commons-net that resumes', 'commons-net with session reuse', repeated('COMMONS_NET_TRANSFERS')],
];

describe('real clients with many data connections where resumption is optional', () => {
  let gateway: TestGateway;
  let folder: string;

  before(async () => {
    gateway = await startTestGateway({ tls: 'required', stallTimeoutMs: 60_000 });
    folder = await mkdtemp(join(tmpdir(), 'data-resumption-'));
    for (const file of files) await writeFile(join(folder, file), 'content');
  });
  after(async () => {
    await gateway.close();
    await rm(folder, { recursive: true, force: true });
  });

  for (const [what, name, session] of sessions) {
    it(`${what} makes ${transfers} transfers in one session`, async (test) => {
      const client = clients.find((known) => known.name === name);
      assert.ok(client);
      const reason = await missing(client);
      if (reason !== undefined) {
        test.skip(reason);
        return;
      }
      const earlier = gateway.events.length;
      const { name: username, password } = alice;
      const { controlPort: port, caFile } = gateway;
      const server = { host: 'localhost', port, security: 'explicit', username, password, caFile } as const;
      await run(session(client, server, folder));
      const uploads = gateway.events
        .slice(earlier)
        .filter((event) => event.event === 'transfer' && event.verb === 'STOR');
      assert.equal(uploads.length, transfers);
      for (const upload of uploads)
        assert.partialDeepStrictEqual(upload, { outcome: 'completed', tls: true });
      const logins = gateway.events.slice(earlier).filter(({ event }) => event === 'session-opened');
      assert.equal(logins.length, 1, 'all in one session');
    });
  }
});
