/** A gateway that may have few file descriptors: it says so at start, refuses in words at the limit, and goes on. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { PasswordHash } from '../../../src/users/password.ts';
import { getObject } from '../../s3/transfer.ts';
import { createCertificate } from '../../support/certificate.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { endGatewayProcesses, GatewayProcess } from '../../support/gateway-process.ts';
import { type S3Server, startS3Server } from '../../support/s3-server.ts';

const isLinux = process.platform === 'linux';

describe('file descriptors', { skip: !isLinux && 'prlimit is a program of Linux' }, () => {
  let s3: S3Server;
  let folder: string;

  before(async () => {
    s3 = await startS3Server();
    folder = await mkdtemp(join(tmpdir(), 'ftp-gateway-descriptors-'));
    const password = await PasswordHash.create('secret');
    await writeFile(
      join(folder, 'users.json'),
      JSON.stringify({ users: [{ name: 'alice', password, permissions: 'read-write' }] }),
    );
    const { chain, key } = await createCertificate('localhost');
    await writeFile(join(folder, 'cert.pem'), chain);
    await writeFile(join(folder, 'key.pem'), key);
  });
  afterEach(() => endGatewayProcesses());
  after(async () => {
    await s3.close();
    await rm(folder, { recursive: true });
  });

  const startGateway = (maxDescriptors: number, environment: Readonly<Record<string, string>> = {}) =>
    new GatewayProcess(
      {
        USERS: `file:${join(folder, 'users.json')}`,
        RELOAD_INTERVAL_SECONDS: '1',
        TLS: 'optional',
        TLS_CERTIFICATE: `file:${join(folder, 'cert.pem')},${join(folder, 'key.pem')}`,
        S3_ENDPOINT: s3.endpoint,
        S3_FORCE_PATH_STYLE: 'true',
        S3_BUCKET: s3.bucket,
        DRAIN_SECONDS: '0',
        ...environment,
      },
      { maxDescriptors },
    );

  it('The limit of file descriptors is compared with MAX_SESSIONS at start, and a warning gives the figures when it is too low', async () => {
    const gateway = startGateway(400, { MAX_SESSIONS: '100' });
    const warning = await gateway.event('descriptors-insufficient');
    const { level, limit, needed, descriptorsPerSession, maxSessions, sessionsWithinLimit } = warning;
    assert.deepEqual(
      { level, limit, needed, descriptorsPerSession, maxSessions, sessionsWithinLimit },
      {
        level: 'warn',
        limit: 400,
        needed: 768,
        descriptorsPerSession: 7,
        maxSessions: 100,
        sessionsWithinLimit: 47,
      },
    );
  });

  it('No warning is logged when the file descriptors suffice for MAX_SESSIONS', async () => {
    const gateway = startGateway(800, { MAX_SESSIONS: '100' });
    await gateway.event('gateway-started');
    await gateway.stop();
    assert.ok(!gateway.lines.some((line) => line.includes('descriptors-insufficient')));
  });

  it('File descriptors are reserved for transfers and operations when new connections are answered 421', async () => {
    const gateway = startGateway(110);
    const { controlPort: port, operationsPort } = await gateway.event('gateway-started');
    const metrics = async (): Promise<string> => {
      const response = await fetch(`http://127.0.0.1:${operationsPort}/metrics`, {
        headers: { connection: 'close' },
      });
      assert.equal(response.status, 200);
      return await response.text();
    };
    const clients: Dialogue[] = [];
    let refusal: string | undefined;
    while (refusal === undefined && clients.length < 110) {
      const client = await Dialogue.open({ port });
      const greeting = await client.reply();
      if (greeting.startsWith('220')) clients.push(client);
      else refusal = greeting;
    }
    assert.equal(refusal, '421 Too many sessions; try again later. [LIMIT-DESCRIPTORS]');
    assert.ok(clients.length >= 20, `${clients.length} sessions were taken`);
    const first = clients[0]!;
    await first.says('USER alice', /^331 /);
    await first.says('PASS secret', /^230 /);
    await first.upload('STOR at-the-limit.txt', 'whole');
    assert.equal(String(await getObject(s3.client, s3.bucket, 'at-the-limit.txt')), 'whole');
    assert.match(
      await metrics(),
      /^ftp_gateway_sessions_refused_total\{cause="LIMIT-DESCRIPTORS",side="gateway"\} [1-9]/m,
    );

    // Now data connections take what is left, and more is asked for.
    const sockets: Socket[] = [];
    const others = clients.slice(1);
    await Promise.all(
      others.map(async (client) => {
        await client.says('USER alice', /^331 /);
        await client.says('PASS secret', /^230 /);
        // A connection that takes one of the last descriptors is reset at once.
        const data = await client.passive().catch((error: unknown) => {
          if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
        });
        data?.on('error', () => undefined);
        if (data) sockets.push(data);
        await client.says(
          'STOR waits.bin',
          /^(?:150 |425 Too many connections are open; try again later\. \[LIMIT-DESCRIPTORS\]$)/,
        );
      }),
    );
    for (let round = 0; round < 3; round++) {
      const open = Number(/^process_open_fds (\d+)$/m.exec(await metrics())?.[1]);
      assert.ok(open <= 110 - 8, `${open} descriptors are open`);
      const health = await fetch(`http://127.0.0.1:${operationsPort}/healthz`, {
        headers: { connection: 'close' },
      });
      assert.equal(health.status, 200);
      // Longer than RELOAD_INTERVAL_SECONDS; the certificate's folder changes meanwhile.
      await writeFile(join(folder, 'access.log'), String(round));
      await new Promise((resolve) => setTimeout(resolve, 700));
    }
    for (const socket of sockets) socket.destroy();
    for (const client of clients) client.destroy();
    const names = gateway.lines.map((line) => (JSON.parse(line) as { event: string }).event);
    for (const nonsense of ['config-reload-failed', 'unexpected-error']) {
      assert.ok(
        !names.includes(nonsense),
        gateway.lines.find((line) => line.includes(nonsense)),
      );
    }
    // Nothing tells when the last descriptor is free again.
    const deadline = Date.now() + 10_000;
    for (let greeting = ''; !greeting.startsWith('220');) {
      assert.ok(Date.now() < deadline, 'sessions are taken again');
      const client = await Dialogue.open({ port });
      greeting = await client.reply();
      client.destroy();
    }
  });
});
