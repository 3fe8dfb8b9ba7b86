/**
 * A histogram with one label for the registry of prom-client. It is observed for each request to the storage and each transfer, and
 * prom-client's own takes ten times as long, because it validates and hashes the labels each time.
 */
import type { Metric, Registry } from 'prom-client';

export type HistogramOptions = {
  readonly name: string;
  readonly help: string;
  /** The name of the label. It must take few values: each has its own series for the life of the process. */
  readonly label: string;
  /** Upper bounds, ascending. */
  readonly bounds: readonly number[];
};

type Series = { readonly counts: number[]; sum: number; count: number };

/** A value as prom-client's registry prints and merges it. */
type Sample = {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
};

export class LabelledHistogram {
  readonly name: string;
  readonly help: string;
  readonly type = 'histogram';
  readonly aggregator = 'sum';
  readonly labelNames: readonly string[];
  readonly #label: string;
  readonly #bounds: readonly number[];
  readonly #series = new Map<string, Series>();

  /** Registers itself. @throws if the registry has a metric of this name. */
  constructor({ name, help, label, bounds }: HistogramOptions, registry: Registry) {
    this.name = name;
    this.help = help;
    this.labelNames = [label];
    this.#label = label;
    this.#bounds = bounds;
    registry.registerMetric(this as unknown as Metric);
  }

  observe(labelValue: string, value: number): void {
    let series = this.#series.get(labelValue);
    if (!series) {
      series = { counts: this.#bounds.map(() => 0), sum: 0, count: 0 };
      this.#series.set(labelValue, series);
    }
    series.sum += value;
    series.count += 1;
    const index = this.#bounds.findIndex((bound) => value <= bound);
    if (index !== -1) series.counts[index] = (series.counts[index] ?? 0) + 1;
  }

  /** Called by the registry at each scrape. */
  get(): Promise<object> {
    const { name, help, type, aggregator } = this;
    const values = [...this.#series].flatMap(([labelValue, series]) => this.#samplesOf(labelValue, series));
    return Promise.resolve({ name, help, type, aggregator, values });
  }

  /** Called by the registry's own reset. */
  reset(): void {
    this.#series.clear();
  }

  #samplesOf(labelValue: string, { counts, sum, count }: Series): Sample[] {
    const label = { [this.#label]: labelValue };
    let cumulative = 0;
    const buckets = this.#bounds.map((bound, index): Sample => {
      cumulative += counts[index] ?? 0;
      return { metricName: `${this.name}_bucket`, labels: { le: bound, ...label }, value: cumulative };
    });
    return [
      ...buckets,
      { metricName: `${this.name}_bucket`, labels: { le: '+Inf', ...label }, value: count },
      { metricName: `${this.name}_sum`, labels: label, value: sum },
      { metricName: `${this.name}_count`, labels: label, value: count },
    ];
  }
}
