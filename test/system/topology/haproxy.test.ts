/**
 * A second opinion: HAProxy in front of the same slots, from the same template. It sends the PROXY header at once, before the
 * client has said anything, where AWS waits for the client; both must do.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { missing, run, type Server } from '../clients/client.ts';
import { clients } from '../clients/clients.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { LocalDeployment, unsupported, withTls } from './deployment.ts';
import { type HaProxy, startHaProxy } from './haproxy.ts';
import { assertNoStrays, transfer } from './transfers.ts';

const haproxyProgram = { name: 'haproxy', probe: { program: 'haproxy', arguments: ['-v'] } };
const skip = unsupported ?? (await missing(haproxyProgram)) ?? false;
const chosen = clients.filter(({ name }) => ['curl', 'lftp', 'ftplib'].includes(name));

describe('two slots behind HAProxy', { skip }, () => {
  let deployment: LocalDeployment;
  let haproxy: HaProxy;
  let local: string;

  before(async () => {
    deployment = await LocalDeployment.start({ tls: withTls });
    haproxy = await startHaProxy(deployment, deployment.clientAddress(0));
    local = join(deployment.folder, 'file.bin');
    await writeFile(local, randomBytes(300_000));
  });
  after(async () => {
    await haproxy.close();
    await deployment.close();
  });

  function server(security: 'plain' | 'explicit'): Server {
    return { ...deployment.server(security), host: haproxy.address, port: haproxy.controlPort };
  }

  for (const client of chosen) {
    for (const security of ['plain', 'explicit'] as const) {
      it(`${client.name} (${security}) uploads and downloads behind HAProxy`, async (t) => {
        const reason = await missing(client);
        if (reason !== undefined) {
          t.skip(reason);
          return;
        }
        const remote = `/${client.name}-${security}.bin`;
        const back = join(deployment.folder, remote.slice(1));
        await run(client.invocation(server(security), { deed: 'put', local, remote })!);
        await run(client.invocation(server(security), { deed: 'get', remote, local: back })!);
        assert.ok((await readFile(back)).equals(await readFile(local)));
      });
    }
  }

  it('227 names the address of HAProxy, which the client used and which is in no subnet of the template', async () => {
    const { host, port, username, password } = server('plain');
    const session = await Dialogue.logIn({ host, port }, username, password);
    await session.says('PASV', new RegExp(`^227 .*\\(${haproxy.address.replaceAll('.', ',')},\\d+,\\d+\\)`));
    await session.quit();
  });

  it('Two slots behind HAProxy take 200 transfers, 20 in parallel, without a stray data connection', async () => {
    await transfer(deployment, {
      server: server('plain'),
      uploads: 100,
      downloads: 100,
      local,
      name: 'haproxy',
      parallel: 20,
    });
    assertNoStrays(deployment);
  });
});
