/** HAProxy, configured from the same template: an independent implementation of a balancer that sends PROXY headers. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { endChild, freePort, portAnswers } from '../../support/loopback-port.ts';
import type { LocalDeployment } from './deployment.ts';
import type { Listener, Topology } from './topology.ts';

export type HaProxy = {
  /** Where its listeners for 21 are; the passive ones are themselves. */
  readonly address: string;
  readonly controlPort: number;
  close(): Promise<void>;
};

/** Starts HAProxy on an address of its own, in front of the deployment's slots. */
export async function startHaProxy(deployment: LocalDeployment, address: string): Promise<HaProxy> {
  const controlPort = await freePort();
  const path = join(deployment.folder, 'haproxy.cfg');
  await writeFile(path, configuration(deployment, address, controlPort));
  const child: ChildProcess = spawn('haproxy', ['-db', '-f', path], { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr?.on('data', (bytes: Buffer) => (errors += bytes.toString()));
  const failed = once(child, 'exit').then(() => Promise.reject(new Error(`haproxy ended:\n${errors}`)));
  failed.catch(() => undefined);
  await Promise.race([portAnswers(controlPort, child), failed]);
  return { address, controlPort, close: () => endChild(child) };
}

function configuration({ topology, fargate }: LocalDeployment, address: string, controlPort: number): string {
  const sections = topology.listeners.map((listener) => {
    const group = topology.targetGroups.get(listener.targetGroup);
    const bind = listener.port === 21 ? `0.0.0.0:${controlPort}` : `${address}:${listener.port}`;
    const servers = serversOf(topology, listener).map(({ service, port }) => {
      const task = fargate.tasks.get(service);
      const options = [
        ...(group?.proxyProtocol === true ? ['send-proxy-v2'] : []),
        ...(group?.healthCheck === undefined
          ? []
          : ['check', `port ${group.healthCheck.port}`, 'inter 200ms']),
      ];
      return `  server ${service} ${task?.address ?? ''}:${port} ${options.join(' ')}`;
    });
    return [
      `listen port-${listener.port}`,
      `  bind ${bind}`,
      `  option httpchk GET ${group?.healthCheck.path ?? '/'}`,
      ...servers,
    ].join('\n');
  });
  return [
    'global\n  maxconn 4000',
    'defaults\n  mode tcp\n  balance roundrobin\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s',
    ...sections,
    '',
  ].join('\n');
}

function serversOf({ services }: Topology, { targetGroup }: Listener) {
  return services.flatMap(({ id, registrations }) =>
    registrations
      .filter((registration) => registration.targetGroup === targetGroup)
      .map(({ containerPort }) => ({ service: id, port: containerPort })),
  );
}
