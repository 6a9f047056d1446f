import { Counter, Gauge, type OpenMetricsContentType, Registry } from 'prom-client';

import type { HistogramReading } from './histogram.ts';
import { type HistogramFamily, histogramText } from './histogram-text.ts';

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

  readonly #histograms: readonly HistogramFamily[];
  readonly #hasOthers: boolean;

  constructor(families: readonly (MetricFamily | HistogramFamily)[]) {
    this.#openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    const others = families.filter((family) => family.kind !== 'histogram');
    this.#histograms = families.filter((family) => family.kind === 'histogram');
    this.#hasOthers = others.length > 0;
    const names = new Set<string>();
    for (const { name } of families) {
      if (names.has(name)) throw new Error(`There are two metrics of the name ${name}`);
      names.add(name);
    }
    for (const family of others) {
      for (const registry of [this.#prometheus, this.#openMetrics]) {
        registry.registerMetric(metricOf(family));
      }
    }
  }

  async render(format: ExpositionFormat): Promise<string> {
    let text = '';
    for await (const piece of this.pieces(format)) text += piece;
    return text;
  }

  /** The same in pieces, histograms last: theirs may be very large. */
  async *pieces(format: ExpositionFormat): AsyncGenerator<string> {
    const isOpen = format === 'openmetrics';
    const registry = isOpen ? this.#openMetrics : this.#prometheus;
    const others = this.#hasOthers ? await registry.metrics() : '';
    yield isOpen && this.#hasOthers ? others.slice(0, -OPENMETRICS_END.length) : others;
    let isFirst = !this.#hasOthers;
    for (const family of this.#histograms) {
      // An empty line stands between two families where the format has it.
      if (!isFirst && !isOpen) yield '\n';
      isFirst = false;
      yield* histogramText(family);
    }
    if (isOpen) yield OPENMETRICS_END;
  }
}

const OPENMETRICS_END = '# EOF\n';

function metricOf(family: MetricFamily): Counter | Gauge {
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

/** A histogram without labels. */
export function singleHistogram(
  name: string,
  help: string,
  read: () => HistogramReading,
): HistogramFamily {
  return { kind: 'histogram', name, help, read: () => [{ labels: NO_LABELS, reading: read() }] };
}

const NO_LABELS: Readonly<Record<string, string>> = {};
