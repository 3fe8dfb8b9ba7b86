/**
 * An hourly summary for each user, so that "who failed, and when did it last work?" needs neither all lines of the log nor a metric
 * with the user's name as a label. Every process writes the lines of its own sessions: the lines of several worker processes have to
 * be added up like those of several hosts, so a primary that does it would save no query.
 */
import { BoundedMap } from '../util/bounded-map.ts';
import type { CauseCode } from './cause.ts';
import type { GatewayEvent, Observe } from './event.ts';
import { routineRefusals } from './log-level.ts';
import { failureCause, transferDirection } from './metrics.ts';

export type PartnerSummaries = {
  readonly observe: Observe;
  /** Writes the summaries of the last, incomplete hour. Later calls write what came since. */
  close(): void;
};

const periodMs = 3_600_000;
/** Users with a summary of their own in one period; the others are one sum. Limits the memory, and the lines of one turn. */
const maxSummaries = 1_000;
/** Users whose last success is kept over periods in which they did nothing. */
const maxLastSuccesses = 10_000;

type Counts = {
  lastSuccessMs: number | undefined;
  uploads: number;
  uploadedBytes: number;
  downloads: number;
  downloadedBytes: number;
  listings: number;
  failures: number;
  failuresByCause: Partial<Record<CauseCode, number>>;
};

/** Login refusals that only a user of the list can have; other causes come before the lookup, and unknown names are unbounded. */
const refusalsOfUsers: ReadonlySet<CauseCode | undefined> = new Set<CauseCode>([
  'LOGIN-PASSWORD',
  'LOGIN-ENTRY',
  'LIMIT-USER',
]);

/** Counts events from now on, and reports `partner-summary` events once an hour. */
export function startPartnerSummaries(report: Observe): PartnerSummaries {
  const lastSuccesses = new BoundedMap<string, number>(maxLastSuccesses);
  /** Users with activity in this period; `undefined` is the sum of those beyond the limit. */
  const active = new Map<string | undefined, Counts>();
  let startedAtMs = Date.now();

  const countsOf = (username: string): Counts => {
    const known = active.get(username);
    if (known !== undefined) return known;
    const key = active.size < maxSummaries ? username : undefined;
    const counts = active.get(key) ?? noCounts(key === undefined ? undefined : lastSuccesses.get(key));
    active.set(key, counts);
    return counts;
  };

  const write = (): void => {
    const nowMs = Date.now();
    for (const [username, { lastSuccessMs, ...counts }] of active) {
      if (username !== undefined && lastSuccessMs !== undefined) lastSuccesses.set(username, lastSuccessMs);
      report({
        event: 'partner-summary',
        ...(username !== undefined && { username }),
        periodMs: nowMs - startedAtMs,
        ...(lastSuccessMs !== undefined && { lastSuccess: new Date(lastSuccessMs).toISOString() }),
        ...counts,
      });
    }
    active.clear();
    startedAtMs = nowMs;
  };

  const timer = setInterval(write, periodMs);
  return {
    observe(event) {
      if (event.event === 'transfer') {
        if (event.outcome === 'completed') countCompleted(countsOf(event.username), event);
        else countFailure(countsOf, event.username, failureCause(event));
      } else if (event.event === 'login') {
        if (refusalsOfUsers.has(event.cause)) countFailure(countsOf, event.username, event.cause);
      } else if (event.event === 'command' && event.outcome !== 'completed') {
        if (!routineRefusals.has(event.cause)) countFailure(countsOf, event.username, event.cause);
      }
    },
    close() {
      clearInterval(timer);
      write();
    },
  };
}

function noCounts(lastSuccessMs: number | undefined): Counts {
  return {
    lastSuccessMs,
    uploads: 0,
    uploadedBytes: 0,
    downloads: 0,
    downloadedBytes: 0,
    listings: 0,
    failures: 0,
    failuresByCause: {},
  };
}

function countCompleted(counts: Counts, event: Extract<GatewayEvent, { event: 'transfer' }>): void {
  switch (transferDirection(event)) {
    case 'upload':
      counts.uploads += 1;
      counts.uploadedBytes += event.sizeBytes;
      break;
    case 'download':
      counts.downloads += 1;
      counts.downloadedBytes += event.sizeBytes;
      break;
    case 'listing':
      // A listing is no sign that files arrive: clients list directories long after the last upload.
      counts.listings += 1;
      return;
  }
  counts.lastSuccessMs = Date.now();
}

function countFailure(
  countsOf: (username: string) => Counts,
  username: string | undefined,
  cause: CauseCode | undefined,
): void {
  if (username === undefined || cause === undefined) return;
  const counts = countsOf(username);
  counts.failures += 1;
  counts.failuresByCause[cause] = (counts.failuresByCause[cause] ?? 0) + 1;
}
