/**
 * Settings that are valid alone and invalid together. Pure. Fields with an invalid variable are absent here, and what depends
 * on them is not checked.
 */
import { type ProxyProblem, proxyProblems } from '../net/proxy-trust.ts';
import { minTransferMemoryBytes } from '../workers/shares.ts';
import type { Config } from './variables.ts';

/** One sentence for each conflict, with the variables and what to change. */
export function conflicts(config: Partial<Config>): string[] {
  return [
    ...tlsConflicts(config),
    ...portConflicts(config),
    ...proxyProblems(config).map((problem) => proxyTexts[problem]),
    ...workerConflicts(config),
    ...storageConflicts(config),
  ];
}

function tlsConflicts(config: Partial<Config>): string[] {
  const { tls, tlsCertificate, implicitTlsPort, tlsDataResumption } = config;
  const problems: string[] = [];
  if (tls === undefined) return problems;
  if (tls === 'off') {
    const change = 'set TLS=optional or TLS=required';
    if (tlsCertificate !== undefined) {
      problems.push(`TLS_CERTIFICATE is set, but TLS is off and would not use it: ${change}, or unset it.`);
    }
    if (implicitTlsPort !== undefined) {
      problems.push(`IMPLICIT_TLS_PORT is set, but TLS is off: ${change}, or unset it.`);
    }
    if (tlsDataResumption === 'required') {
      problems.push(`TLS_DATA_RESUMPTION=required cannot be kept while TLS is off: ${change}.`);
    }
  } else if ('tlsCertificate' in config && tlsCertificate === undefined) {
    problems.push(`TLS=${tls} needs a certificate: set TLS_CERTIFICATE.`);
  }
  return problems;
}

function portConflicts(config: Partial<Config>): string[] {
  const { controlPort, implicitTlsPort, operationsPort, passivePorts = [] } = config;
  const listeners: readonly (readonly [name: string, port: number | undefined])[] = [
    ['CONTROL_PORT', controlPort],
    ['IMPLICIT_TLS_PORT', implicitTlsPort],
    ['OPERATIONS_PORT', operationsPort],
  ];
  const problems: string[] = [];
  const owners = new Map<number, string>();
  // 0 picks another free port each time.
  for (const port of passivePorts) if (port !== 0) owners.set(port, 'PASSIVE_PORTS');
  for (const [name, port] of listeners) {
    if (port === undefined || port === 0) continue;
    const owner = owners.get(port);
    if (owner !== undefined) problems.push(`${name} and ${owner} both want port ${port}: give one another.`);
    owners.set(port, name);
  }
  return [...problems, ...activeModeConflicts(config, owners)];
}

function activeModeConflicts(config: Partial<Config>, owners: ReadonlyMap<number, string>): string[] {
  const { activeMode, activeSourcePort } = config;
  if (activeSourcePort === undefined) return [];
  const owner = owners.get(activeSourcePort);
  return [
    ...(activeMode === 'off' ? ['ACTIVE_SOURCE_PORT is set, but ACTIVE_MODE is off: unset one.'] : []),
    ...(owner === undefined
      ? []
      : [`ACTIVE_SOURCE_PORT and ${owner} both want port ${activeSourcePort}: give one another.`]),
  ];
}

const proxyTexts: Readonly<Record<ProxyProblem, string>> = {
  'no-networks':
    'PROXY_PROTOCOL=v2 needs PROXY_PROTOCOL_FROM, the networks of the load balancer: anybody else could name any client address.',
  'active-mode':
    'PROXY_PROTOCOL=v2 excludes active mode, which connects to the address in the header: set ACTIVE_MODE=off.',
};

function workerConflicts({ workers, passivePorts, transferMemoryBytes }: Partial<Config>): string[] {
  if (typeof workers !== 'number') return [];
  const problems: string[] = [];
  if (passivePorts !== undefined && passivePorts.length < workers) {
    const [first = 0] = passivePorts;
    const range = `PASSIVE_PORTS=${first}-${first + workers - 1}`;
    problems.push(
      `WORKERS=${workers} needs ${workers} passive ports, one for each, and PASSIVE_PORTS has ${passivePorts.length}: ` +
        `set ${first === 0 ? 'PASSIVE_PORTS to a range' : range}, or WORKERS=${passivePorts.length}.`,
    );
  }
  const neededBytes = workers * minTransferMemoryBytes;
  if (transferMemoryBytes !== undefined && transferMemoryBytes < neededBytes) {
    problems.push(
      `WORKERS=${workers} needs 32 MiB of transfer memory for each: set TRANSFER_MEMORY_MIB=${neededBytes / 1024 ** 2} ` +
        `or more, or fewer WORKERS.`,
    );
  }
  return problems;
}

function storageConflicts({ s3Bucket, s3Prefix }: Partial<Config>): string[] {
  if (s3Bucket !== undefined || s3Prefix === undefined || s3Prefix === '') return [];
  return ['S3_PREFIX is set without S3_BUCKET: name the bucket too.'];
}
