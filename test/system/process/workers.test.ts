/** A gateway of two worker processes: what they serve together, and what happens when one of them, or the primary, ends. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { setImmediate, setTimeout as passed } from 'node:timers/promises';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { Dialogue, readAll } from '../../support/dialogue.ts';
import { endGatewayProcesses, GatewayProcess } from '../../support/gateway-process.ts';
import { freeRange } from '../../support/loopback-port.ts';
import { startWorkerSuite, type WorkerGateway, type WorkerSuite } from '../../support/worker-gateway.ts';

let suite: WorkerSuite;

before(async () => {
  suite = await startWorkerSuite();
});

after(async () => {
  await endGatewayProcesses();
  await suite.close();
});

const half = randomBytes(6 * 1024 * 1024);
const whole = Buffer.concat([half, half]);

/** An upload of which the gateway has half. */
async function beginUpload(client: Dialogue, name: string): Promise<Socket> {
  const data = await client.passive();
  await client.says(`STOR ${name}`, /^150 /);
  data.on('error', () => undefined);
  await new Promise<void>((resolve) => data.write(half, () => resolve()));
  return data;
}

async function assertStored(name: string): Promise<void> {
  const { s3 } = suite;
  const { Body } = await s3.client.send(new GetObjectCommand({ Bucket: s3.bucket, Key: name }));
  assert.ok(Buffer.from(await Body!.transformToByteArray()).equals(whole), `${name} is whole`);
}

async function pidOf({ status }: WorkerGateway, worker: number): Promise<number> {
  const found = (await status()).workers.find((one) => one.worker === worker);
  assert.ok(found, `worker ${worker} runs`);
  return found.pid;
}

/** Resolves when no process of this id runs any more. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    // A zombie that its parent, which is gone as well, has not read yet.
    const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    if (/^\d+ \(.*\) Z /s.test(status)) return;
    await passed(20);
  }
}

async function metric({ request }: WorkerGateway, name: string): Promise<number> {
  const text = await (await request('/metrics')).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  assert.ok(line, `${name} is in\n${text}`);
  return Number(line.slice(name.length + 1));
}

describe('two worker processes', () => {
  it('Two workers serve transfers in clear text, with explicit and with implicit TLS at the same time', async () => {
    const workers = await suite.start();
    const { gateway, controlPort, implicitTlsPort, passivePorts } = workers;
    const transfer = async (name: string, client: Dialogue): Promise<void> => {
      await client.says('TYPE I', /^200 /);
      await client.upload(`STOR ${name}`, whole);
      assert.ok((await client.download(`RETR ${name}`)).equals(whole));
      await client.quit();
    };
    const explicit = async (): Promise<Dialogue> => {
      const client = await Dialogue.open({ port: controlPort });
      await client.expect(/^220 /);
      await client.startTls();
      await client.says('USER alice', /^331 /);
      await client.says('PASS secret', /^230 /);
      return client;
    };
    const implicit = async (): Promise<Dialogue> => {
      const client = await Dialogue.logIn({ port: implicitTlsPort, implicitTls: true });
      await client.says('PROT C', /^200 /);
      return client;
    };
    const clear = (): Promise<Dialogue> => Dialogue.logIn({ port: controlPort });
    const sessions = [clear, explicit, implicit].flatMap((logIn) => Array.from({ length: 4 }, () => logIn));
    await Promise.all(sessions.map(async (logIn, index) => transfer(`mixed-${index}.bin`, await logIn())));

    const transfers = gateway.lines
      .map((line) => JSON.parse(line) as { event: string; worker?: number; outcome?: string; verb?: string })
      .filter(({ event }) => event === 'transfer');
    assert.equal(transfers.length, 24);
    assert.ok(transfers.every(({ outcome }) => outcome === 'completed'));
    assert.deepEqual(new Set(transfers.map(({ worker }) => worker)), new Set([1, 2]), 'both have transfers');
    assert.equal(passivePorts.length, 4);
    assert.equal(
      await metric(workers, 'ftp_gateway_transfer_bytes_total{direction="upload"}'),
      12 * whole.length,
      'the metrics are the sum of both workers',
    );
    assert.equal(await metric(workers, 'ftp_gateway_sessions_opened_total{tls="true"}'), 4);
    assert.equal(await metric(workers, 'ftp_gateway_sessions_opened_total{tls="false"}'), 8);
    assert.equal(await metric(workers, 'ftp_gateway_workers'), 2);
    assert.deepEqual(await gateway.stop(), { code: 0, signal: null, stderr: '' });
  });

  it('Each worker names its own passive ports only', async () => {
    const workers = await suite.start();
    const { workers: statuses } = await workers.status();
    assert.deepEqual(
      statuses.flatMap(({ passivePorts }) => passivePorts),
      workers.passivePorts,
    );
    for (const { worker, passivePorts } of statuses) {
      const client = await workers.logInTo(worker);
      for (let attempt = 0; attempt < 2 * passivePorts.length; attempt += 1) {
        const data = await client.passive();
        assert.ok(passivePorts.includes(data.remotePort!));
        const listing = readAll(data);
        await client.says('NLST', /^150 /, /^226 /);
        await listing;
      }
      await client.quit();
    }
    await workers.gateway.stop();
  });

  it('A killed worker is replaced; the transfer of the other one stays whole, and no count goes backwards', async () => {
    const workers = await suite.start({ METRICS_NAMESPACE: 'Gateway/Test' });
    const { gateway } = workers;
    const lost = await workers.logInTo(1);
    const kept = await workers.logInTo(2);
    const data = await beginUpload(kept, 'kept.bin');
    await lost.upload('STOR small.txt', 'counted before the end');
    const counted = await metric(workers, 'ftp_gateway_transfer_bytes_total{direction="upload"}');
    assert.equal(counted, 22);
    const pid = await pidOf(workers, 1);
    process.kill(pid, 'SIGKILL');
    await lost.expectClosed();
    const { signal, restartMs, cause } = await gateway.event('worker-ended', ({ worker }) => worker === 1);
    assert.equal(cause, 'WORKER-LOST');
    assert.deepEqual([signal, restartMs], ['SIGKILL', 250]);
    assert.equal((await workers.request('/readyz')).status, 200, 'the other worker accepts sessions');
    assert.equal(await metric(workers, 'ftp_gateway_workers_ended_total'), 1);
    assert.equal(await metric(workers, 'ftp_gateway_transfer_bytes_total{direction="upload"}'), counted);

    await gateway.event('worker-started', (event) => event.worker === 1 && event.pid !== pid);
    data.end(half);
    data.resume();
    await kept.expect(/^226 /);
    await assertStored('kept.bin');
    const again = await workers.logInTo(1);
    await again.upload('STOR again.bin', whole);
    await assertStored('again.bin');
    assert.equal((await gateway.stop()).code, 0);
    const embedded = gateway.lines
      .filter((line) => line.includes('"WorkersEnded"'))
      .map((line) => JSON.parse(line) as { WorkersEnded: number });
    assert.equal(
      embedded.reduce((sum, { WorkersEnded }) => sum + WorkersEnded, 0),
      1,
      'the end is in the metrics for CloudWatch once',
    );
  });

  it('A worker whose event loop is blocked is ended by its watchdog and replaced, and the other one does not notice', async () => {
    const workers = await suite.start({}, 'test/system/process/watched-worker.ts');
    const { gateway } = workers;
    const lost = await workers.logInTo(1);
    const kept = await workers.logInTo(2);
    const data = await beginUpload(kept, 'not-blocked.bin');
    const pid = await pidOf(workers, 1);
    process.kill(pid, 'SIGUSR2');
    await lost.expectClosed();
    const ended = await gateway.event('worker-ended');
    assert.partialDeepStrictEqual(ended, {
      level: 'error',
      cause: 'WORKER-LOST',
      worker: 1,
      pid,
      signal: 'SIGKILL',
      sessions: 1,
      reason: 'its event loop was blocked',
      restartMs: 250,
    });
    await gateway.event('worker-started', (event) => event.worker === 1 && event.pid !== pid);
    data.end(half);
    data.resume();
    await kept.expect(/^226 /);
    await assertStored('not-blocked.bin');
    const again = await workers.logInTo(1);
    await again.upload('STOR after-block.bin', whole);
    await assertStored('after-block.bin');
    const { code, stderr } = await gateway.stop();
    assert.deepEqual([code, stderr], [0, '']);
    const blocked = gateway.lines.filter((line) => line.includes('"event-loop-blocked"'));
    assert.deepEqual(blocked, ['{"level":"error","event":"event-loop-blocked","seconds":2}']);
  });

  it('SIGTERM ends idle sessions of all workers, refuses new ones, and lets running uploads of all workers finish', async () => {
    const workers = await suite.start({ DRAIN_SECONDS: '60' });
    const { gateway, controlPort } = workers;
    const idle = await Promise.all([1, 2].map(workers.logInTo));
    const uploads = await Promise.all(
      [1, 2].map(async (worker) => {
        const client = await workers.logInTo(worker);
        return { client, data: await beginUpload(client, `drained-${worker}.bin`) };
      }),
    );
    gateway.child.kill('SIGTERM');
    const { sessions } = await gateway.event('drain-started');
    assert.equal(sessions, 4);
    for (const client of idle) await client.expect(/^421 /);
    assert.equal((await workers.request('/readyz')).status, 503);
    assert.equal((await workers.request('/healthz')).status, 200);
    await assert.rejects(Dialogue.open({ port: controlPort }), { code: 'ECONNREFUSED' });
    for (const { client, data } of uploads) {
      data.end(half);
      data.resume();
      await client.expect(/^226 /, /^421 /);
    }
    assert.deepEqual(await gateway.ended, { code: 0, signal: null, stderr: '' });
    await Promise.all([1, 2].map((worker) => assertStored(`drained-${worker}.bin`)));
    const stops = gateway.lines.filter((line) => line.includes('"gateway-stopped"'));
    assert.equal(stops.length, 1, 'the end is logged once');
  });

  it('Each worker writes its own summary of a partner when it ends', async () => {
    const workers = await suite.start();
    const { gateway } = workers;
    for (const worker of [1, 2]) {
      const client = await workers.logInTo(worker);
      await client.upload(`STOR summary-${worker}.txt`, 'content');
      await client.quit();
    }
    assert.equal((await gateway.stop()).code, 0);
    const summaries = gateway.lines
      .filter((line) => line.includes('"partner-summary"'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .map(({ worker, uploads, uploadedBytes, failures }) => ({ worker, uploads, uploadedBytes, failures }))
      .sort((one, other) => Number(one.worker) - Number(other.worker));
    const uploaded = { uploads: 1, uploadedBytes: 7, failures: 0 };
    assert.deepEqual(summaries, [
      { worker: 1, ...uploaded },
      { worker: 2, ...uploaded },
    ]);
  });

  it('Ctrl-C, which a terminal sends to all processes, drains as SIGTERM does, and a second one ends all of them', async () => {
    const workers = await suite.start({ DRAIN_SECONDS: '60' });
    const { gateway } = workers;
    const pids = await Promise.all([1, 2].map((worker) => pidOf(workers, worker)));
    const client = await workers.logInTo(1);
    const data = await beginUpload(client, 'interrupted.bin');
    const interrupt = (): void => {
      for (const pid of [...pids, gateway.child.pid!]) process.kill(pid, 'SIGINT');
    };
    interrupt();
    await gateway.event('drain-started', ({ reason }) => reason === 'SIGINT');
    data.end(half);
    data.resume();
    await client.expect(/^226 /, /^421 /);
    assert.equal((await gateway.ended).code, 0);
    await assertStored('interrupted.bin');

    const second = await suite.start({ DRAIN_SECONDS: '60' });
    const endless = await second.logInTo(2);
    await beginUpload(endless, 'endless.bin');
    const workerPids = await Promise.all([1, 2].map((worker) => pidOf(second, worker)));
    second.gateway.child.kill('SIGINT');
    await second.gateway.event('drain-started');
    const again = setInterval(() => second.gateway.child.kill('SIGINT'), 100);
    assert.equal((await second.gateway.ended).code, 130);
    clearInterval(again);
    await Promise.all(workerPids.map(gone));
    endless.destroy();
  });

  it('A worker ignores signals that are not sent by the primary', async () => {
    const workers = await suite.start();
    const client = await workers.logInTo(1);
    process.kill(await pidOf(workers, 1), 'SIGTERM');
    process.kill(await pidOf(workers, 1), 'SIGINT');
    await client.upload('STOR unimpressed.txt', 'still here');
    await client.quit();
    await workers.gateway.stop();
  });

  it('No worker outlives a primary that is killed', async () => {
    const workers = await suite.start();
    const pids = await Promise.all([1, 2].map((worker) => pidOf(workers, worker)));
    const client = await workers.logInTo(2);
    await workers.gateway.stop('SIGKILL');
    await Promise.all(pids.map(gone));
    await client.expectClosed();
    for (const port of [workers.controlPort, ...workers.passivePorts]) {
      const socket = connect({ port, host: '127.0.0.1' });
      await assert.rejects(once(socket, 'connect'), { code: 'ECONNREFUSED' });
    }
  });

  it('The gateway is ready only when every passive port of every worker has been probed', async () => {
    const workers = await suite.start({ READY_AFTER_PROBES: 'on', DRAIN_SECONDS: '1' });
    const ready = async () => (await workers.request('/readyz')).status;
    const [last = 0, ...others] = [...workers.passivePorts].reverse();
    for (const port of others) {
      assert.equal((await workers.request(`/healthz/${port}`)).status, 200);
      assert.equal(await ready(), 503);
    }
    assert.equal((await workers.request(`/healthz/${last + 1}`)).status, 404);
    assert.equal((await workers.request(`/healthz/${last}`)).status, 200);
    assert.equal(await ready(), 200);
    await workers.gateway.stop();
  });

  it('A drain that is requested on the operations port reaches all workers, and can be cancelled for all of them', async () => {
    const workers = await suite.start({ DRAIN_PROPAGATION_SECONDS: '1', DRAIN_IDLE_SECONDS: '1' });
    const { gateway, request, status } = workers;
    const clients = await Promise.all([1, 2].map(workers.logInTo));
    assert.equal((await request('/drain', 'POST')).status, 202);
    assert.equal((await status()).stage, 'draining');
    assert.equal((await request('/readyz')).status, 503);
    assert.equal((await request('/serve', 'POST')).status, 200);
    assert.equal((await request('/readyz')).status, 200);
    assert.equal((await gateway.event('drain-requested')).sessions, 2);
    await request('/drain', 'POST');
    for (const client of clients) await client.expect(/^421 /);
    while ((await status()).stage !== 'drained') await passed(50);
    assert.equal((await request('/serve', 'POST')).status, 409);
    await gateway.stop();
  });
});

describe('the limits of worker processes', () => {
  const variables = ['MAX_SESSIONS', 'MAX_SESSIONS_PER_ADDRESS', 'MAX_SESSIONS_PER_USER'] as const;
  for (const variable of variables) {
    it(`${variable} holds over all workers, also for sessions that begin at the same moment, and a killed worker gives back its share`, async () => {
      const limit = 3;
      const workers = await suite.start({ [variable]: String(limit), DRAIN_SECONDS: '1' });
      const { gateway, controlPort, status } = workers;
      const counted = async (): Promise<readonly Dialogue[]> => {
        const attempts = Array.from({ length: 3 * limit }, async () => {
          const client = await Dialogue.open({ port: controlPort });
          return (await isAdmitted(workers, client)) ? [client] : [];
        });
        return (await Promise.all(attempts)).flat();
      };
      // Fewer than the limit may be admitted at first: of connections without a login, a new one can replace an older one.
      const admitted = [...(await counted())];
      while (admitted.length < limit) admitted.push(...(await counted()));
      assert.equal(admitted.length, limit);
      assert.deepEqual(await counted(), [], 'no further session is admitted');
      // Sessions that were refused end in the worker a moment after their client has seen the end.
      while ((await status()).sessions > limit) await passed(20);
      const { workers: statuses } = await status();
      const { pid, sessions } = statuses.find((worker) => worker.sessions > 0)!;
      process.kill(pid, 'SIGKILL');
      const ended = await gateway.event('worker-ended');
      assert.equal(ended.sessions, sessions);
      const again = [...(await counted())];
      while (again.length < sessions) again.push(...(await counted()));
      assert.equal(again.length, sessions);
      await gateway.stop();
    });
  }

  it('A source that sends wrong passwords to all workers is banned by all of them, and by one that is started again', async () => {
    const workers = await suite.start({ MAX_LOGIN_FAILURES: '4', DRAIN_SECONDS: '1' });
    const { gateway, controlPort, status } = workers;
    const answers: string[] = [];
    for (let attempt = 0; attempt < 6; attempt += 1) {
      const client = await Dialogue.open({ port: controlPort });
      await client.expect(/^220 /);
      await client.says(`USER guess${attempt}`, /^331 /);
      await client.send(`PASS wrong${attempt}\r\n`);
      answers.push(await client.reply(20_000));
      client.destroy();
    }
    assert.deepEqual(
      answers.map((answer) => /^530 (Login incorrect|Too many failed logins)/.exec(answer)?.[1]),
      [...Array<string>(4).fill('Login incorrect'), ...Array<string>(2).fill('Too many failed logins')],
    );
    const logins = gateway.lines
      .map((line) => JSON.parse(line) as { event: string; worker?: number; outcome?: string })
      .filter(({ event }) => event === 'login');
    for (const outcome of ['refused', 'throttled']) {
      const who = logins.filter((login) => login.outcome === outcome).map(({ worker }) => worker);
      assert.deepEqual(new Set(who), new Set([1, 2]), `${outcome} by both`);
    }
    assert.equal((await status()).loginBans.length, 1);

    process.kill(await pidOf(workers, 1), 'SIGKILL');
    await gateway.event('worker-ended');
    let starts = 0;
    await gateway.event('worker-started', ({ worker }) => worker === 1 && ++starts === 2);
    const before = gateway.lines.length;
    const attempts = Array.from({ length: 4 }, async () => {
      const client = await Dialogue.open({ port: controlPort });
      await client.expect(/^220 /);
      await client.says('USER another', /^331 /);
      await client.says('PASS guess', /^530 Too many failed logins/);
      client.destroy();
    });
    await Promise.all(attempts);
    const after = gateway.lines
      .slice(before)
      .map((line) => JSON.parse(line) as { event: string; worker?: number });
    const answering = after.filter(({ event }) => event === 'login').map(({ worker }) => worker);
    assert.deepEqual(new Set(answering), new Set([1, 2]));
    await gateway.stop();
  });

  /** Connections without a login of which the gateway keeps some; resolves to those that it keeps. */
  async function keptOf(workers: WorkerGateway, addresses: readonly string[]): Promise<number> {
    const { controlPort: port } = workers;
    const clients = await Promise.all(addresses.map((localAddress) => Dialogue.open({ port, localAddress })));
    const greetings = await Promise.all(clients.map((client) => client.reply().catch(() => 'closed')));
    await claimsAnswered(workers);
    const kept = await Promise.all(
      clients.map(async (client, index) => {
        try {
          assert.match(greetings[index]!, /^220 /);
          await client.says('NOOP', /^200 /);
          return true;
        } catch {
          return false;
        }
      }),
    );
    for (const client of clients) client.destroy();
    return kept.filter(Boolean).length;
  }

  it('MAX_UNAUTHENTICATED_PER_ADDRESS holds over all workers, until a user has logged in from the address to one of them', async () => {
    const workers = await suite.start({ MAX_UNAUTHENTICATED_PER_ADDRESS: '6' });
    const { gateway, controlPort } = workers;
    const thirty = Array<string>(30).fill('127.0.0.31');
    assert.equal(await keptOf(workers, thirty), 6);
    assert.equal(await keptOf(workers, ['127.0.0.32']), 1, 'another address has its own limit');
    assert.equal(await keptOf(workers, thirty), 6, 'the places of closed connections are free');
    const partner = await Dialogue.open({ port: controlPort, localAddress: '127.0.0.31' });
    assert.ok(await isAdmitted(workers, partner));
    assert.equal(await keptOf(workers, thirty), 30);
    partner.destroy();
    await gateway.stop();
  });

  it('MAX_UNAUTHENTICATED holds over all workers', async () => {
    const workers = await suite.start({ MAX_UNAUTHENTICATED: '10' });
    const { gateway } = workers;
    const addresses = Array.from({ length: 60 }, (_, index) => `127.0.1.${index + 1}`);
    // Which worker gets a connection is not known, so one may have more than it keeps and the other fewer.
    const kept = await keptOf(workers, addresses);
    assert.ok(kept > 5 && kept <= 10, `${kept} of 60 were kept`);
    await gateway.stop();
  });

  /**
   * Resolves when the workers know which of the claims that they have made so far are refused. Each of these questions to all workers
   * travels in the order of the claims and their answers. A claim may have to wait for the one under way, and each answer is handled a
   * moment after it has arrived, which takes five rounds; and the first may be a question that another session asked before. Between
   * the rounds the time passes in which workers collect claims, so that a worker that answers has sent those it had.
   */
  async function claimsAnswered({ status }: WorkerGateway): Promise<void> {
    for (let rounds = 0; rounds < 6;) {
      const startedAtMs = performance.now();
      await status();
      // After a second the primary answers for a worker that does not.
      if (performance.now() - startedAtMs < 1000) rounds += 1;
      await passed(10);
    }
  }

  /** Whether the session lives on after its login; a revoked one has 421 somewhere on the way, and ends. */
  async function isAdmitted(workers: WorkerGateway, client: Dialogue): Promise<boolean> {
    try {
      await client.expect(/^220 /);
      await client.says('USER alice', /^331 /);
      await client.says('PASS secret', /^230 /);
      await client.says('NOOP', /^200 /);
      await claimsAnswered(workers);
      await client.says('NOOP', /^200 /);
      return true;
    } catch {
      await client.expectClosed().catch(() => undefined);
      return false;
    }
  }
});

describe('the start of worker processes', () => {
  it('The gateway does not start with fewer passive ports than workers, and says what to set', async () => {
    const { code, stderr } = await new GatewayProcess({
      USERS: 'file:users.json',
      WORKERS: '4',
      PASSIVE_PORTS: '21900-21901',
    }).ended;
    assert.equal(code, 2);
    assert.match(stderr, /WORKERS=4 needs 4 passive ports.* set PASSIVE_PORTS=21900-21903, or WORKERS=2\./);
  });

  it('Without WORKERS the gateway starts a worker for each core that gets a passive port, and warns where a core gets none', async () => {
    const cores = availableParallelism();
    for (const ports of [1, 2]) {
      const { gateway } = await suite.start({
        WORKERS: '',
        PASSIVE_PORTS: (await freeRange(ports)).toString(),
      });
      const { workers = 1 } = await gateway.event('gateway-started');
      assert.equal(workers, Math.min(cores, ports));
      const warnings = gateway.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
      assert.partialDeepStrictEqual(
        warnings.filter(({ event }) => event === 'workers-limited'),
        ports < cores ? [{ level: 'warn', workers, cores, limit: 'PASSIVE_PORTS' }] : [],
      );
      assert.equal((await gateway.stop()).code, 0);
    }
  });

  it('The gateway starts no worker when the port of one is taken, and names the port and the variable', async () => {
    const taken = await suite.start();
    const port = taken.passivePorts.at(-1)!;
    const { code, stderr } = await new GatewayProcess({
      ...(await environmentOf(taken)),
      PASSIVE_PORTS: `${port}-${port + 1}`,
    }).ended;
    assert.equal(code, 2);
    assert.match(
      stderr,
      new RegExp(`Another program listens on port ${port}: stop it, or set PASSIVE_PORTS`),
    );
    assert.equal((await taken.gateway.stop()).code, 0);
  });

  it('A worker whose port is taken while it is started again is tried six times, and then the gateway ends with 1', async () => {
    const range = await freeRange(2);
    const workers = await suite.start({ PASSIVE_PORTS: range.toString(), DRAIN_SECONDS: '1' });
    const { gateway } = workers;
    const [first = 0] = range.ports;
    process.kill(await pidOf(workers, 1), 'SIGKILL');
    const thief = await takePort(first);
    const { reason } = await gateway.event('worker-ended', (event) => event.reason !== undefined);
    assert.match(reason ?? '', new RegExp(`Passive port ${first} on 127\\.0\\.0\\.1 cannot be opened`));
    const { code } = await gateway.ended;
    thief.close();
    assert.equal(code, 1);
    assert.match(gateway.lines.join('\n'), /Worker 1 ended 6 times in a row soon after its start/);
  });
});

/** Listens on a port as soon as its owner has closed it. */
async function takePort(port: number): Promise<Server> {
  for (;;) {
    const server = createServer();
    server.listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
      return server;
    } catch {
      await setImmediate();
    }
  }
}

/** The variables of a running gateway. */
async function environmentOf({ gateway }: WorkerGateway): Promise<Record<string, string>> {
  const text = await readFile(`/proc/${gateway.child.pid}/environ`, 'utf8');
  return Object.fromEntries(
    text
      .split('\0')
      .filter((entry) => entry.includes('='))
      .map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
  );
}
