/** Slots that are stopped, die, or get other ports while partners work. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { HeadObjectCommand } from '@aws-sdk/client-s3';
import { missing, run } from '../clients/client.ts';
import { clients } from '../clients/clients.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { LocalDeployment, unsupported } from './deployment.ts';
import { assertNoStrays, transfer } from './transfers.ts';
import type { Task } from './fargate.ts';

const curl = clients.find(({ name }) => name === 'curl')!;
const skip = unsupported ?? (await missing(curl)) ?? false;

const sizeBytes = 3_000_000;

describe('a deployment that changes under its sessions', { skip }, () => {
  let deployment: LocalDeployment;
  let local: string;
  let small: string;

  before(async () => {
    deployment = await LocalDeployment.start({});
    local = join(deployment.folder, 'large.bin');
    small = join(deployment.folder, 'small.txt');
    await writeFile(local, Buffer.alloc(sizeBytes, 'x'));
    await writeFile(small, 'small');
  });
  after(() => deployment.close());

  it('A slot that is stopped drains: its upload finishes, idle sessions get 421, and the task exits with 0', async () => {
    const upload = await slowUpload(deployment, local, 'drained.bin');
    const idle = await sessionOn(deployment, upload.task);
    const stopped = deployment.fargate.stop(upload.task.service.id);
    await idle.expect(/^421 /);
    await idle.expectClosed();
    await upload.finished;
    assert.equal(await objectSize(deployment, 'drained.bin'), sizeBytes);
    const { exit } = await stopped;
    assert.deepEqual(await exit, { code: 0, signal: null });
  });

  it('New sessions go to the other slots while one is stopped, and to the slot again when it is back', async () => {
    await transfer(deployment, batch(deployment, small, 'meanwhile'));
    await deployment.fargate.deploy(deployment.topology);
    assert.equal(deployment.fargate.tasks.size, 2);
    const task = [...deployment.fargate.tasks.values()][1]!;
    const session = await sessionOn(deployment, task);
    await session.quit();
  });

  it('The deployment continues to serve when a slot dies: the load balancer marks it unhealthy, and the others take all sessions', async () => {
    const [dead] = [...deployment.fargate.tasks.values()];
    await deployment.fargate.crash(dead!.service.id);
    await deployment.loadBalancer.becomes(
      'unhealthy',
      dead!.address,
      groupsOf(dead!),
      AbortSignal.timeout(10_000),
    );
    const before = deployment.loadBalancer.flows.length;
    await transfer(deployment, batch(deployment, small, 'one-slot-dead'));
    const targets = deployment.loadBalancer.flows.slice(before).map(({ target }) => target);
    assert.ok(!targets.includes(dead!.address));
    await deployment.fargate.replace(dead!.service.id);
  });

  it('Growing by standby slots does not affect the others', async () => {
    const before = [...deployment.fargate.tasks.values()].map(({ process }) => process.pid);
    await deployment.redeploy({ passivePorts: '50000-50011' });
    const now = [...deployment.fargate.tasks.values()].map(({ process }) => process.pid);
    assert.deepEqual(now, before);
    await transfer(deployment, batch(deployment, small, 'six-slots'));
  });

  it('No data connection reaches the wrong slot during any change of the deployment', () => {
    assertNoStrays(deployment);
  });
});

function groupsOf({ service }: Task): readonly string[] {
  return service.registrations.map(({ targetGroup }) => targetGroup);
}

function batch(deployment: LocalDeployment, local: string, name: string) {
  return { server: deployment.server(), uploads: 20, downloads: 20, local, name, parallel: 5 };
}

/** An upload of some seconds; resolves when its first bytes have come (before, its session would be idle), with its slot. */
async function slowUpload(deployment: LocalDeployment, local: string, name: string) {
  const { host, port, username, password } = deployment.server();
  const before = deployment.loadBalancer.flows.length;
  const finished = run({
    program: 'curl',
    arguments: [
      ...['--silent', '--show-error', '--limit-rate', '1M', '--user', `${username}:${password}`],
      ...['--upload-file', local, `ftp://${host}:${port}/${name}`],
    ],
  });
  const flow = await deployment.loadBalancer.nextFlow(before, ({ listenerPort }) => listenerPort > 1024);
  // Awaited later, when the change is made; until then a failure must wait, too.
  finished.catch(() => undefined);
  const [client] = flow.sockets;
  if (client.bytesRead === 0) await once(client, 'data');
  const task = [...deployment.fargate.tasks.values()].find(({ address }) => address === flow.target);
  assert.ok(task);
  return { finished, task };
}

/** A session on a certain slot: connects until the load balancer's hash chooses it. */
async function sessionOn(deployment: LocalDeployment, task: Task): Promise<Dialogue> {
  const { host, port, username, password } = deployment.server();
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const session = await Dialogue.logIn({ host, port }, username, password);
    if (deployment.loadBalancer.flows.at(-1)?.target === task.address) return session;
    await session.quit();
  }
  throw new Error(`No session reached ${task.address}.`);
}

async function objectSize({ s3 }: LocalDeployment, name: string): Promise<number | undefined> {
  const { ContentLength } = await s3.client.send(new HeadObjectCommand({ Bucket: s3.bucket, Key: name }));
  return ContentLength;
}
