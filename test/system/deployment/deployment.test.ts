/**
 * The app, unchanged, deployed with the CDK's command line on an emulator, and clients through what came of it. What the
 * emulator does not show: races, quotas, IAM (docs/operations.md, "What has not been run on a live account").
 */
import assert from 'node:assert/strict';
import { randomBytes, X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CloudWatchClient, DescribeAlarmsCommand } from '@aws-sdk/client-cloudwatch';
import { DescribeAddressesCommand, DescribeVpcsCommand } from '@aws-sdk/client-ec2';
import { ListTaskDefinitionsCommand } from '@aws-sdk/client-ecs';
import { DescribeLoadBalancersCommand } from '@aws-sdk/client-elastic-load-balancing-v2';
import { HeadBucketCommand } from '@aws-sdk/client-s3';
import {
  GetSecretValueCommand,
  ListSecretsCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { readPlan } from '../../../lib/plan-file.ts';
import { FtpSession } from '../../../scripts/ftp-session.ts';
import { missing, run, type Security } from '../clients/client.ts';
import { clients } from '../clients/clients.ts';
import { readBalancer, readService } from './api-topology.ts';
import { DeployedGateway } from './deployed-gateway.ts';
import { findPython } from './emulator.ts';
import { type Counts, underLoad } from './load.ts';

const python = await findPython();
if (python === undefined && process.env['REQUIRE_CLIENTS'] !== undefined) {
  throw new Error('MiniStack is not installed: run the deployment tests with npm run test:deployment.');
}
const skip = python === undefined ? 'MiniStack is not installed (npm run test:deployment)' : false;

describe('a deployment on the emulator', { skip }, () => {
  let gateway: DeployedGateway;

  before(async () => {
    gateway = await DeployedGateway.start(python ?? '');
    await gateway.cdk.deploy();
    await gateway.addPartner();
  });
  after(() => gateway.close());

  it('A new deployment has one listener per port, two running slots and two standby slots according to the APIs', async () => {
    const services = await Promise.all(
      [50_000, 50_002, 50_004, 50_006].map(async (port) => {
        const { Cluster } = await gateway.outputs();
        return await readService(gateway.apis, `arn:aws:ecs:us-east-1:0:service/${Cluster}/slot-${port}`);
      }),
    );
    assert.deepEqual(
      services.map((service) => service?.desiredCount),
      [1, 1, 0, 0],
    );
    for (const service of services) assert.equal(service?.gracePeriodSeconds, 2_147_483_647);
    assert.equal(gateway.tasks.length, 2);
  });

  it('A new deployment without any setting serves FTPS to a client that pins the key of its first upload command', async () => {
    const { TryIt = '', CertificateFingerprint } = await gateway.outputs();
    const certificate = new X509Certificate(await gateway.trustServedCertificate());
    assert.equal(certificate.fingerprint256, CertificateFingerprint);
    const pin = /--pinnedpubkey (\S+) /.exec(TryIt)?.[1] ?? '';
    const { host, port, username, password } = gateway.server('explicit');
    const local = join(gateway.emulator.folder, 'pinned.txt');
    await writeFile(local, 'over TLS');
    const curl = (publicKey: string, ...rest: readonly string[]) =>
      run({
        program: 'curl',
        arguments: [
          ...['--silent', '--show-error', '--ssl-reqd', '--insecure', '--pinnedpubkey', publicKey],
          ...['--user', `${username}:${password}`, ...rest, `ftp://${host}:${port}/pinned.txt`],
        ],
      });
    await curl(pin, '--upload-file', local);
    assert.equal(await curl(pin), 'over TLS');
    // Error 90 of curl: the pinned public key does not match.
    await assert.rejects(curl(`sha256//${Buffer.alloc(32).toString('base64')}`), /ended with 90/);
  });

  for (const security of ['plain', 'explicit'] as const) {
    for (const name of ['curl', 'lftp', 'ftplib', 'commons-net']) {
      it(`A new deployment serves ${name} (${security}) through both zones, with PASV and with EPSV`, (t) =>
        clientMatrix(gateway, name, security, t));
    }
  }

  it('A new deployment satisfies every claim of verify-deployment that the emulator can show', async (t) => {
    const { host, port, username, password } = gateway.server();
    const { PassivePortPlan = '' } = await gateway.outputs();
    const { MetricAlarms } = await new CloudWatchClient().send(new DescribeAlarmsCommand());
    const alarm = MetricAlarms?.find(({ AlarmName }) => AlarmName?.includes('NoSlotReady'))?.AlarmName ?? '';
    const output = await gateway.cdk.verify(
      password,
      ...['--host', host, '--port', String(port), '--user', username, '--plan', PassivePortPlan],
      ...['--environment', 'production', '--alarm', alarm, '--drain', '50000', '--drain-seconds', '6'],
    );
    t.diagnostic(output);
    assert.equal(output.match(/^holds /gm)?.length, 8);
    assert.match(output, /get replies from subnets without a default route: 2 subnets without one/);
    assert.match(output, /reaches the topic: Successfully executed action/);
    assert.match(output, /outlives the unhealthy state of its target \(slot 50000\): 6 seconds/);
    await gateway.serving();
  });

  it('A drain that serve cancels ends no session, and the slot takes new sessions again', async () => {
    const session = await sessionOn(gateway, '50000');
    // A drain ends when its last session has left; this one stays, and is not idle.
    const busy = busySession(session);
    await gateway.cdk.slots('drain', '50000');
    assert.match(await gateway.cdk.slots(), /^50000 .* draining /m);
    await gateway.cdk.slots('serve', '50000');
    await until(async () => /^50000 .* serving /m.test(await gateway.cdk.slots()));
    await busy.stop();
    await session.upload('after-serve', Buffer.from('kept'), await session.extendedPassive());
    await session.quit();
    await gateway.serving();
    await (await sessionOn(gateway, '50000')).quit();
  });

  it('npm run deploy in a fresh checkout extends the passive range, loses nothing under load, replaces no task and records the slots', async () => {
    const before = processIds(gateway);
    settings.change({ passivePorts: '50000-50009', slots: { minimum: 2, maximum: 4 } });
    assertNothingLost(await underLoad(gateway, () => gateway.cdk.deployFreshCheckout(settings.context)));
    assert.deepEqual(processIds(gateway), before);
    assert.deepEqual(
      readPlan(gateway.cdk.plans, 'production').map(({ firstPort, running }) => [firstPort, running]),
      [
        [50_000, true],
        [50_002, true],
        [50_004, false],
        [50_006, false],
        [50_008, false],
      ],
    );
  });

  it('A deployment moves to a new version without loss: standby slots start with it, then the old slots drain', async (t) => {
    settings.change({
      tls: { certificateSecretArn: await gateway.makeCertificate(), mode: 'optional' },
    });
    const before = processIds(gateway);
    const counts = await underLoad(gateway, async () => {
      await settings.deploy(gateway);
      assert.deepEqual(processIds(gateway), before, 'CloudFormation replaced a task');
      await gateway.cdk.slots('start', '50004');
      await gateway.cdk.slots('start', '50006');
      await assert.rejects(gateway.cdk.slots('start', '50008'), /4 slots serve, which is the maximum/);
      await retire(gateway, '50000');
      await retire(gateway, '50002');
    });
    t.diagnostic(describeCounts(counts));
    assertNothingLost(counts);
    assert.deepEqual(names(gateway), ['slot-50004', 'slot-50006']);
    for (const { service } of gateway.tasks) assert.equal(service.environment['TLS'], 'optional');
    assert.deepEqual(gateway.unhealthyStops, []);
    await clientMatrix(gateway, 'lftp', 'explicit', t);
  });

  it('The move to a new version loses transfers where the slots are deregistered instead of drained', async (t) => {
    const counts = await underLoad(
      gateway,
      async () => {
        await gateway.cdk.slots('start', '50000');
        await gateway.cdk.slots('start', '50002');
        for (const slot of ['50004', '50006']) {
          await gateway.deregister(`slot-${slot}`);
          await gateway.cdk.slots('stop', slot, '--force');
          await until(() => !names(gateway).includes(`slot-${slot}`));
        }
      },
      { secondsPerLongTransfer: 240 },
    );
    t.diagnostic(describeCounts(counts));
    assert.throws(() => assertNothingLost(counts));
    assert.ok(counts.brokenLongTransfers > 0, describeCounts(counts));
    assert.deepEqual(names(gateway), ['slot-50000', 'slot-50002']);
  });

  it('The move to a new version loses transfers where ECS judges tasks by their health after a grace period of 5 minutes', async (t) => {
    gateway.gracePeriodSeconds = 300;
    const counts = await underLoad(
      gateway,
      async () => {
        await gateway.cdk.slots('start', '50004');
        await gateway.cdk.slots('start', '50006');
        for (const slot of ['50000', '50002']) {
          await gateway.cdk.slots('drain', slot);
          // The task that drains is stopped, and another takes its place, which does not drain.
          await until(() => gateway.unhealthyStops.includes(`slot-${slot}`));
          await gateway.cdk.slots('stop', slot, '--force');
        }
      },
      { secondsPerLongTransfer: 240 },
    );
    gateway.gracePeriodSeconds = undefined;
    t.diagnostic(describeCounts(counts));
    assert.throws(() => assertNothingLost(counts));
    assert.ok(counts.brokenLongTransfers > 0, describeCounts(counts));
    await until(() => names(gateway).join() === 'slot-50004,slot-50006');
    await gateway.serving();
  });

  it('A deployment moves to a disjoint range in two steps without loss: it adds new slots, then removes drained ones', async (t) => {
    settings.change({ passivePorts: '51000-51003', slots: 2 });
    const plan = await gateway.cdk.plan(...settings.arguments());
    t.diagnostic(plan);
    assert.match(plan, /50004 .*continues until it is drained and stopped/);
    assert.match(plan, /CloudFormation replaces no running task\./);
    const counts = await underLoad(gateway, async () => {
      await settings.deploy(gateway);
      assert.deepEqual(names(gateway), ['slot-50004', 'slot-50006', 'slot-51000', 'slot-51002']);
      await retire(gateway, '50004');
      await retire(gateway, '50006');
      await settings.deploy(gateway);
    });
    t.diagnostic(describeCounts(counts));
    assertNothingLost(counts);
    assert.deepEqual(names(gateway), ['slot-51000', 'slot-51002']);
    assert.deepEqual(await listenerPorts(gateway), [21, 51_000, 51_001, 51_002, 51_003]);
  });

  it('A deployment that adds implicit TLS announces the task replacement, replaces slot by slot and serves it', async (t) => {
    settings.change({
      tls: { ...(settings.context['tls'] as object), implicit: true },
    });
    assert.match(await gateway.cdk.plan(...settings.arguments()), /slot-51000: LoadBalancers changed/);
    const before = processIds(gateway);
    const counts = await underLoad(gateway, () => settings.deploy(gateway), { secondsPerLongTransfer: 40 });
    t.diagnostic(describeCounts(counts));
    assert.ok(
      processIds(gateway).every((id) => !before.includes(id)),
      'a task was not replaced',
    );
    assert.ok(counts.sessions > 20, describeCounts(counts));
    await gateway.serving();
    await clientMatrix(gateway, 'curl', 'implicit', t);
  });

  it('A deployment that shortens the passive range removes slots in two steps', async (t) => {
    settings.change({ passivePorts: '51000-51001', slots: 1 });
    const counts = await underLoad(gateway, async () => {
      await settings.deploy(gateway);
      assert.deepEqual(names(gateway), ['slot-51000', 'slot-51002']);
      await retire(gateway, '51002');
      await settings.deploy(gateway);
    });
    t.diagnostic(describeCounts(counts));
    assertNothingLost(counts);
    assert.deepEqual(await listenerPorts(gateway), [21, 990, 51_000, 51_001]);
  });

  it('A destroyed deployment keeps only what is documented: addresses, bucket, users, self-signed certificate, logs and revisions', async () => {
    settings.change({ deletionProtection: 'false' });
    await settings.deploy(gateway);
    const { Bucket, UsersSecret } = await gateway.outputs();
    const gatewayLogGroups = async () =>
      (await gateway.logGroups()).filter((name) => /\/Gateway(Log|NetworkVpcFlowLog)/.test(name));
    const logGroups = await gatewayLogGroups();
    assert.equal(logGroups.length, 2);
    await gateway.cdk.run(['destroy', '--force'], settings.context);
    assert.equal(gateway.tasks.length, 0);
    const { Addresses } = await gateway.apis.ec2.send(new DescribeAddressesCommand());
    assert.equal(Addresses?.length, 2);
    await gateway.s3.send(new HeadBucketCommand({ Bucket }));
    const secrets = new SecretsManagerClient();
    await secrets.send(new GetSecretValueCommand({ SecretId: UsersSecret }));
    const { SecretList } = await secrets.send(new ListSecretsCommand({}));
    assert.deepEqual(SecretList?.map(({ Description = '' }) => Description).sort(), [
      // The certificate that the test itself has made.
      '',
      'Self-signed certificate and private key of the FTP gateway',
      'Users of the FTP gateway: names, password hashes, homes, permissions',
    ]);
    const { LoadBalancers } = await gateway.apis.balancing.send(new DescribeLoadBalancersCommand());
    assert.deepEqual(LoadBalancers, []);
    const { Vpcs } = await gateway.apis.ec2.send(new DescribeVpcsCommand());
    assert.deepEqual(
      (Vpcs ?? []).filter(({ CidrBlock }) => CidrBlock === '10.21.0.0/22'),
      [],
    );
    assert.deepEqual(await gatewayLogGroups(), logGroups);
    const { taskDefinitionArns } = await gateway.apis.ecs.send(
      new ListTaskDefinitionsCommand({ status: 'ACTIVE' }),
    );
    for (const slot of ['50000', '50004', '51000']) {
      assert.ok(
        taskDefinitionArns?.some((arn) => arn.includes(`Slot${slot}`)),
        `no revision of slot ${slot} is left in ${taskDefinitionArns?.join()}`,
      );
    }
  });
});

/** What has been given with `-c` so far; every deployment has all of it. */
const settings = {
  context: {} as Record<string, unknown>,
  change: (context: Readonly<Record<string, unknown>>): void => {
    Object.assign(settings.context, context);
  },
  deploy: (gateway: DeployedGateway) => gateway.cdk.deploy(settings.context),
  arguments: () =>
    Object.entries(settings.context).flatMap(([key, value]) => [
      '-c',
      `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
    ]),
};

/** Drains a slot, waits until it has, and stops it: what an operator does. */
async function retire(gateway: DeployedGateway, slot: string): Promise<void> {
  await gateway.cdk.slots('drain', slot);
  await until(async () => new RegExp(`^${slot} .* drained `, 'm').test(await gateway.cdk.slots()));
  await gateway.cdk.slots('stop', slot);
  await until(() => !names(gateway).includes(`slot-${slot}`));
}

/** Logs in until the load balancer chooses the slot. */
async function sessionOn(gateway: DeployedGateway, slot: string): Promise<FtpSession> {
  const { host, port, username, password } = gateway.server();
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const session = await FtpSession.open({ host, port, username, password, tls: false });
    const passivePort = await session.extendedPassive();
    if (passivePort - (passivePort % 2) === Number(slot)) return session;
    await session.quit();
  }
  throw new Error(`No session reached slot ${slot}.`);
}

/** Sends a command twice a second until it is stopped, which rejects if one was refused. */
function busySession(session: FtpSession): { stop(): Promise<void> } {
  const stopped = new AbortController();
  const loop = (async () => {
    while (!stopped.signal.aborted) {
      await session.command('PWD', 257);
      await sleep(500);
    }
  })();
  loop.catch(() => undefined);
  return {
    stop: () => {
      stopped.abort();
      return loop;
    },
  };
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 120_000;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error('It does not hold after two minutes.');
    await sleep(200);
  }
}

function names({ tasks }: DeployedGateway): readonly string[] {
  return tasks.map(({ service }) => service.id).sort();
}

function processIds({ tasks }: DeployedGateway): readonly (number | undefined)[] {
  return tasks.map(({ process }) => process.pid);
}

async function listenerPorts({ apis }: DeployedGateway): Promise<readonly number[]> {
  const topology = await readBalancer(apis);
  return (topology?.listeners ?? []).map(({ port }) => port).sort((one, other) => one - other);
}

function assertNothingLost(counts: Counts): void {
  assert.deepEqual(
    [counts.failedLogins, counts.failedTransfers, counts.brokenLongTransfers],
    [0, 0, 0],
    describeCounts(counts),
  );
  assert.ok(counts.sessions > 20, describeCounts(counts));
}

function describeCounts({ reasons, ...counts }: Counts): string {
  return [JSON.stringify(counts), ...reasons].join('\n');
}

type Context = { skip(reason: string): void };

async function clientMatrix(
  gateway: DeployedGateway,
  name: string,
  security: Security,
  t: Context,
): Promise<void> {
  const client = clients.find((one) => one.name === name)!;
  const reason = await missing(client);
  if (reason !== undefined) {
    t.skip(reason);
    return;
  }
  for (const [zone, passive] of [
    [0, 'PASV'],
    [1, 'EPSV'],
  ] as const) {
    const server = { ...gateway.server(security, zone), passive };
    const folder = gateway.emulator.folder;
    const local = join(folder, `${name}-${zone}.bin`);
    await writeFile(local, randomBytes(100_000));
    const remote = `/${name}-${security}-${zone}.bin`;
    const back = join(folder, `${name}-${randomBytes(4).toString('hex')}.back`);
    await run(client.invocation(server, { deed: 'put', local, remote })!);
    assert.match(
      await run(client.invocation(server, { deed: 'list', directory: '/' })!),
      new RegExp(remote.slice(1)),
    );
    await run(client.invocation(server, { deed: 'get', remote, local: back })!);
    assert.ok((await readFile(back)).equals(await readFile(local)));
  }
}
