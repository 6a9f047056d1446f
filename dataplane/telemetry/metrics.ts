import { ClaimShares } from './claim-shares.ts';
import type { Reporter, TrafficLabelValues } from './connection-labels.ts';
import {
  coarseLabels,
  isFailure,
  LOCALITY_LABELS,
  namedLabels,
  sourcePrincipal,
  TRAFFIC_LABELS,
  withoutClaims,
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
  /** An open connection counts here. Set by it before each {@link TrafficMetrics.takeChanges}, which clears it. */
  inUse: boolean;
}

type Counts = Omit<Series, 'inUse'>;

/**
 * Joined label values; opened, closed, failed, sentBytes, receivedBytes; 1 when the peer claims to be this source;
 * milliseconds since it was last counted or used.
 */
export type SeriesRow = readonly [
  labels: string,
  opened: number,
  closed: number,
  failed: number,
  sentBytes: number,
  receivedBytes: number,
  isClaimed: number,
  idleMs: number,
];

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
/** The rest is for names that come from our own configuration. */
const CLAIMED_SHARE = 0.25;
/**
 * A series that nothing has been added to for this long, and that no open connection uses, is dropped: its peers
 * are gone. Longer than the windows over which rates are taken; should it come back, readers see a restart.
 */
export const SERIES_KEPT_MS = 3_600_000;
/** How often an unchanged series that is in use is told all the same, so that the reader keeps it, too. */
const IN_USE_TOLD_MS = SERIES_KEPT_MS / 4;

// Label values hold no control characters, so joined values can be taken apart again.
const SEPARATOR = '\u0000';

/**
 * The traffic counters of one thread. A connection asks once for its series and then only adds
 * numbers. The control thread has one too, which holds the sums.
 *
 * Invariant: at most `seriesMax` series with full labels. Further connections share series in which
 * everything but reporter, protocol, flag and security is `unknown`. Series under names that
 * peers claim are a quarter of them at most, and a tenth of that for each peer.
 */
export class TrafficMetrics {
  /**
   * Accepted sockets that are open now, denied ones too, without those of tunnels. Not part of
   * {@link TrafficMetrics.export}.
   */
  readonly socketsOpen: Record<Reporter, number> = { source: 0, destination: 0 };
  readonly #seriesMax: number;
  readonly #now: () => number;
  readonly #claims: ClaimShares;
  readonly #series = new Map<string, Tracked>();
  #overflowed = 0;
  #overflowedTaken = 0;

  /** `now`: milliseconds on any clock that never goes back. */
  constructor(seriesMax: number = SERIES_MAX, now: () => number = () => performance.now()) {
    this.#seriesMax = seriesMax;
    this.#now = now;
    this.#claims = new ClaimShares(Math.floor(seriesMax * CLAIMED_SHARE));
  }

  /** How often labels had to be made coarse, because there were too many different ones. */
  get overflowed(): number {
    return this.#overflowed;
  }

  /**
   * The counters for these labels; the same object for the same labels, until it is dropped. `isClaimed`: the
   * source is what the peer says it is, and {@link hasRoomFor} was asked.
   */
  series(labels: TrafficLabelValues, isClaimed: boolean = false): Series {
    return this.#find(labels, isClaimed, this.#now());
  }

  /** Whether there may be a series for a source that the peer claims to be. */
  hasRoomFor(claimed: TrafficLabelValues): boolean {
    return (
      this.#series.has(claimed.join(SEPARATOR)) || this.#claims.hasRoom(sourcePrincipal(claimed))
    );
  }

  /**
   * Counts the end of a connection that failed, as closed and as failed, both under the flag (one of few). The
   * connection's own series keeps the flag `-`: do not count the end there too.
   */
  closeFailed(labels: TrafficLabelValues, flag: string, isClaimed: boolean = false): void {
    // Without asking for room: the flags are few, and both series should have the same names.
    const series = this.series(withResponseFlag(labels, flag), isClaimed);
    series.closed++;
    series.failed++;
  }

  /** Everything counted so far. */
  export(): TrafficCounts {
    const nowMs = this.#now();
    const rows = this.#series.values().map((each) => row(each, ZERO, nowMs));
    return { rows: [...rows], overflowed: this.#overflowed };
  }

  /**
   * What was counted since the last call; the sum of all answers is everything that was counted. Drops what
   * has not been used for long. Every open connection has said before that its series is in use.
   */
  takeChanges(): TrafficCounts {
    const nowMs = this.#now();
    const rows: SeriesRow[] = [];
    for (const each of this.#series.values()) {
      const hasChanged = isChanged(each);
      if (hasChanged || each.inUse) each.usedMs = nowMs;
      if (hasChanged || (each.inUse && nowMs - each.toldMs >= IN_USE_TOLD_MS)) {
        rows.push(row(each, each.taken, nowMs));
        each.taken = copyOf(each);
        each.toldMs = nowMs;
      }
      each.inUse = false;
    }
    this.dropUnused();
    const overflowed = this.#overflowed - this.#overflowedTaken;
    this.#overflowedTaken = this.#overflowed;
    return { rows, overflowed };
  }

  /**
   * Adds counts of another thread or of a predecessor. Answers how many rows were left out because
   * they have other labels than ours (a predecessor of another version).
   */
  absorb(counts: TrafficCounts): number {
    const nowMs = this.#now();
    let leftOut = 0;
    for (const [key, ...numbers] of counts.rows) {
      const labels = key.split(SEPARATOR);
      if (!LABEL_COUNTS.has(labels.length) || !numbers.every(isCount)) {
        leftOut++;
        continue;
      }
      const [, , , , , isClaimed, idleMs] = numbers;
      const hasRoom = isClaimed === 0 || this.hasRoomFor(labels);
      const kept = hasRoom ? labels : withoutClaims(labels);
      add(this.#find(kept, isClaimed === 1 && hasRoom, nowMs - idleMs), numbers);
    }
    if (isCount(counts.overflowed)) this.#overflowed += counts.overflowed;
    return leftOut;
  }

  /** All series, for the exposition. */
  entries(): readonly TrafficEntry[] {
    return Array.from(this.#series.values(), entryOf);
  }

  /** Drops what nothing has been added to for long; see {@link SERIES_KEPT_MS}. */
  dropUnused(): void {
    const usedAfterMs = this.#now() - SERIES_KEPT_MS;
    for (const each of this.#series.values()) {
      if (each.usedMs > usedAfterMs) continue;
      this.#series.delete(each.key);
      if (each.claimant !== undefined) this.#claims.giveBack(each.claimant);
    }
  }

  #find(labels: TrafficLabelValues, isClaimed: boolean, usedMs: number): Tracked {
    const key = labels.join(SEPARATOR);
    if (this.#series.has(key) || this.#series.size < this.#seriesMax) {
      return this.#use(key, isClaimed ? sourcePrincipal(labels) : undefined, usedMs);
    }
    this.#overflowed++;
    return this.#use(coarseLabels(labels).join(SEPARATOR), undefined, usedMs);
  }

  #use(key: string, claimant: string | undefined, usedMs: number): Tracked {
    const known = this.#series.get(key);
    if (known !== undefined) {
      known.usedMs = Math.max(known.usedMs, usedMs);
      return known;
    }
    const series: Tracked = {
      ...ZERO,
      inUse: false,
      key,
      claimant,
      usedMs,
      toldMs: usedMs,
      taken: ZERO,
      entry: undefined,
    };
    this.#series.set(key, series);
    if (claimant !== undefined) this.#claims.take(claimant);
    return series;
  }
}

interface Tracked extends Series {
  readonly key: string;
  /** Who claims to be the source: an identity that was proven. */
  readonly claimant: string | undefined;
  /** When something was added, or an open connection used it, as far as that was noticed. */
  usedMs: number;
  /** When {@link TrafficMetrics.takeChanges} last told of it. */
  toldMs: number;
  /** The numbers at the last {@link TrafficMetrics.takeChanges}. */
  taken: Counts;
  /** Made when somebody looks, then kept. */
  entry: TrafficEntry | undefined;
}

const ZERO: Counts = { opened: 0, closed: 0, failed: 0, sentBytes: 0, receivedBytes: 0 };
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

function copyOf(series: Series): Counts {
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

function row(now: Tracked, before: Counts, nowMs: number): SeriesRow {
  return [
    now.key,
    now.opened - before.opened,
    now.closed - before.closed,
    now.failed - before.failed,
    now.sentBytes - before.sentBytes,
    now.receivedBytes - before.receivedBytes,
    now.claimant === undefined ? 0 : 1,
    nowMs - now.usedMs,
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
