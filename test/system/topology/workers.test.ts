/** Slots of two cores: each task runs two worker processes, and a data connection reaches the process of its session, always. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Dialogue } from '../../support/dialogue.ts';
import { missing } from '../clients/client.ts';
import { clients } from '../clients/clients.ts';
import { LocalDeployment, unsupported, withTls } from './deployment.ts';
import type { LogLine, Task } from './fargate.ts';
import { startHaProxy } from './haproxy.ts';
import { assertAffinity, assertNoStrays, transfer } from './transfers.ts';

const curl = clients.find(({ name }) => name === 'curl')!;
const haproxyProgram = { name: 'haproxy', probe: { program: 'haproxy', arguments: ['-v'] } };
const skip = unsupported ?? (await missing(curl)) ?? false;
const sessions = 32;

describe('two slots of two worker processes each', { skip }, () => {
  let deployment: LocalDeployment;
  let local: string;

  before(async () => {
    deployment = await LocalDeployment.start({ portsPerSlot: 4, cpu: 2048, memoryMiB: 4096, tls: withTls });
    local = join(deployment.folder, 'file.bin');
    await writeFile(local, randomBytes(300_000));
  });
  after(() => deployment.close());

  it('A template with cpu 2048 starts two worker processes in each slot, and each of them has half of its ports', () => {
    for (const task of tasks()) {
      assert.equal(task.service.environment['WORKERS'], '2');
      const ports = [1, 2].map((worker) => portsOf(task, worker));
      assert.deepEqual(
        ports.map(({ length }) => length),
        [2, 2],
      );
      const [first, last] = task.service.environment['PASSIVE_PORTS']!.split('-').map(Number);
      assert.deepEqual([ports.flat().at(0), ports.flat().at(-1)], [first, last]);
    }
  });

  it(`${sessions * 20} transfers of ${sessions} clients, in clear text and with TLS, come back whole, each data connection to a port of the process of its session`, async () => {
    const batches = Array.from({ length: sessions }, (_, number) => ({
      clientAddress: deployment.clientAddress(number + 1),
      server: deployment.server(number % 2 === 0 ? 'plain' : 'explicit', deployment.nodes[number % 2]),
      uploads: 10,
      downloads: 10,
      local,
      name: `worker-${number}`,
      compare: true,
      ...(number % 4 === 0 && { passive: 'PASV' as const }),
    }));
    const queue = batches.values();
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (const batch of queue) await transfer(deployment, batch);
      }),
    );
    assert.equal(assertAffinity(deployment), sessions * 20);
    assertNoStrays(deployment);

    const used = new Set<string>();
    for (const { listenerPort, clientAddress, target } of deployment.loadBalancer.flows) {
      if (listenerPort < 1024) continue;
      const task = tasks().find(({ address }) => address === target)!;
      const login = task.log.find(
        (line) => line['event'] === 'login' && line['clientAddress'] === clientAddress,
      );
      const worker = login?.['worker'] as number;
      assert.ok(portsOf(task, worker).includes(listenerPort), `${listenerPort} is not of worker ${worker}`);
      used.add(`${task.address} ${worker}`);
    }
    assert.equal(used.size, 4, 'all processes had sessions');
  });

  it('400 transfers through HAProxy, 20 in parallel, come back whole, and all transfers of a session are in one process', async (t) => {
    const reason = await missing(haproxyProgram);
    if (reason !== undefined) {
      t.skip(reason);
      return;
    }
    const linesBefore = new Map(tasks().map((task) => [task, task.log.length]));
    const haproxy = await startHaProxy(deployment, deployment.clientAddress(0));
    try {
      for (const security of ['plain', 'explicit'] as const) {
        await transfer(deployment, {
          server: { ...deployment.server(security), host: haproxy.address, port: haproxy.controlPort },
          uploads: 100,
          downloads: 100,
          local,
          name: `haproxy-${security}`,
          parallel: 20,
          compare: true,
        });
      }
    } finally {
      await haproxy.close();
    }
    assertNoStrays(deployment);
    const used = new Set<string>();
    let transfers = 0;
    for (const [{ address, log }, seen] of linesBefore) {
      const workerOf = new Map<unknown, unknown>();
      for (const { event, sessionId, worker, outcome } of log.slice(seen)) {
        if (event === 'login') workerOf.set(sessionId, worker);
        if (event !== 'transfer') continue;
        transfers += 1;
        assert.equal(outcome, 'completed');
        assert.equal(worker, workerOf.get(sessionId));
        used.add(`${address} ${String(worker)}`);
      }
    }
    assert.equal(transfers, 400);
    assert.equal(used.size, 4, 'all processes had transfers');
  });

  it('A worker process that dies is replaced without its slot becoming unhealthy, and the session of the other process goes on', async () => {
    const { host, port, username, password } = deployment.server('plain');
    const [task] = tasks();
    assert.ok(task);
    const groups = task.service.registrations.map(({ targetGroup }) => targetGroup);
    // One session in each process of the task; the others are closed again.
    const open = new Map<number, Dialogue>();
    for (let number = sessions + 1; open.size < 2; number += 1) {
      const localAddress = deployment.clientAddress(number);
      const client = await Dialogue.logIn({ host, port, localAddress }, username, password);
      const login = task.log.find(
        (line) => line['event'] === 'login' && line['clientAddress'] === localAddress,
      );
      const worker = login?.['worker'] as number | undefined;
      if (worker === undefined || open.has(worker)) await client.quit();
      else open.set(worker, client);
    }
    const killed = lastStart(task, 1);
    process.kill(killed['pid'] as number, 'SIGKILL');
    await open.get(1)!.expectClosed();
    await open.get(2)!.says('NOOP', /^200 /);
    while (lastStart(task, 1) === killed) {
      for (const group of groups)
        assert.equal(deployment.loadBalancer.health(group, task.address), 'healthy');
      await once(task.process.stdout!, 'data');
    }
    for (const group of groups) assert.equal(deployment.loadBalancer.health(group, task.address), 'healthy');
    await open.get(2)!.quit();
  });

  function tasks(): readonly Task[] {
    return [...deployment.fargate.tasks.values()];
  }

  function lastStart({ log }: Task, worker: number): LogLine {
    const start = log.findLast((line) => line['event'] === 'worker-started' && line['worker'] === worker);
    assert.ok(start, `worker ${worker} has started`);
    return start;
  }

  function portsOf(task: Task, worker: number): readonly number[] {
    return lastStart(task, worker)['passivePorts'] as readonly number[];
  }
});
