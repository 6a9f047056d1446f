import {
  Counter,
  Gauge,
  type MetricValueWithName,
  type OpenMetricsContentType,
  Histogram as PrometheusHistogram,
  Registry,
} from 'prom-client';

import type { HistogramReading } from './histogram.ts';

/** One number of a metric, with its labels in the order in which they are written. */
export interface Sample {
  /** Kept as text for as long as the object lives: give the same object again for the same labels. */
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A metric whose numbers are asked for when somebody looks. */
export interface MetricFamily {
  /** The full name; a counter's ends in `_total`. */
  readonly name: string;
  readonly help: string;
  readonly kind: 'counter' | 'gauge';
  readonly read: () => readonly Sample[] | Promise<readonly Sample[]>;
}

/** A metric of many amounts: how many were at most so much, for each set of labels. */
export interface HistogramFamily {
  readonly name: string;
  readonly help: string;
  readonly kind: 'histogram';
  readonly read: () => readonly HistogramSample[];
}

export interface HistogramSample {
  /** As in {@link Sample}. */
  readonly labels: Readonly<Record<string, string>>;
  readonly reading: HistogramReading;
}

/** The text formats that Prometheus reads. */
export type ExpositionFormat = 'prometheus' | 'openmetrics';

export const EXPOSITION_CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  prometheus: Registry.PROMETHEUS_CONTENT_TYPE,
  openmetrics: Registry.OPENMETRICS_CONTENT_TYPE,
};

/** All metrics of a process, as text. Two families of one name are an error. */
export class MetricsRegistry {
  // The library renames counters in place when it writes OpenMetrics: each format has its own.
  readonly #prometheus = new Registry();
  readonly #openMetrics = new Registry<OpenMetricsContentType>();

  constructor(families: readonly (MetricFamily | HistogramFamily)[]) {
    this.#openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    for (const family of families) {
      for (const registry of [this.#prometheus, this.#openMetrics]) {
        registry.registerMetric(metricOf(family));
      }
    }
  }

  render(format: ExpositionFormat): Promise<string> {
    return format === 'openmetrics' ? this.#openMetrics.metrics() : this.#prometheus.metrics();
  }
}

function metricOf(family: MetricFamily | HistogramFamily): Counter | Gauge | PrometheusHistogram {
  if (family.kind === 'histogram') return new ReadHistogram(family);
  return family.kind === 'counter' ? new ReadCounter(family) : new ReadGauge(family);
}

/** A metric that is one number. */
export function single(
  kind: MetricFamily['kind'],
  name: string,
  help: string,
  read: () => number,
): MetricFamily {
  return { kind, name, help, read: () => [{ labels: {}, value: read() }] };
}

/** OpenMetrics only when the reader names it: everything reads the older format. */
export function expositionFormat(accept: string | undefined): ExpositionFormat {
  return accept?.includes('application/openmetrics-text') === true ? 'openmetrics' : 'prometheus';
}

interface Written {
  readonly value: number;
  readonly labels: Record<string, never>;
  /** The library keeps the text of these, by the object. */
  readonly sharedLabels: Readonly<Record<string, string>>;
}

async function write(family: MetricFamily): Promise<Written[]> {
  const samples = await family.read();
  return samples.map(({ labels, value }) => ({ labels: {}, sharedLabels: labels, value }));
}

class ReadCounter extends Counter {
  readonly #family: MetricFamily;

  constructor(family: MetricFamily) {
    super({ name: family.name, help: family.help, registers: [] });
    this.#family = family;
  }

  override async get(): ReturnType<Counter['get']> {
    return { ...(await super.get()), values: await write(this.#family) };
  }
}

class ReadGauge extends Gauge {
  readonly #family: MetricFamily;

  constructor(family: MetricFamily) {
    super({ name: family.name, help: family.help, registers: [] });
    this.#family = family;
  }

  override async get(): ReturnType<Gauge['get']> {
    return { ...(await super.get()), values: await write(this.#family) };
  }
}

class ReadHistogram extends PrometheusHistogram {
  readonly #family: HistogramFamily;

  constructor(family: HistogramFamily) {
    super({ name: family.name, help: family.help, registers: [] });
    this.#family = family;
  }

  /** What the registry asks a histogram for; the library's types don't know it. */
  getForPromString(): object {
    const { name, help, read } = this.#family;
    const values: HistogramLine[] = [];
    for (const { labels: sharedLabels, reading } of read()) {
      const { buckets, sum, count } = reading;
      const line = (of: string, value: number, labels: HistogramLine['labels'] = {}): void => {
        values.push({ metricName: `${name}_${of}`, value, labels, sharedLabels });
      };
      for (const { atMost, count: below } of buckets) line('bucket', below, { le: atMost });
      line('bucket', count, { le: '+Inf' });
      line('sum', sum);
      line('count', count);
    }
    return { name, help, type: 'histogram', aggregator: 'sum', values };
  }
}

interface HistogramLine extends MetricValueWithName<'le'> {
  /** The library keeps the text of these, by the object. */
  readonly sharedLabels: Readonly<Record<string, string>>;
}

/** A histogram without labels. */
export function singleHistogram(
  name: string,
  help: string,
  read: () => HistogramReading,
): HistogramFamily {
  return { kind: 'histogram', name, help, read: () => [{ labels: NO_LABELS, reading: read() }] };
}

const NO_LABELS: Readonly<Record<string, string>> = {};
