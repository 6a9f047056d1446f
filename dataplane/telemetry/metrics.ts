import type { Reporter, ResponseFlag, TrafficLabelValues } from './connection-labels.ts';
import {
  coarseLabels,
  isFailure,
  LOCALITY_LABELS,
  namedLabels,
  TRAFFIC_LABELS,
  withResponseFlag,
} from './connection-labels.ts';

/** Counters of all connections with the same labels. The data path adds to them in place. */
export interface Series {
  opened: number;
  closed: number;
  failed: number;
  /** Bytes from the destination to the source (the answer), on both reporters. */
  sentBytes: number;
  /** Bytes from the source to the destination (the request), on both reporters. */
  receivedBytes: number;
}

/** Joined label values, then opened, closed, failed, sentBytes, receivedBytes. */
export type SeriesRow = readonly [string, number, number, number, number, number];

/** Plain data; sent between threads and to a successor process. */
export interface TrafficCounts {
  readonly rows: readonly SeriesRow[];
  /** How often labels had to be made coarse. */
  readonly overflowed: number;
}

/** One series as the exposition wants it. */
export interface TrafficEntry {
  /** The same object each time. */
  readonly labels: Readonly<Record<string, string>>;
  /** Of connections that failed: counts their ends, and nothing else. */
  readonly isFailure: boolean;
  readonly series: Readonly<Series>;
}

// A series costs about 1.5 KB here and 4 KB in the exposition's five families: 10,000 of them are
// what a scrape every 15 s can still carry, and far more than one node's pods talk to.
const SERIES_MAX = 10_000;

// Label values hold no control characters, so joined values can be taken apart again.
const SEPARATOR = '\u0000';

/**
 * The traffic counters of one thread. A connection asks once for its series and then only adds
 * numbers. The control thread has one too, which holds the sums.
 *
 * Invariant: at most `seriesMax` series with full labels. Further connections share series in which
 * everything but reporter, protocol, flag and security is `unknown`.
 */
export class TrafficMetrics {
  /** Accepted sockets that are open now, denied ones too. Not part of {@link TrafficMetrics.export}. */
  readonly socketsOpen: Record<Reporter, number> = { source: 0, destination: 0 };
  readonly #seriesMax: number;
  readonly #series = new Map<string, Tracked>();
  #overflowed = 0;
  #overflowedTaken = 0;

  constructor(seriesMax: number = SERIES_MAX) {
    this.#seriesMax = seriesMax;
  }

  /** How often labels had to be made coarse, because there were too many different ones. */
  get overflowed(): number {
    return this.#overflowed;
  }

  /** The counters for these labels; the same object for the same labels. */
  series(labels: TrafficLabelValues): Series {
    return this.#find(labels.join(SEPARATOR), labels);
  }

  /**
   * Counts the end of a connection that failed, as closed and as failed, both under the flag. The
   * connection's own series keeps the flag `-`: do not count the end there too.
   */
  closeFailed(labels: TrafficLabelValues, flag: ResponseFlag): void {
    const series = this.series(withResponseFlag(labels, flag));
    series.closed++;
    series.failed++;
  }

  /** Everything counted so far. */
  export(): TrafficCounts {
    const rows = this.#series.values().map((each) => row(each, ZERO));
    return { rows: [...rows], overflowed: this.#overflowed };
  }

  /** What was counted since the last call; the sum of all answers is what {@link export} gives. */
  takeChanges(): TrafficCounts {
    const rows: SeriesRow[] = [];
    for (const each of this.#series.values()) {
      if (!isChanged(each)) continue;
      rows.push(row(each, each.taken));
      each.taken = copyOf(each);
    }
    const overflowed = this.#overflowed - this.#overflowedTaken;
    this.#overflowedTaken = this.#overflowed;
    return { rows, overflowed };
  }

  /**
   * Adds counts of another thread or of a predecessor. Answers how many rows were left out because
   * they have other labels than ours (a predecessor of another version).
   */
  absorb(counts: TrafficCounts): number {
    let leftOut = 0;
    for (const [key, ...numbers] of counts.rows) {
      const labels = key.split(SEPARATOR);
      if (!LABEL_COUNTS.has(labels.length) || !numbers.every(isCount)) {
        leftOut++;
        continue;
      }
      add(this.#find(key, labels), numbers);
    }
    if (isCount(counts.overflowed)) this.#overflowed += counts.overflowed;
    return leftOut;
  }

  /** All series, for the exposition. */
  entries(): readonly TrafficEntry[] {
    return Array.from(this.#series.values(), entryOf);
  }

  #find(key: string, labels: TrafficLabelValues): Series {
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    if (this.#series.size < this.#seriesMax) return this.#start(key);
    this.#overflowed++;
    const coarseKey = coarseLabels(labels).join(SEPARATOR);
    return this.#series.get(coarseKey) ?? this.#start(coarseKey);
  }

  #start(key: string): Series {
    const series = { ...ZERO, key, taken: ZERO, entry: undefined };
    this.#series.set(key, series);
    return series;
  }
}

interface Tracked extends Series {
  readonly key: string;
  /** The numbers at the last {@link TrafficMetrics.takeChanges}. */
  taken: Series;
  /** Made when somebody looks, then kept. */
  entry: TrafficEntry | undefined;
}

const ZERO: Series = { opened: 0, closed: 0, failed: 0, sentBytes: 0, receivedBytes: 0 };
const LABEL_COUNTS: ReadonlySet<number> = new Set([
  TRAFFIC_LABELS.length,
  TRAFFIC_LABELS.length + LOCALITY_LABELS.length,
]);

function entryOf(tracked: Tracked): TrafficEntry {
  if (tracked.entry === undefined) {
    const values = tracked.key.split(SEPARATOR);
    tracked.entry = {
      labels: namedLabels(values),
      isFailure: isFailure(values),
      series: tracked,
    };
  }
  return tracked.entry;
}

function copyOf(series: Series): Series {
  const { opened, closed, failed, sentBytes, receivedBytes } = series;
  return { opened, closed, failed, sentBytes, receivedBytes };
}

function isChanged(now: Tracked): boolean {
  const { taken } = now;
  return (
    now.opened !== taken.opened ||
    now.closed !== taken.closed ||
    now.failed !== taken.failed ||
    now.sentBytes !== taken.sentBytes ||
    now.receivedBytes !== taken.receivedBytes
  );
}

function row(now: Tracked, before: Series): SeriesRow {
  return [
    now.key,
    now.opened - before.opened,
    now.closed - before.closed,
    now.failed - before.failed,
    now.sentBytes - before.sentBytes,
    now.receivedBytes - before.receivedBytes,
  ];
}

function add(series: Series, numbers: readonly number[]): void {
  const [opened = 0, closed = 0, failed = 0, sentBytes = 0, receivedBytes = 0] = numbers;
  series.opened += opened;
  series.closed += closed;
  series.failed += failed;
  series.sentBytes += sentBytes;
  series.receivedBytes += receivedBytes;
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
