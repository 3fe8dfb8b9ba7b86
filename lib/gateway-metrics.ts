/** The metrics that tasks write to their log in embedded metric format (src/observability/emf.ts), as CDK metrics. */
import { Duration } from 'aws-cdk-lib';
import { Metric, type MetricOptions, Stats } from 'aws-cdk-lib/aws-cloudwatch';

/** Each with the statistic that makes sense over several slots. */
const statistics = {
  SessionsOpened: Stats.SUM,
  SessionsRefused: Stats.SUM,
  LoginsAccepted: Stats.SUM,
  LoginsRefused: Stats.SUM,
  LoginsFailed: Stats.SUM,
  LoginBans: Stats.SUM,
  UploadsCompleted: Stats.SUM,
  UploadsNotCompleted: Stats.SUM,
  DownloadsCompleted: Stats.SUM,
  DownloadsNotCompleted: Stats.SUM,
  TransfersCompleted: Stats.SUM,
  TransfersFailed: Stats.SUM,
  PassivePortsExhausted: Stats.SUM,
  StorageErrors: Stats.SUM,
  StorageRetries: Stats.SUM,
  StorageFailingSeconds: Stats.MAXIMUM,
  UnexpectedErrors: Stats.SUM,
  ConfigReloadFailures: Stats.SUM,
  UploadBytes: Stats.SUM,
  DownloadBytes: Stats.SUM,
  Sessions: Stats.SUM,
  SessionsWhileDraining: Stats.SUM,
  PassivePortWaiters: Stats.SUM,
  TransferMemoryBytes: Stats.SUM,
  CertificateDaysLeft: Stats.MINIMUM,
  WorkersEnded: Stats.SUM,
  Workers: Stats.SUM,
} as const;

export type GatewayMetricName = keyof typeof statistics;

export const gatewayMetricNames = Object.keys(statistics) as readonly GatewayMetricName[];

/** A metric of the namespace, by the minute unless the options say otherwise. */
export function gatewayMetric(
  namespace: string,
  metricName: GatewayMetricName,
  options: MetricOptions = {},
): Metric {
  return new Metric({
    namespace,
    metricName,
    statistic: statistics[metricName],
    period: Duration.minutes(1),
    ...options,
  });
}
