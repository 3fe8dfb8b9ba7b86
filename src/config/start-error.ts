/** Why the gateway could not start, in sentences for the operator instead of a stack trace. Pure. */
import { ConfigError } from './config.ts';
import type { MisspeltVariable } from './misspelt.ts';
import { ListenError } from '../net/listen.ts';
import type { PortHolder } from '../net/port-holder.ts';
import { type Config, variables } from './variables.ts';

const portFields = ['controlPort', 'implicitTlsPort', 'passivePorts', 'operationsPort'] as const;

/**
 * The message of the error, and what to change if a port is not available.
 * @param misspelt variables that are not known, for an invalid configuration.
 */
export function describeStartError(
  error: unknown,
  config: Config | undefined,
  misspelt: readonly MisspeltVariable[] = [],
): string {
  if (error instanceof ConfigError) {
    const hints = misspelt.map(({ name, meant }) => `${name} is set and not known: is ${meant} meant?`);
    return [error.message, ...hints, 'Run with --help for all variables.'].join('\n');
  }
  const message = error instanceof Error ? error.message : String(error);
  const hints = new Set(systemErrors(error).flatMap((systemError) => portHint(systemError, config)));
  return [`The gateway cannot start: ${message}`, ...hints].join('\n');
}

function portHint({ code, port, holder }: SystemError, config: Config | undefined): string[] {
  const field = portFields.find((candidate) => [config?.[candidate]].flat().includes(port));
  if (field === undefined) return [];
  const { name } = variables[field];
  if (code === 'EADDRINUSE' && holder?.kind === 'connection') {
    return [
      `Port ${port} is the local port of an outgoing connection. Keep the kernel from using it: sysctl net.ipv4.ip_local_reserved_ports=${port}, or set ${name} to ports outside of net.ipv4.ip_local_port_range.`,
    ];
  }
  if (code === 'EADDRINUSE') {
    return [`Another program listens on port ${port}: stop it, or set ${name} to another port.`];
  }
  if (code === 'EACCES') return [`Port ${port} needs a privilege: set ${name} to a port above 1023.`];
  return [];
}

type SystemError = {
  readonly code: string;
  readonly port: number;
  readonly holder: PortHolder | undefined;
};

/** Errors of the system in the chain of causes, and in aggregate errors. */
function systemErrors(error: unknown, holder?: PortHolder): SystemError[] {
  if (!(error instanceof Error)) return [];
  const inner = [...(error instanceof AggregateError ? (error.errors as unknown[]) : []), error.cause];
  const own =
    'code' in error && 'port' in error
      ? [{ code: String(error.code), port: Number(error.port), holder }]
      : [];
  const found = error instanceof ListenError ? error.holder : holder;
  return [...own, ...inner.flatMap((cause) => systemErrors(cause, found))];
}
