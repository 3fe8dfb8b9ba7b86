/** Many transfers at once with curl, each session from its own address so that its flows can be identified. */
import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run, type Server } from '../clients/client.ts';
import type { LocalDeployment } from './deployment.ts';

export type Batch = {
  /** The address the client binds to; loopback chooses when undefined. */
  readonly clientAddress?: string;
  readonly server: Server;
  /** Uploads of `local` under names that begin with `name`, then downloads of what was uploaded. */
  readonly uploads: number;
  readonly downloads: number;
  readonly local: string;
  readonly name: string;
  /** Sessions at once; 1 keeps one session for all transfers. */
  readonly parallel?: number;
  /** PASV instead of EPSV, and the address of the 227 reply instead of the control connection's. */
  readonly passive?: 'PASV';
  /** Compares each download with `local`. */
  readonly compare?: boolean;
};

/** Runs a batch with curl; rejects with curl's message when a single transfer fails, and when a download differs. */
export async function transfer(deployment: LocalDeployment, batch: Batch): Promise<void> {
  const { server, local, name, uploads, downloads, parallel = 1 } = batch;
  const url = (index: number) => `url = "ftp://${server.host}:${server.port}/${name}-${index % uploads}"`;
  const stores = times(uploads, (index) => [url(index), `upload-file = "${local}"`]);
  const back = (index: number): string => join(deployment.folder, `${name}-${index}.back`);
  const retrievals = times(downloads, (index) => [
    url(index),
    `output = "${batch.compare === true ? back(index) : '/dev/null'}"`,
  ]);
  const curl = async (lines: readonly string[]): Promise<void> => {
    const config = join(deployment.folder, `${name}.curl`);
    await writeFile(config, [...options(batch), ...lines].join('\n'));
    const many =
      parallel > 1 ? ['--parallel', '--parallel-immediate', '--parallel-max', String(parallel)] : [];
    await run({ program: 'curl', arguments: [...many, '--config', config] }, 240_000);
  };
  if (downloads === 0) await curl(stores);
  else if (parallel === 1) await curl([...stores, 'next', ...options(batch), ...retrievals]);
  else {
    // In parallel, curl does not wait for the uploads before `next`.
    await curl(stores);
    await curl(retrievals);
  }
  if (batch.compare !== true) return;
  const content = await readFile(local);
  for (let index = 0; index < downloads; index += 1) {
    assert.ok((await readFile(back(index))).equals(content), `${back(index)} differs`);
    await rm(back(index));
  }
}

function options({ clientAddress, server, passive }: Batch): readonly string[] {
  return [
    'silent',
    'show-error',
    'fail-early',
    `user = "${server.username}:${server.password}"`,
    ...(clientAddress === undefined ? [] : [`interface = "${clientAddress}"`]),
    ...(server.security === 'plain' ? [] : ['ssl-reqd', `cacert = "${server.caFile}"`]),
    ...(passive === undefined ? [] : ['disable-epsv', 'no-ftp-skip-pasv-ip']),
  ];
}

function times(count: number, lines: (index: number) => readonly string[]): readonly string[] {
  return Array.from({ length: count }, (_, index) => lines(index)).flat();
}

/**
 * Fails unless every data connection went to the slot of its session. Sessions are identified by client address, so each
 * address must have had one session only. Returns how many data connections that were.
 */
export function assertAffinity({ loadBalancer }: LocalDeployment): number {
  const slots = new Map<string, string>();
  let dataConnections = 0;
  for (const { listenerPort, clientAddress, target } of loadBalancer.flows) {
    if (listenerPort < 1024) {
      assert.equal(slots.get(clientAddress), undefined, `${clientAddress} had more than one session`);
      slots.set(clientAddress, target);
    } else {
      dataConnections += 1;
      assert.equal(
        target,
        slots.get(clientAddress),
        `a data connection of ${clientAddress} to ${listenerPort}`,
      );
    }
  }
  return dataConnections;
}

/** Fails when a slot was reached by a data connection that none of its sessions expected. */
export function assertNoStrays(deployment: LocalDeployment): void {
  assert.deepEqual(deployment.events('stray-data-connection'), []);
}
