/**
 * Metrics for CloudWatch, as log lines in embedded metric format: CloudWatch Logs extracts the metrics, and the task calls no
 * API. One line holds the counts of one minute; a line for each cause of failed transfers in that minute follows. (Amazon CloudWatch
 * User Guide, "Embedded metric format".)
 */
import type { CauseCode } from './cause.ts';
import type { GatewayEvent, Observe } from './event.ts';
import { failureCause, type Gauges, transferDirection } from './metrics.ts';

export type EmbeddedMetrics = {
  readonly observe: Observe;
  /** Writes the counts of the last, incomplete minute. */
  close(): void;
};

const counts = [
  'SessionsOpened',
  'SessionsRefused',
  'LoginsAccepted',
  'LoginsRefused',
  'LoginsFailed',
  'LoginBans',
  'UploadsCompleted',
  'UploadsNotCompleted',
  'DownloadsCompleted',
  'DownloadsNotCompleted',
  'TransfersCompleted',
  'TransfersFailed',
  'PassivePortsExhausted',
  'StorageErrors',
  'StorageRetries',
  'UnexpectedErrors',
  'ConfigReloadFailures',
  'SessionsWhileDraining',
] as const;
const sizes = ['UploadBytes', 'DownloadBytes'] as const;
/** What the primary of worker processes observes itself: each worker writes the other counts of its own. */
const primaryCounts = ['WorkersEnded', 'ConfigReloadFailures'] as const;
type Sum = (typeof counts)[number] | (typeof sizes)[number] | (typeof primaryCounts)[number];
type Sums = ReadonlyMap<Sum, number>;

/** A metric of one line: its name, its unit, and its value. */
type MetricValue = readonly [name: string, unit: 'Count' | 'Bytes' | 'Seconds', value: number];

const periodMs = 60_000;

/** `writeLine` gets a line without a line end. */
type WriteLine = (line: string) => void;

/** Writes nothing without a namespace. */
export function startEmbeddedMetrics(
  namespace: string | undefined,
  { gauges, writeLine }: { readonly gauges: () => Gauges; readonly writeLine: WriteLine },
): EmbeddedMetrics {
  return startCounting(namespace, writeLine, (...period) => embeddedMetricLine(...period, gauges()));
}

/** The metrics of a primary, which has no sessions of its own. `workers` are those that run. Writes nothing without a namespace. */
export function startPrimaryMetrics(
  namespace: string | undefined,
  { workers, writeLine }: { readonly workers: () => number; readonly writeLine: WriteLine },
): EmbeddedMetrics {
  return startCounting(namespace, writeLine, (...period) => primaryMetricLine(...period, workers()));
}

type Period = readonly [namespace: string, timestampMs: number, sums: Sums];

function startCounting(
  namespace: string | undefined,
  writeLine: WriteLine,
  lineOf: (...period: Period) => string,
): EmbeddedMetrics {
  if (namespace === undefined) return { observe: () => undefined, close: () => undefined };
  let sums = new Map<Sum, number>();
  let failures = new Map<CauseCode, number>();
  const write = (): void => {
    const timestampMs = Date.now();
    writeLine(lineOf(namespace, timestampMs, sums));
    for (const [cause, count] of failures) {
      writeLine(causeMetricLine(namespace, timestampMs, cause, count));
    }
    sums = new Map();
    failures = new Map();
  };
  const timer = setInterval(write, periodMs);
  return {
    observe(event) {
      for (const [sum, amount] of sumsOf(event)) sums.set(sum, (sums.get(sum) ?? 0) + amount);
      const cause = event.event === 'transfer' ? failureCause(event) : undefined;
      if (cause !== undefined) failures.set(cause, (failures.get(cause) ?? 0) + 1);
    },
    close() {
      clearInterval(timer);
      write();
    },
  };
}

/** The line of one period. It includes zeros, so that an alarm sees a quiet minute instead of missing data. */
export function embeddedMetricLine(
  namespace: string,
  timestampMs: number,
  sums: Sums,
  {
    sessions,
    passivePortWaiters,
    transferMemoryBytes,
    storageFailingSeconds = 0,
    certificateSecondsLeft,
  }: Gauges,
): string {
  const daysLeft = certificateSecondsLeft === undefined ? [] : [Math.floor(certificateSecondsLeft / 86_400)];
  return metricLine(namespace, timestampMs, [
    ...counts.map((name): MetricValue => [name, 'Count', sums.get(name) ?? 0]),
    ...sizes.map((name): MetricValue => [name, 'Bytes', sums.get(name) ?? 0]),
    ['Sessions', 'Count', sessions],
    ['PassivePortWaiters', 'Count', passivePortWaiters],
    ['TransferMemoryBytes', 'Bytes', transferMemoryBytes],
    ['StorageFailingSeconds', 'Seconds', storageFailingSeconds],
    ...daysLeft.map((days): MetricValue => ['CertificateDaysLeft', 'Count', days]),
  ]);
}

/** The line of one period of a primary. */
export function primaryMetricLine(
  namespace: string,
  timestampMs: number,
  sums: Sums,
  workers: number,
): string {
  return metricLine(namespace, timestampMs, [
    ...primaryCounts.map((name): MetricValue => [name, 'Count', sums.get(name) ?? 0]),
    ['Workers', 'Count', workers],
  ]);
}

function metricLine(namespace: string, timestampMs: number, metrics: readonly MetricValue[]): string {
  return JSON.stringify({
    _aws: {
      Timestamp: timestampMs,
      CloudWatchMetrics: [
        {
          Namespace: namespace,
          Dimensions: [[]],
          Metrics: metrics.map(([Name, Unit]) => ({ Name, Unit })),
        },
      ],
    },
    ...Object.fromEntries(metrics.map(([name, , value]) => [name, value])),
  });
}

/**
 * Failed transfers of one cause. The dimension takes values of the closed list of causes only, and zeros are not written, because
 * CloudWatch charges each combination of a metric and a dimension value in the hours in which it is written.
 */
function causeMetricLine(namespace: string, timestampMs: number, cause: CauseCode, count: number): string {
  return JSON.stringify({
    _aws: {
      Timestamp: timestampMs,
      CloudWatchMetrics: [
        {
          Namespace: namespace,
          Dimensions: [['Cause']],
          Metrics: [{ Name: 'TransfersFailed', Unit: 'Count' }],
        },
      ],
    },
    Cause: cause,
    TransfersFailed: count,
  });
}

/** The sums that an event increments. */
function sumsOf(event: GatewayEvent): readonly (readonly [sum: Sum, amount: number])[] {
  switch (event.event) {
    case 'session-opened':
      return [['SessionsOpened', 1]];
    case 'session-refused':
      return [['SessionsRefused', 1]];
    case 'login':
      if (event.outcome === 'accepted') return [['LoginsAccepted', 1]];
      return [[event.outcome === 'failed' ? 'LoginsFailed' : 'LoginsRefused', 1]];
    case 'login-ban':
      return [['LoginBans', 1]];
    case 'transfer':
      return transferSums(event);
    case 'passive-ports-exhausted':
      return [['PassivePortsExhausted', 1]];
    case 'storage-error':
      return event.retrying ? [] : [['StorageErrors', 1]];
    case 'storage-retry':
      return [['StorageRetries', 1]];
    case 'unexpected-error':
      return [['UnexpectedErrors', 1]];
    case 'config-reload-failed':
      return [['ConfigReloadFailures', 1]];
    case 'worker-ended':
      return [['WorkersEnded', 1]];
    case 'session-while-draining':
      return [['SessionsWhileDraining', 1]];
    case 'session-closed':
    case 'command':
    case 'partner-summary':
    case 'tls-failed':
    case 'stray-data-connection':
    case 'unlisted-object':
    case 'storage-slow':
    case 'storage-recovered':
    case 'upload-kept':
    case 'variable-misspelt':
    case 'port-busy':
    case 'gateway-started':
    case 'workers-limited':
    case 'worker-started':
    case 'descriptors-insufficient':
    case 'drain-started':
    case 'drain-requested':
    case 'drain-cancelled':
    case 'readiness-timeout':
    case 'gateway-stopped':
    case 'users-loaded':
    case 'certificate-loaded':
    case 'certificate-expiring':
    case 'abandoned-uploads-aborted':
      return [];
  }
}

type Transfer = Extract<GatewayEvent, { event: 'transfer' }>;

function transferSums(event: Transfer): readonly (readonly [sum: Sum, amount: number])[] {
  const direction = transferDirection(event);
  const all = transferSum(event);
  if (direction === 'listing') return all;
  const noun = direction === 'upload' ? 'Upload' : 'Download';
  return [
    ...all,
    [`${noun}s${event.outcome === 'completed' ? 'Completed' : 'NotCompleted'}`, 1],
    [`${noun}Bytes`, event.sizeBytes],
  ];
}

/** Listings included. */
function transferSum(event: Transfer): readonly (readonly [sum: Sum, amount: number])[] {
  if (event.outcome === 'completed') return [['TransfersCompleted', 1]];
  return event.cause === 'ABOR' ? [] : [['TransfersFailed', 1]];
}
