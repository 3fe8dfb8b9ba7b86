/**
 * SIGTERM while S3 fails, in each way it can: the process ends within DRAIN_SECONDS and five seconds, and every client has
 * its reply before that.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { PasswordHash } from '../../../src/users/password.ts';
import { getObject, putObject } from '../../s3/transfer.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { type Fault, type FaultProxy, type Operation, startFaultProxy } from '../../support/fault-proxy.ts';
import { endGatewayProcesses, GatewayProcess } from '../../support/gateway-process.ts';
import { type S3Server, startS3Server } from '../../support/s3-server.ts';

const mib = 1024 * 1024;
const drainSeconds = 1;
/** What docs/lifecycle.md promises. */
const longestStopMs = (drainSeconds + 5) * 1000;

type State = {
  readonly name: string;
  readonly begin: (proxy: FaultProxy) => void | Promise<void>;
  /** The reply to a client whose commit is in progress. */
  readonly commitReply: RegExp;
};

const failing = (fault: Fault) => (proxy: FaultProxy) => {
  proxy.onRequest = () => fault;
};
const unconfirmed =
  /^451 The storage did not confirm the file; check whether it was stored\. \[STORAGE-UNCONFIRMED\]$/;

const states: readonly State[] = [
  { name: 'refuses connections', begin: (proxy) => proxy.goDown(), commitReply: unconfirmed },
  { name: 'is silent', begin: failing({ kind: 'stall' }), commitReply: unconfirmed },
  {
    name: 'answers 503',
    begin: failing({ kind: 'answer', status: 503, name: 'SlowDown' }),
    commitReply: unconfirmed,
  },
  {
    name: 'resets connections',
    begin: failing({ kind: 'reset-request', afterBytes: 0 }),
    commitReply: unconfirmed,
  },
  {
    name: 'answers after a minute',
    begin: failing({ kind: 'slow-first-byte', delayMs: 60_000 }),
    commitReply: unconfirmed,
  },
  {
    name: 'answers just after DRAIN_SECONDS',
    begin: failing({ kind: 'slow-first-byte', delayMs: 2_000 }),
    commitReply: /^226 /,
  },
];

describe('a drain while S3 fails', () => {
  let s3: S3Server;
  let proxy: FaultProxy;
  let folder: string;
  let gateway: GatewayProcess;
  let port: number;

  before(async () => {
    s3 = await startS3Server();
    folder = await mkdtemp(join(tmpdir(), 'ftp-gateway-drain-storage-'));
    const password = await PasswordHash.create('secret');
    await writeFile(
      join(folder, 'users.json'),
      JSON.stringify({ users: [{ name: 'alice', password, permissions: 'read-write' }] }),
    );
  });
  after(async () => {
    await s3.close();
    await rm(folder, { recursive: true });
  });
  beforeEach(async () => {
    proxy = await startFaultProxy(s3.endpoint);
    gateway = new GatewayProcess({
      USERS: `file:${join(folder, 'users.json')}`,
      S3_ENDPOINT: proxy.endpoint,
      S3_FORCE_PATH_STYLE: 'true',
      S3_BUCKET: s3.bucket,
      DRAIN_SECONDS: String(drainSeconds),
    });
    port = (await gateway.event('gateway-started')).controlPort;
  });
  afterEach(async () => {
    await endGatewayProcesses();
    await proxy.close();
  });

  async function store(name: string): Promise<{ client: Dialogue; data: Socket }> {
    const client = await Dialogue.logIn({ port });
    await client.says('TYPE I', /^200 /);
    const data = await client.passive();
    data.on('error', () => undefined);
    data.resume();
    await client.says(`STOR ${name}`, /^150 /);
    return { client, data };
  }
  const send = (data: Socket, sizeBytes: number): Promise<void> =>
    new Promise((resolve) => data.write(Buffer.alloc(sizeBytes, 'x'), () => resolve()));
  const seen = (operation: Operation): Promise<void> =>
    new Promise((resolve) => {
      const { onRequest } = proxy;
      proxy.onRequest = (requested) => {
        if (requested === operation) resolve();
        return onRequest(requested);
      };
    });

  for (const { name, begin, commitReply } of states) {
    it(`A drain ends the process in time and answers every client when S3 ${name}`, async () => {
      await putObject(s3.client, s3.bucket, 'old.bin', Buffer.alloc(64));
      const halfDone = await store('half-done.bin');
      const firstPart = seen('UploadPart');
      await send(halfDone.data, 9 * mib);
      await firstPart;
      const [small, large, first] = [
        await store('small.bin'),
        await store('large.bin'),
        await store('first.bin'),
      ];
      const begun = seen('UploadPart');
      await send(large.data, 9 * mib);
      await begun;
      const renamer = await Dialogue.logIn({ port });
      await renamer.says('RNFR old.bin', /^350 /);
      const asker = await Dialogue.logIn({ port });
      const lister = await Dialogue.logIn({ port });
      const listing = await lister.passive();
      listing.on('error', () => undefined).resume();

      await begin(proxy);
      small.data.end('small');
      large.data.end();
      await send(first.data, 9 * mib);
      await asker.send('MDTM old.bin\r\n');
      await renamer.send('RNTO new.bin\r\n');
      await lister.send('LIST\r\n');
      // Every request has set out, and nothing tells when one has that the gateway only retries.
      await new Promise((resolve) => setTimeout(resolve, 300));

      const startedAtMs = performance.now();
      gateway.child.kill('SIGTERM');
      let isOver = false;
      void gateway.ended.then(() => (isOver = true));
      const reply = async (client: Dialogue): Promise<string> => {
        const text = await client.reply(longestStopMs + 4_000);
        assert.equal(isOver, false, `${text} came before the process ended`);
        return text;
      };
      const replies = await Promise.all([small, large, halfDone, first].map(({ client }) => reply(client)));
      const others = await Promise.all([asker, renamer].map(reply));
      const { code, stderr } = await gateway.ended;
      const tookMs = performance.now() - startedAtMs;

      assert.equal(code, 0, stderr);
      assert.ok(tookMs < longestStopMs, `the stop took ${Math.round(tookMs)} ms`);
      const [smallReply, largeReply, ...abortedReplies] = replies;
      assert.match(smallReply!, commitReply);
      assert.match(largeReply!, new RegExp(`${commitReply.source}|^426 `));
      for (const text of abortedReplies) assert.match(text, /^4(?:26|51|21) /);
      for (const text of others) assert.match(text, /^(?:[2345]\d\d) /);
      const { outcome, cause } = await gateway.event('transfer', ({ pathname }) => pathname === '/small.bin');
      if (commitReply === unconfirmed) {
        assert.equal(outcome, 'failed');
        assert.equal(cause, 'STORAGE-UNCONFIRMED');
        const { key } = await gateway.event(
          'storage-error',
          (event) => event.operation === 'PutObject' && event.errorName === 'Unconfirmed',
        );
        assert.equal(key, 'small.bin');
      } else {
        assert.equal(outcome, 'completed');
        assert.equal(String(await getObject(s3.client, s3.bucket, 'small.bin')), 'small');
      }
      const unexpected = gateway.lines.filter((line) => line.includes('"event":"unexpected-error"'));
      assert.deepEqual(unexpected, []);
      for (const { client, data } of [small, large, halfDone, first]) {
        client.destroy();
        data.destroy();
      }
      for (const client of [asker, renamer, lister]) client.destroy();
      listing.destroy();
    });
  }
});
