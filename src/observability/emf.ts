/**
 * Metrics for CloudWatch, as log lines in embedded metric format: CloudWatch Logs makes metrics of them without an API call
 * of the task. One line a minute holds what happened in it. (Amazon CloudWatch User Guide, "Embedded metric format".)
 */
import type { GatewayEvent, Observe } from './event.ts';
import { type Gauges, transferDirection } from './metrics.ts';

export type EmbeddedMetrics = {
  readonly observe: Observe;
  /** Writes the last, short minute. */
  close(): void;
};

const counts = [
  'SessionsOpened',
  'SessionsRefused',
  'LoginsAccepted',
  'LoginsRefused',
  'LoginsFailed',
  'UploadsCompleted',
  'UploadsNotCompleted',
  'DownloadsCompleted',
  'DownloadsNotCompleted',
  'PassivePortsExhausted',
  'StorageErrors',
  'UnexpectedErrors',
  'ConfigReloadFailures',
  'SessionsWhileDraining',
] as const;
const sizes = ['UploadBytes', 'DownloadBytes'] as const;
type Sum = (typeof counts)[number] | (typeof sizes)[number];

const periodMs = 60_000;

type EmbeddedMetricsOptions = {
  readonly gauges: () => Gauges;
  readonly writeLine: (line: string) => void;
};

/** With no namespace nothing is written. `writeLine` gets a line without its end. */
export function startEmbeddedMetrics(
  namespace: string | undefined,
  { gauges, writeLine }: EmbeddedMetricsOptions,
): EmbeddedMetrics {
  if (namespace === undefined) return { observe: () => undefined, close: () => undefined };
  let sums = new Map<Sum, number>();
  const write = (): void => {
    writeLine(embeddedMetricLine(namespace, Date.now(), sums, gauges()));
    sums = new Map();
  };
  const timer = setInterval(write, periodMs);
  return {
    observe(event) {
      for (const [sum, amount] of sumsOf(event)) sums.set(sum, (sums.get(sum) ?? 0) + amount);
    },
    close() {
      clearInterval(timer);
      write();
    },
  };
}

/** The line of one period. Zeros are written too: an alarm should see a quiet minute, not a missing one. */
export function embeddedMetricLine(
  namespace: string,
  timestampMs: number,
  sums: ReadonlyMap<Sum, number>,
  { sessions, passivePortWaiters, transferMemoryBytes, certificateDaysLeft }: Gauges,
): string {
  const values = Object.fromEntries([...counts, ...sizes].map((name) => [name, sums.get(name) ?? 0]));
  const metrics = [
    ...counts.map((Name) => ({ Name, Unit: 'Count' })),
    ...sizes.map((Name) => ({ Name, Unit: 'Bytes' })),
    { Name: 'Sessions', Unit: 'Count' },
    { Name: 'PassivePortWaiters', Unit: 'Count' },
    { Name: 'TransferMemoryBytes', Unit: 'Bytes' },
    ...(certificateDaysLeft === undefined ? [] : [{ Name: 'CertificateDaysLeft', Unit: 'Count' }]),
  ];
  return JSON.stringify({
    _aws: {
      Timestamp: timestampMs,
      CloudWatchMetrics: [{ Namespace: namespace, Dimensions: [[]], Metrics: metrics }],
    },
    ...values,
    Sessions: sessions,
    PassivePortWaiters: passivePortWaiters,
    TransferMemoryBytes: transferMemoryBytes,
    ...(certificateDaysLeft !== undefined && { CertificateDaysLeft: certificateDaysLeft }),
  });
}

/** What an event adds to the sums of its minute. */
function sumsOf(event: GatewayEvent): readonly (readonly [sum: Sum, amount: number])[] {
  switch (event.event) {
    case 'session-opened':
      return [['SessionsOpened', 1]];
    case 'session-refused':
      return [['SessionsRefused', 1]];
    case 'login':
      if (event.outcome === 'accepted') return [['LoginsAccepted', 1]];
      return [[event.outcome === 'failed' ? 'LoginsFailed' : 'LoginsRefused', 1]];
    case 'transfer':
      return transferSums(event);
    case 'passive-ports-exhausted':
      return [['PassivePortsExhausted', 1]];
    case 'storage-error':
      return [['StorageErrors', 1]];
    case 'unexpected-error':
      return [['UnexpectedErrors', 1]];
    case 'config-reload-failed':
      return [['ConfigReloadFailures', 1]];
    case 'session-while-draining':
      return [['SessionsWhileDraining', 1]];
    case 'session-closed':
    case 'stray-data-connection':
    case 'unlisted-object':
    case 'gateway-started':
    case 'descriptors-insufficient':
    case 'drain-started':
    case 'drain-requested':
    case 'drain-cancelled':
    case 'readiness-timeout':
    case 'gateway-stopped':
    case 'users-loaded':
    case 'certificate-loaded':
    case 'abandoned-uploads-aborted':
      return [];
  }
}

function transferSums(event: Extract<GatewayEvent, { event: 'transfer' }>) {
  const direction = transferDirection(event);
  if (direction === 'listing') return [];
  const noun = direction === 'upload' ? 'Upload' : 'Download';
  return [
    [`${noun}s${event.outcome === 'completed' ? 'Completed' : 'NotCompleted'}`, 1],
    [`${noun}Bytes`, event.sizeBytes],
  ] as const;
}
