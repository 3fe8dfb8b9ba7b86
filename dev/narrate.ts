/** Log lines of `npm start` for people; the gateway itself logs JSON. */
import type { GatewayEvent } from '../src/observability/event.ts';

/** One line of text, or undefined for events that are of no interest in a trial. */
export function narrate(event: GatewayEvent): string | undefined {
  switch (event.event) {
    case 'login':
      return `${event.username}: login ${event.outcome} (${[event.clientAddress, ...(event.tls ? ['TLS'] : []), ...(event.cause === undefined ? [] : [event.cause])].join(', ')})`;
    case 'login-ban':
      return `${event.source}: banned for ${event.seconds} s after wrong passwords`;
    case 'transfer': {
      const { username, verb, pathname, outcome, cause, sizeBytes, durationMs } = event;
      const end = cause === undefined ? outcome : `${outcome} (${cause})`;
      return `${username}: ${verb} ${pathname} ${end}, ${sizeBytes} bytes in ${Math.round(durationMs)} ms`;
    }
    case 'session-refused':
      return `${event.clientAddress}: refused (${event.cause})`;
    case 'command':
      return `${event.username ?? event.clientAddress}: ${event.verb} ${event.pathname ?? event.argument ?? ''} ${event.outcome}${event.cause === undefined ? '' : ` (${event.cause})`}`;
    case 'tls-failed':
      return `${event.clientAddress}: TLS failed on the ${event.connection} connection (${event.cause})`;
    case 'certificate-expiring':
      return event.daysLeft < 0
        ? `The certificate of ${event.subject} has expired (${event.notAfter}): clients reject it.`
        : `The certificate of ${event.subject} expires in ${event.daysLeft} days.`;
    case 'users-loaded':
      return [usersText(event.users), ...event.problems].join('\n');
    case 'port-busy':
      return `${event.name} ${event.port} is the local port of a connection to ${event.remote} (${event.state}); waiting for its end.`;
    case 'variable-misspelt':
      return `${event.name} is set and not known: is ${event.meant} meant?`;
    case 'config-reload-failed':
      return `${event.config}: ${event.reason}`;
    case 'storage-error': {
      const where = event.endpoint === undefined ? '' : ` at ${event.endpoint}`;
      const end = event.retrying ? '; trying again' : '';
      return `S3: ${event.operation} failed with ${event.errorName}${where} [${event.cause}]${end}`;
    }
    case 'storage-slow':
      return `S3: no response to ${event.operation} for ${Math.round(event.waitingMs / 1000)} s [${event.cause}]`;
    case 'storage-recovered':
      return `S3: ${event.operation} succeeds again after ${Math.round(event.failingMs / 1000)} s`;
    case 'passive-ports-exhausted':
      return `${event.clientAddress}: no passive port became free in time`;
    case 'unlisted-object':
      return `S3: ${event.key} is left out of listings: ${event.reason}`;
    case 'drain-started':
      return event.sessions === 0
        ? 'Stopping.'
        : 'Stopping when the transfers are done; press Ctrl-C again to abort them.';
    case 'unexpected-error':
      return `Unexpected error: ${event.error instanceof Error ? (event.error.stack ?? '') : String(event.error)}`;
    case 'descriptors-insufficient':
      return `The ${event.limit} file descriptors of this process are enough for ${event.sessionsWithinLimit} sessions that all move files, not for ${event.maxSessions}.`;
    case 'workers-limited':
      return `Worker processes: ${event.workers} of ${event.cores ?? 'unknown'} cores, because of ${event.limit}.`;
    case 'worker-ended':
      return `Worker ${event.worker} has ended (${event.signal ?? `exit code ${event.code}`}), and its sessions with it.`;
    case 'upload-kept':
    case 'partner-summary':
    case 'storage-retry':
    case 'session-opened':
    case 'session-closed':
    case 'stray-data-connection':
    case 'gateway-started':
    case 'worker-started':
    case 'gateway-stopped':
    case 'drain-requested':
    case 'drain-cancelled':
    case 'session-while-draining':
    case 'readiness-timeout':
    case 'certificate-loaded':
    case 'abandoned-uploads-aborted':
      return undefined;
  }
}

function usersText(users: number): string {
  if (users === 0) return 'No user can log in: the list of users has no valid entry.';
  return users === 1 ? '1 user can log in.' : `${users} users can log in.`;
}
