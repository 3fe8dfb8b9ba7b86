/** Which events are logged at which level. Pure. */
import type { CauseCode } from './cause.ts';
import type { GatewayEvent } from './event.ts';

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

/** The level of commands that are refused for reasons that clients cause in normal operation. */
export type CommandLogLevel = 'debug' | 'info';

/** Refusals that are routine: clients ask for files that may not exist, and try commands that servers may not know. */
export const routineRefusals: ReadonlySet<CauseCode | undefined> = new Set<CauseCode>([
  'COMMAND-INVALID',
  'FILE-NOT-FOUND',
  'FILE-EXISTS',
  'FILE-TYPE',
  'FILE-NOT-EMPTY',
  'FILE-NAME',
  'FILE-OFFSET',
  'FILE-CHANGED',
]);

/** A certificate that ends in fewer days is a warning. */
const certificateWarningDays = 21;

/** The level of an event's log line. */
export function levelOf(event: GatewayEvent, commandLevel: CommandLogLevel): LogLevel {
  switch (event.event) {
    case 'session-opened':
    case 'session-closed':
    case 'session-while-draining':
    case 'storage-retry':
      return 'debug';
    case 'session-refused':
    case 'login-ban':
    case 'passive-ports-exhausted':
    case 'config-reload-failed':
    case 'descriptors-insufficient':
    case 'storage-error':
    case 'storage-slow':
    case 'variable-misspelt':
    case 'port-busy':
    case 'unlisted-object':
    case 'workers-limited':
      return 'warn';
    case 'stray-data-connection':
      return event.cause === 'PASV-STRAY' || event.cause === 'PASV-RESET' ? 'debug' : 'info';
    case 'command':
      if (event.outcome === 'failed') return 'warn';
      return event.outcome === 'refused' && routineRefusals.has(event.cause) ? commandLevel : 'info';
    case 'tls-failed':
      return 'info';
    case 'certificate-loaded':
    case 'certificate-expiring':
      if (event.daysLeft < 0) return 'error';
      return event.daysLeft < certificateWarningDays ? 'warn' : 'info';
    case 'login':
      return event.outcome === 'failed' ? 'warn' : 'info';
    case 'transfer':
      return event.outcome === 'failed' || event.warning !== undefined ? 'warn' : 'info';
    case 'users-loaded':
      return event.problems.length > 0 || event.users === 0 ? 'warn' : 'info';
    case 'gateway-started':
    case 'worker-started':
    case 'storage-recovered':
    case 'upload-kept':
    case 'abandoned-uploads-aborted':
    case 'partner-summary':
    case 'drain-started':
    case 'drain-requested':
    case 'drain-cancelled':
    case 'gateway-stopped':
      return 'info';
    case 'unexpected-error':
    case 'worker-ended':
    case 'readiness-timeout':
      return 'error';
  }
}
