import { type MetricFamily, single } from '#common/metrics/registry.ts';
import { shortType } from '#xds/resource.ts';

/** What the xDS service counts, under the names that dashboards of such services read. */
export class DiscoveryCounters {
  readonly #pushes = new Map<string, number>();
  readonly #rejects = new Map<string, number>();
  readonly #stale = new Map<string, number>();
  readonly #bytes = new Map<string, number>();

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
  }): readonly MetricFamily[] {
    return [
      single('gauge', 'pilot_xds', 'Clients that are connected', gauges.clients),
      single(
        'gauge',
        'pilot_push_queue',
        'Clients that wait to be told of changes',
        gauges.waiting,
      ),
      single('gauge', 'pilot_services', 'Services that are known', gauges.services),
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
