/**
 * The metrics of several processes as those of one. Counters, histograms and most gauges are sums; `aggregators`, and the
 * `aggregator` of a gauge, name the others.
 */
import { AggregatorRegistry, type Registry } from 'prom-client';

/** One metric of one process, as `Registry.getMetricsAsJSON` returns it. */
export type MetricSnapshot = {
  readonly name: string;
  readonly type: string;
  readonly aggregator?: string;
};

/** Metrics of Node that prom-client would add up, average or leave out. */
const aggregators: Readonly<Record<string, string>> = {
  // Each process has a limit of its own: the one that is closest to it counts.
  process_open_fds: 'max',
  process_max_fds: 'min',
  process_start_time_seconds: 'min',
  nodejs_eventloop_lag_seconds: 'max',
  nodejs_eventloop_lag_mean_seconds: 'max',
  nodejs_eventloop_lag_stddev_seconds: 'max',
  nodejs_eventloop_lag_p50_seconds: 'max',
  nodejs_eventloop_lag_p90_seconds: 'max',
  nodejs_eventloop_lag_p99_seconds: 'max',
};

/** The current values of all metrics of a registry. */
export async function snapshotOf(registry: Registry): Promise<readonly MetricSnapshot[]> {
  // The declared type of `type` is a number; its values are words.
  return (await registry.getMetricsAsJSON()) as unknown as readonly MetricSnapshot[];
}

/** Merges the snapshots of several processes into a registry. */
export function mergeSnapshots(processes: readonly (readonly MetricSnapshot[])[]): Registry {
  return AggregatorRegistry.aggregate(
    processes.map((metrics) =>
      metrics.map((metric) => ({ ...metric, aggregator: aggregators[metric.name] ?? metric.aggregator })),
    ),
  );
}

/**
 * What still counts when a process has ended: without it a sum would become smaller, which looks like a restart of all
 * processes.
 */
export function countersOf(metrics: readonly MetricSnapshot[]): readonly MetricSnapshot[] {
  return metrics.filter(({ type }) => type === 'counter' || type === 'histogram');
}
