/** Clients as partners have them, through the load balancer of the template: both zones, clear and TLS, PASV and EPSV. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { missing, run, type Security } from '../clients/client.ts';
import { clients } from '../clients/clients.ts';
import { Dialogue, readAll } from '../../support/dialogue.ts';
import { dial } from './dial.ts';
import { LocalDeployment, unsupported, withTls } from './deployment.ts';
import { assertNoStrays } from './transfers.ts';

const names = [
  'curl',
  'lftp',
  'wget',
  'ftplib',
  'ftplib with session reuse',
  'commons-net',
  'Net::FTP',
  'PHP',
];
const chosen = clients.filter(({ name }) => names.includes(name));

describe('two slots behind a load balancer in two zones', { skip: unsupported ?? false }, () => {
  let deployment: LocalDeployment;
  let local: string;

  before(async () => {
    deployment = await LocalDeployment.start({
      passivePorts: '50000-50005',
      tls: { ...withTls, implicit: true },
    });
    local = join(deployment.folder, 'file.bin');
    await writeFile(local, randomBytes(300_000));
  });
  after(() => deployment.close());

  for (const client of chosen) {
    for (const security of client.securities) {
      for (const zone of [0, 1]) {
        it(`${client.name} (${security}) uploads, lists and downloads through zone ${zone + 1} of the load balancer`, async (t) => {
          const reason = await missing(client);
          if (reason !== undefined) {
            t.skip(reason);
            return;
          }
          const server = deployment.server(security, deployment.nodes[zone]);
          const remote = `/${client.name.replace(/\W/g, '')}-${security}-${zone}/file.bin`;
          const directory = remote.slice(0, remote.lastIndexOf('/'));
          const back = join(deployment.folder, `back-${randomBytes(4).toString('hex')}`);
          const writer = client.invocation(server, { deed: 'put', local, remote });
          // wget only downloads: curl puts the file there.
          await makeDirectory(deployment, directory);
          await run(writer ?? clients[0]!.invocation(server, { deed: 'put', local, remote })!);
          assert.match(await run(client.invocation(server, { deed: 'list', directory })!), /file\.bin/);
          await run(client.invocation(server, { deed: 'get', remote, local: back })!);
          assert.ok((await readFile(back)).equals(await readFile(local)));
        });
      }
    }
  }

  for (const zone of [0, 1]) {
    it(`227 names the address of zone ${zone + 1} to a client that came through it, and a port of its slot`, async () => {
      const node = deployment.nodes[zone]!;
      const session = await logIn(deployment, 'plain', zone);
      const answer = await session.ask('PASV');
      const numbers = /^227 Entering Passive Mode \((\d+,\d+,\d+,\d+),(\d+),(\d+)\)\.$/.exec(answer);
      assert.equal(numbers?.[1], node.publicAddress.replaceAll('.', ','), answer);
      assert.ok(portsOfSlot(deployment).includes(Number(numbers[2]) * 256 + Number(numbers[3])), answer);
      await session.quit();
    });
  }

  it('A download in clear arrives although the client never sends a byte on the data connection', async () => {
    const session = await logIn(deployment, 'plain', 0);
    await upload(deployment, session, 'STOR silent.txt', 'nothing was said');
    const data = await dial(deployment, await session.ask('EPSV'), 0);
    const content = readAll(data);
    await session.says('RETR silent.txt', /^150 /, /^226 /);
    assert.equal((await content).toString(), 'nothing was said');
    await session.quit();
  });

  it("Active mode is refused behind a load balancer, because the client's firewall would not let the task in", async () => {
    const session = await logIn(deployment, 'plain', 0);
    await session.says('PORT 127,0,0,1,200,10', /^50\d /);
    await session.quit();
  });

  it('No data connection reaches a slot that did not wait for it', () => {
    assertNoStrays(deployment);
    assert.ok(deployment.loadBalancer.flows.length > 100);
  });
});

async function makeDirectory(deployment: LocalDeployment, directory: string): Promise<void> {
  const session = await logIn(deployment, 'plain', 0);
  await session.says(`MKD ${directory}`, /^257 /);
  await session.quit();
}

async function logIn(deployment: LocalDeployment, security: Security, zone: number): Promise<Dialogue> {
  const { host, port, username, password } = deployment.server(security, deployment.nodes[zone]);
  return Dialogue.logIn({ host, port }, username, password);
}

async function upload(
  deployment: LocalDeployment,
  session: Dialogue,
  command: string,
  text: string,
): Promise<void> {
  const data = await dial(deployment, await session.ask('EPSV'), 0);
  await session.says(command, /^150 /);
  data.end(text);
  data.resume();
  await session.expect(/^226 /);
}

/** The ports of the slot that the last control flow went to. */
function portsOfSlot(deployment: LocalDeployment): readonly number[] {
  const control = deployment.loadBalancer.flows.filter(({ listenerPort }) => listenerPort < 1024).at(-1);
  const task = [...deployment.fargate.tasks.values()].find(({ address }) => address === control?.target);
  assert.ok(task);
  return task.service.registrations.map(({ containerPort }) => containerPort);
}
