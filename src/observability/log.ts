/**
 * The log: JSON lines on standard output, one for each event, with the name of the event and the `sessionId` if it has one.
 * Alarms and queries use these names. No event contains a password, so no line does.
 */
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { type DestinationStream, pino, stdTimeFunctions } from 'pino';
import { sideOf } from './cause.ts';
import type { GatewayEvent, Observe } from './event.ts';

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

/** While standard output blocks, lines beyond this many bytes are dropped: the log must not exhaust the memory. */
const maxBufferedBytes = 8 * 1024 * 1024;
const lastLinesTimeoutMs = 1000;

export type Log = {
  readonly observe: Observe;
  /** Writes a complete line, such as metrics for CloudWatch, at every level. */
  writeLine(line: string): void;
  /** Resolves when everything is written, or after `lastLinesTimeoutMs`. Later lines are lost. */
  close(): Promise<void>;
};

/**
 * Opens the log on standard output. Writing never blocks. Where several processes write it together, each line of a worker
 * process has its number.
 */
export function openLog(level: LogLevel, worker?: number): Log {
  const destination = pino.destination({ fd: 1, sync: false, maxLength: maxBufferedBytes });
  // A closed standard output must not end the gateway.
  destination.on('error', () => undefined);
  let isClosed = false;
  const writable: DestinationStream = {
    write(line) {
      if (!isClosed) destination.write(line);
    },
  };
  return {
    observe: observeWithLog(level, writable, worker),
    writeLine: (line) => writable.write(`${line}\n`),
    async close() {
      isClosed = true;
      const written = once(destination, 'close');
      destination.end();
      await Promise.race([written, setTimeout(lastLinesTimeoutMs, undefined, { ref: false })]);
    },
  };
}

export function observeWithLog(level: LogLevel, destination: DestinationStream, worker?: number): Observe {
  const logger = pino(
    {
      level,
      base: worker === undefined ? null : { worker },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // Errors as values of an event are shown with their causes and stacks.
      serializers: { error: pino.stdSerializers.errWithCause },
    },
    destination,
  );
  return (event) => logger[levelOf(event)](withSide(event));
}

/** The event, with the side of its cause where it has one. */
function withSide(event: GatewayEvent): object {
  return 'cause' in event ? { ...event, side: sideOf(event.cause) } : event;
}

/** The level of an event's log line. */
function levelOf(event: GatewayEvent): LogLevel {
  switch (event.event) {
    case 'session-opened':
    case 'session-closed':
    case 'stray-data-connection':
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
    case 'unlisted-object':
      return 'warn';
    case 'login':
      return event.outcome === 'failed' ? 'warn' : 'info';
    case 'transfer':
      return event.outcome === 'failed' ? 'warn' : 'info';
    case 'users-loaded':
      return event.problems.length > 0 || event.users === 0 ? 'warn' : 'info';
    case 'gateway-started':
    case 'worker-started':
    case 'storage-recovered':
    case 'certificate-loaded':
    case 'abandoned-uploads-aborted':
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
