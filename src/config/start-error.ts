/** Why the gateway could not start, in sentences for the operator instead of a stack trace. Pure. */
import { ConfigError } from './config.ts';
import type { MisspeltVariable } from './misspelt.ts';
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

function portHint({ code, port }: SystemError, config: Config | undefined): string[] {
  const field = portFields.find((candidate) => [config?.[candidate]].flat().includes(port));
  if (field === undefined) return [];
  const { name } = variables[field];
  if (code === 'EADDRINUSE') {
    return [`Another program listens on port ${port}: stop it, or set ${name} to another port.`];
  }
  if (code === 'EACCES') return [`Port ${port} needs a privilege: set ${name} to a port above 1023.`];
  return [];
}

type SystemError = { readonly code: string; readonly port: number };

/** Errors of the system in the chain of causes, and in aggregate errors. */
function systemErrors(error: unknown): SystemError[] {
  if (!(error instanceof Error)) return [];
  const inner = [...(error instanceof AggregateError ? (error.errors as unknown[]) : []), error.cause];
  const own = 'code' in error && 'port' in error ? [error as unknown as SystemError] : [];
  return [...own, ...inner.flatMap(systemErrors)];
}
