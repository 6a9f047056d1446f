import { identityOf } from '#dataplane/state/workload.ts';
import {
  connectionLabels,
  type TrafficLabelValues,
} from '#dataplane/telemetry/connection-labels.ts';
import { type Series, type TrafficCounts, TrafficMetrics } from '#dataplane/telemetry/metrics.ts';
import { workloadFacts } from '#dataplane/telemetry/workload-facts.ts';

import type { TcpRecord } from '../tcp/tcp-forward.ts';

/** What was told of a connection so far. */
interface Told {
  readonly labels: TrafficLabelValues;
  readonly series: Series;
  receivedBytes: number;
  sentBytes: number;
}

/**
 * Counts connections whose bytes are not looked into, those that are open, too: what went by is asked of them whenever
 * somebody wants the numbers, so that their data path counts nothing but its own bytes.
 */
export class TcpMetrics {
  readonly #traffic = new TrafficMetrics();
  readonly #open = new Map<TcpRecord, Told | undefined>();

  opened(record: TcpRecord): void {
    // Where it goes is not known yet; it is before anybody asks.
    this.#open.set(record, undefined);
  }

  closed(record: TcpRecord): void {
    const { labels, series } = this.#tell(record);
    this.#open.delete(record);
    if (NEVER_CONNECTED.has(record.flag)) this.#traffic.closeFailed(labels, record.flag);
    else series.closed++;
  }

  /** What was counted since the last call. */
  takeChanges(): TrafficCounts {
    for (const record of this.#open.keys()) this.#tell(record).series.inUse = true;
    return this.#traffic.takeChanges();
  }

  #tell(record: TcpRecord): Told {
    let told = this.#open.get(record);
    if (told === undefined) {
      const labels = labelsOf(record);
      told = { labels, series: this.#traffic.series(labels), receivedBytes: 0, sentBytes: 0 };
      told.series.opened++;
      this.#open.set(record, told);
    }
    told.series.receivedBytes += record.receivedBytes - told.receivedBytes;
    told.series.sentBytes += record.sentBytes - told.sentBytes;
    told.receivedBytes = record.receivedBytes;
    told.sentBytes = record.sentBytes;
    return told;
  }
}

/** Flags of connections that had no endpoint at their other side. */
const NEVER_CONNECTED: ReadonlySet<string> = new Set(['UAEX', 'UH', 'UF']);

function labelsOf({ facts, endpoint }: TcpRecord): TrafficLabelValues {
  const { sourceWorkload, identity, target } = facts;
  const workload = endpoint?.workload;
  return connectionLabels({
    reporter: 'waypoint',
    source: { configured: workloadFacts(sourceWorkload), identity },
    destination: {
      configured: workloadFacts(workload),
      // Whoever is reached without a tunnel has proven nothing.
      identity: workload?.protocol === 'HBONE' ? identityOf(workload) : undefined,
    },
    service: target.kind === 'service' ? target.service : undefined,
    mutualTls: true,
  });
}
