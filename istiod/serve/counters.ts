import { Histogram } from '#common/metrics/histogram.ts';
import type { HistogramFamily } from '#common/metrics/histogram-text.ts';
import { type MetricFamily, single, singleHistogram } from '#common/metrics/registry.ts';
import { shortType } from '#xds/resource.ts';

/** Seconds: those that dashboards know, and below them those in which we are. */
const BOUNDS: readonly number[] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 3, 5, 10, 20, 30];

/** What the xDS service counts, under the names that dashboards of such services read. */
export class DiscoveryCounters {
  readonly #pushes = new Map<string, number>();
  readonly #rejects = new Map<string, number>();
  readonly #stale = new Map<string, number>();
  readonly #bytes = new Map<string, number>();

  readonly #triggers = new Map<string, number>();
  readonly #debounced = new Histogram(BOUNDS);
  readonly #queued = new Histogram(BOUNDS);
  readonly #converged = new Histogram(BOUNDS);

  /** Clients are about to be told of changes of these types; the first came so long ago. */
  triggered(types: Iterable<string>, debouncedMs: number): void {
    for (const type of types) add(this.#triggers, type, 1);
    this.#debounced.observe(debouncedMs / 1_000);
  }

  /** A client was told, so long after it had begun to wait, and after the first of the changes came. */
  told(queuedMs: number, convergedMs: number): void {
    this.#queued.observe(queuedMs / 1_000);
    this.#converged.observe(convergedMs / 1_000);
  }

  sent(typeUrl: string, bytes: number): void {
    add(this.#pushes, typeUrl, 1);
    add(this.#bytes, typeUrl, bytes);
  }

  refused(typeUrl: string): void {
    add(this.#rejects, typeUrl, 1);
  }

  stale(typeUrl: string): void {
    add(this.#stale, typeUrl, 1);
  }

  families(gauges: {
    readonly clients: () => number;
    readonly waiting: () => number;
    readonly services: () => number;
    readonly version: string;
  }): readonly (MetricFamily | HistogramFamily)[] {
    return [
      single('gauge', 'pilot_xds', 'Clients that are connected', gauges.clients),
      single(
        'gauge',
        'pilot_push_queue',
        'Clients that wait to be told of changes',
        gauges.waiting,
      ),
      single('gauge', 'pilot_services', 'Services that are known', gauges.services),
      byType('pilot_push_triggers', 'Changes that clients had to be told of', this.#triggers),
      histogram(
        'pilot_debounce_time',
        'From a change until it is pushed, seconds',
        this.#debounced,
      ),
      histogram('pilot_proxy_queue_time', 'A client waited to be told, seconds', this.#queued),
      histogram(
        'pilot_proxy_convergence_time',
        'From a change until a client is told of it, seconds',
        this.#converged,
      ),
      byType('pilot_xds_pushes', 'Responses sent', this.#pushes),
      byType('pilot_xds_sent_bytes', 'Bytes of responses sent', this.#bytes),
      byType('pilot_total_xds_rejects', 'Responses that clients refused', this.#rejects),
      byType('pilot_xds_expired_nonce', 'Answers to responses that were never sent', this.#stale),
      {
        kind: 'gauge',
        name: 'pilot_info',
        help: 'What is running',
        read: () => [{ labels: { version: gauges.version }, value: 1 }],
      },
    ];
  }
}

function add(counts: Map<string, number>, typeUrl: string, amount: number): void {
  counts.set(typeUrl, (counts.get(typeUrl) ?? 0) + amount);
}

function byType(name: string, help: string, counts: ReadonlyMap<string, number>): MetricFamily {
  return {
    kind: 'counter',
    name,
    help,
    read: () =>
      [...counts].map(([typeUrl, value]) => ({ labels: { type: shortType(typeUrl) }, value })),
  };
}

function histogram(name: string, help: string, counts: Histogram): HistogramFamily {
  return singleHistogram(name, help, () => counts.read());
}
