import type { MetricFamily } from '#common/metrics/registry.ts';
import { single } from '#common/metrics/registry.ts';
import type { Reporter } from './connection-labels.ts';
import type { Series, TrafficEntry, TrafficMetrics } from './metrics.ts';

/** The traffic metrics, read from the sums that the control thread keeps. `overflowed`: of series kept elsewhere. */
export function trafficFamilies(
  totals: TrafficMetrics,
  overflowed: () => number = () => 0,
): readonly MetricFamily[] {
  const family = (name: keyof typeof HELP, pick: (series: Readonly<Series>) => number) =>
    trafficFamily(totals, name, pick);
  return [
    family('connections_opened', (series) => series.opened),
    family('connections_closed', (series) => series.closed),
    family('connections_failed', (series) => series.failed),
    family('sent_bytes', (series) => series.sentBytes),
    family('received_bytes', (series) => series.receivedBytes),
    single(
      'counter',
      'ambit_metric_series_overflow_total',
      'How often labels were made coarse because there were too many different ones',
      () => totals.overflowed + overflowed(),
    ),
  ];
}

/** Sockets accepted and still open, those of refused connections too. */
export function socketFamilies(
  read: () => Readonly<Record<Reporter, number>>,
): readonly MetricFamily[] {
  return [
    {
      kind: 'gauge',
      name: 'istio_tcp_sockets_open',
      help: 'Accepted sockets that are open (unstable)',
      read: () => {
        const { source, destination } = read();
        return [
          { labels: SOURCE, value: source },
          { labels: DESTINATION, value: destination },
        ];
      },
    },
  ];
}

export function buildFamilies(
  component: 'ztunnel' | 'waypoint',
  tag: string,
): readonly MetricFamily[] {
  const labels = { component, tag };
  return [
    {
      kind: 'gauge',
      name: 'istio_build',
      help: 'What is running',
      read: () => [{ labels, value: 1 }],
    },
  ];
}

/** The pods of this node, as the workload manager counts them. */
export interface WorkloadManagerCounts {
  readonly active: number;
  readonly pending: number;
  readonly started: number;
  readonly stopped: number;
}

export function workloadManagerFamilies(
  read: () => WorkloadManagerCounts,
): readonly MetricFamily[] {
  return [
    single('gauge', 'workload_manager_active_proxy_count', 'Pods served (unstable)', () => {
      return read().active;
    }),
    single(
      'gauge',
      'workload_manager_pending_proxy_count',
      'Pods whose proxy could not start yet (unstable)',
      () => read().pending,
    ),
    single(
      'counter',
      'workload_manager_proxies_started_total',
      'Proxies of pods that were started (unstable)',
      () => read().started,
    ),
    single(
      'counter',
      'workload_manager_proxies_stopped_total',
      'Proxies of pods that were stopped (unstable)',
      () => read().stopped,
    ),
  ];
}

const HELP = {
  connections_opened: 'TCP connections opened',
  connections_closed: 'TCP connections closed',
  connections_failed: 'TCP connections that failed, by reason (unstable)',
  sent_bytes: 'Bytes from the destination to the source (the answer)',
  received_bytes: 'Bytes from the source to the destination (the request)',
} as const;

// Connections that failed have series of their own, which count their ends and nothing else.
const unlessFailed = (entry: TrafficEntry): boolean => !entry.isFailure;
const SHOWN: Readonly<Record<keyof typeof HELP, (entry: TrafficEntry) => boolean>> = {
  connections_opened: unlessFailed,
  connections_closed: () => true,
  connections_failed: (entry) => entry.isFailure,
  sent_bytes: unlessFailed,
  received_bytes: unlessFailed,
};

function trafficFamily(
  totals: TrafficMetrics,
  name: keyof typeof HELP,
  pick: (series: Readonly<Series>) => number,
): MetricFamily {
  const isShown = SHOWN[name];
  return {
    kind: 'counter',
    name: `istio_tcp_${name}_total`,
    help: HELP[name],
    read: () =>
      totals
        .entries()
        .filter(isShown)
        .map((entry) => ({ labels: entry.labels, value: pick(entry.series) })),
  };
}

const SOURCE = { reporter: 'source' };
const DESTINATION = { reporter: 'destination' };
