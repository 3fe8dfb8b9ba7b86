/**
 * The log: JSON lines on standard output, one for each event, with the name of the event and the `sessionId` if it has one.
 * Alarms and queries use these names. No event contains a password, so no line does.
 */
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { type DestinationStream, pino, stdTimeFunctions } from 'pino';
import { sideOf } from './cause.ts';
import { LineBuffer } from './line-buffer.ts';
import { RateLimiter } from '../util/rate-limiter.ts';
import type { GatewayEvent, Observe } from './event.ts';
import { levelOf, type CommandLogLevel, type LogLevel } from './log-level.ts';

/** While standard output blocks, lines beyond this many bytes are dropped: the log must not exhaust the memory. */
const maxBufferedBytes = 8 * 1024 * 1024;
const lastLinesTimeoutMs = 1000;

export type Log = {
  readonly observe: Observe;
  /** Writes a complete line, such as metrics for CloudWatch, or several, at every level. */
  writeLine(lines: string): void;
  /** Resolves when everything is written, or after `lastLinesTimeoutMs`. Later lines are lost. */
  close(): Promise<void>;
};

export type LogOptions = {
  readonly level: LogLevel;
  /** Of commands that are refused in normal operation; `debug` by default. */
  readonly commands?: CommandLogLevel;
  /** The number of this worker process, where several processes write the log together; it is in each line. */
  readonly worker?: number;
};

/** Where lines go. `isAudit` marks those that are dropped last. */
export type LogDestination = {
  write(line: string, isAudit: boolean): void;
  /** How many lines were dropped since the last call. */
  takeDropped?(): number;
};

/** The events of an audit: connections, logins, refusals, bans and transfers. */
const auditEvents: ReadonlySet<GatewayEvent['event']> = new Set(['login', 'login-ban', 'transfer']);

/** Opens the log on standard output. Writing never blocks. */
export function openLog(options: LogOptions): Log {
  const destination = pino.destination({ fd: 1, sync: false, maxLength: maxBufferedBytes });
  // A closed standard output must not end the gateway.
  destination.on('error', () => undefined);
  const buffer = new LineBuffer(maxBufferedBytes);
  destination.on('write', (bytes: number) => buffer.written(bytes));
  let isClosed = false;
  const writable: LogDestination = {
    write(line, isAudit) {
      if (!isClosed && buffer.admit(Buffer.byteLength(line), isAudit)) destination.write(line);
    },
    takeDropped: () => buffer.takeDropped(),
  };
  return {
    observe: observeWithLog(options, writable),
    writeLine(lines) {
      if (isClosed) return;
      const ended = `${lines}\n`;
      if (buffer.admit(Buffer.byteLength(ended), false, lines.split('\n').length)) destination.write(ended);
    },
    async close() {
      isClosed = true;
      const written = once(destination, 'close');
      destination.end();
      await Promise.race([written, setTimeout(lastLinesTimeoutMs, undefined, { ref: false })]);
    },
  };
}

/** Lines of one address and one event in a minute: anyone can cause these events, as fast as they can connect. */
const maxLinesPerMinute = 30;
const limitedEvents: ReadonlySet<GatewayEvent['event']> = new Set([
  'session-refused',
  'tls-failed',
  'stray-data-connection',
  'command',
]);

/** Probes and scanners complete a handshake and close, as clients do that do not trust the certificate: one line is enough. */
const unusedTlsWindowMs = 10 * 60_000;

/**
 * Limits lines of a client address. The first line after others were left out has their number in `suppressed`, and the first one
 * after lines were lost because standard output was too slow has theirs in `dropped`.
 */
export function observeWithLog(
  { level, commands = 'debug', worker }: LogOptions,
  destination: LogDestination,
): Observe {
  const limiter = new RateLimiter({ maxPerWindow: maxLinesPerMinute, windowMs: 60_000 });
  const unusedTls = new RateLimiter({ maxPerWindow: 1, windowMs: unusedTlsWindowMs });
  const suppressedBefore = (event: GatewayEvent): number | undefined => {
    const isLimited =
      'clientAddress' in event &&
      (limitedEvents.has(event.event) || (event.event === 'login' && event.outcome === 'throttled'));
    // What was changed is always logged.
    if (!isLimited || (event.event === 'command' && event.outcome !== 'refused')) return 0;
    if (event.event === 'tls-failed' && event.cause === 'TLS-UNUSED')
      return unusedTls.admit(event.clientAddress);
    // Many connections at once, of any number of addresses.
    if (event.event === 'session-refused' && event.reset === true) return limiter.admit('reset');
    return limiter.admit(`${event.event} ${event.clientAddress}`);
  };
  let isAudit = false;
  // pino writes a line before its call returns.
  const stream: DestinationStream = { write: (line) => destination.write(line, isAudit) };
  const logger = pino(
    {
      level,
      base: worker === undefined ? null : { worker },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // Errors as values of an event are shown with their causes and stacks.
      serializers: { error: pino.stdSerializers.errWithCause },
    },
    stream,
  );
  return (event) => {
    const eventLevel = levelOf(event, commands);
    if (!logger.isLevelEnabled(eventLevel)) return;
    const suppressed = suppressedBefore(event);
    if (suppressed === undefined) return;
    isAudit = auditEvents.has(event.event);
    const dropped = destination.takeDropped?.() ?? 0;
    logger[eventLevel]({ ...lineOf(event, suppressed), ...(dropped > 0 && { dropped }) });
  };
}

/** The event, with the side of its cause where it has one, and with names of limited length. */
function lineOf(event: GatewayEvent, suppressed: number): object {
  return {
    ...event,
    ...('cause' in event && { side: sideOf(event.cause) }),
    ...(suppressed > 0 && { suppressed }),
    ...shortenedNames(event),
  };
}

/** Characters of a name that a line shows. `bucket` and `key` are complete: S3 limits them to 1,024 bytes. */
const maxNameCharacters = 128;
const names = ['username', 'pathname', 'to', 'argument'] as const;

/**
 * The names that clients chose, where they are too long or contain characters that a terminal would interpret: control characters,
 * and those that change the direction of text (JSON escapes only the former, and only below U+0020).
 */
function shortenedNames(event: GatewayEvent): Partial<Record<(typeof names)[number], string>> {
  const shortened: Partial<Record<(typeof names)[number], string>> = {};
  for (const name of names) {
    const value = (event as Partial<Record<(typeof names)[number], string>>)[name];
    if (value === undefined || (value.length <= maxNameCharacters && !unsafeCharacters.test(value))) continue;
    const start = value.length <= maxNameCharacters ? value : `${value.slice(0, maxNameCharacters - 1)}…`;
    shortened[name] = start.replaceAll(
      /[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
  }
  return shortened;
}

const unsafeCharacters = /[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/;
