import type { Service } from '#dataplane/state/service.ts';
import type { Workload } from '#dataplane/state/workload.ts';

import type { ExchangeRecord } from '../exchange/record.ts';
import { COARSEST_LABELS, coarseLabels, grpcStatusLabel, requestLabels } from './request-labels.ts';
import { NUMBERS_PER_SERIES, RequestSeries } from './request-series.ts';

// A series is 70 lines of a scrape, some 60 KB: 2,000 of them are what a reader can still take (120 MB, compressed 1 MB),
// and several times what a namespace's callers, endpoints and outcomes make.
const SERIES_MAX = 2_000;
/** Beside them, for outcomes only. */
const COARSE_SERIES_MAX = 200;
/** Longer than the windows over which rates are taken; should its labels come back, readers see a restart. */
const SERIES_KEPT_MS = 3_600_000;
/** What is looked up without making a text; forgotten and made anew after that. */
const IDENTITIES_MAX = 10_000;
const OUTCOMES_MAX = 1_000;

/** Plain data, sent between threads: the numbers of each series lie one after the other. */
export interface RequestCounts {
  readonly labels: readonly string[];
  readonly numbers: Float64Array;
  /** Requests whose labels were made coarse. */
  readonly overflowed: number;
}

/** The series that requests between the same two ends had so far. */
interface Outcomes {
  /** Plain HTTP without a flag, by status. */
  readonly plain: Map<number, RequestSeries>;
  readonly others: Map<string, RequestSeries>;
}

type ByDestination = WeakMap<object, Outcomes>;
type ByService = WeakMap<object, ByDestination>;
type BySource = WeakMap<object, ByService>;

/** In the place of a workload or service that there is none of. */
const NONE: object = {};

/**
 * The request metrics of one thread. The control thread has one too, which holds the sums.
 *
 * A request finds its series by the objects that it is told with, without making a text. Invariant: at most
 * `seriesMax` series with full labels and {@link COARSE_SERIES_MAX} others.
 */
export class RequestMetrics {
  readonly #seriesMax: number;
  readonly #now: () => number;
  readonly #series = new Map<string, RequestSeries>();
  #coarseSeries = 0;
  #overflowed = 0;
  /** Known ways to series. Forgotten as a whole when series are dropped: nothing else may lead to one. */
  #index = new Map<string, BySource>();

  /** `now`: milliseconds on any clock that never goes back. */
  constructor(seriesMax: number = SERIES_MAX, now: () => number = () => performance.now()) {
    this.#seriesMax = seriesMax;
    this.#now = now;
  }

  /** Requests whose labels were made coarse, because there were too many different ones. */
  get overflowed(): number {
    return this.#overflowed;
  }

  /** Counts a request that has come to its end. */
  add(record: ExchangeRecord): void {
    const series = this.#find(record);
    if (series.isCoarse) this.#overflowed++;
    const { startMs, endMs, requestBytes, responseBytes, messages } = record;
    series.add(endMs - startMs, requestBytes, responseBytes);
    if (messages !== undefined) series.addMessages(messages.request.count, messages.response.count);
  }

  /** What was counted since the last call. Drops what nothing was added to for long. */
  take(): RequestCounts {
    const nowMs = this.#now();
    const changed = [...this.#series.values()].filter(({ requests }) => requests > 0);
    const numbers = new Float64Array(changed.length * NUMBERS_PER_SERIES);
    changed.forEach((series, index) => {
      numbers.set(series.numbers, index * NUMBERS_PER_SERIES);
      series.numbers.fill(0);
      series.usedMs = nowMs;
    });
    this.#dropUnused(nowMs);
    const overflowed = this.#overflowed;
    this.#overflowed = 0;
    return { labels: changed.map(({ labels }) => labels), numbers, overflowed };
  }

  /** Adds what another thread has taken. */
  absorb({ labels, numbers, overflowed }: RequestCounts): void {
    const nowMs = this.#now();
    labels.forEach((each, index) => {
      const series = this.#seriesFor(each);
      const at = index * NUMBERS_PER_SERIES;
      series.addAll(numbers, at);
      series.usedMs = nowMs;
      if (series.isCoarse && series.labels !== each) this.#overflowed += numbers[at] ?? 0;
    });
    this.#overflowed += overflowed;
    this.#dropUnused(nowMs);
  }

  /** All series, for the exposition. */
  series(): readonly RequestSeries[] {
    return [...this.#series.values()];
  }

  #find(record: ExchangeRecord): RequestSeries {
    const { facts, decision, endpoint, status, flag, messages } = record;
    const target = decision.kind === 'forward' ? decision.target : facts.target;
    const service = target.kind === 'service' ? target.service : undefined;
    const source = facts.sourceWorkload;
    const destination = endpoint?.workload;
    const outcomes = this.#outcomes(facts.identity, source, service, destination);
    const isPlain = flag === '-' && messages === undefined;
    const grpcStatus = messages === undefined ? undefined : grpcStatusLabel(record.grpcStatus);
    const key = isPlain ? '' : `${status} ${flag} ${grpcStatus ?? ''}`;
    const known = isPlain ? outcomes.plain.get(status) : outcomes.others.get(key);
    if (known !== undefined) return known;
    const ends = { source, identity: facts.identity, service, destination };
    const found = this.#seriesFor(requestLabels(ends, { status, flag, grpcStatus }));
    if (isPlain) outcomes.plain.set(status, found);
    else {
      if (outcomes.others.size >= OUTCOMES_MAX) outcomes.others.clear();
      outcomes.others.set(key, found);
    }
    return found;
  }

  // oxlint-disable-next-line max-params -- an object of them for each request is what this is to avoid
  #outcomes(
    identity: string,
    source: Workload | undefined,
    service: Service | undefined,
    destination: Workload | undefined,
  ): Outcomes {
    let sources = this.#index.get(identity);
    if (sources === undefined) {
      if (this.#index.size >= IDENTITIES_MAX) this.#index.clear();
      sources = new WeakMap();
      this.#index.set(identity, sources);
    }
    let services = sources.get(source ?? NONE);
    if (services === undefined) {
      services = new WeakMap();
      sources.set(source ?? NONE, services);
    }
    let destinations = services.get(service ?? NONE);
    if (destinations === undefined) {
      destinations = new WeakMap();
      services.set(service ?? NONE, destinations);
    }
    let outcomes = destinations.get(destination ?? NONE);
    if (outcomes === undefined) {
      outcomes = { plain: new Map(), others: new Map() };
      destinations.set(destination ?? NONE, outcomes);
    }
    return outcomes;
  }

  #seriesFor(labels: string): RequestSeries {
    const known = this.#series.get(labels);
    if (known !== undefined) return known;
    const coarse = coarseLabels(labels);
    const hasRoom = this.#series.size - this.#coarseSeries < this.#seriesMax;
    if (hasRoom && labels !== coarse) return this.#make(labels, false);
    const shared = this.#series.get(coarse);
    if (shared !== undefined) return shared;
    if (this.#coarseSeries < COARSE_SERIES_MAX) return this.#make(coarse, true);
    return this.#series.get(COARSEST_LABELS) ?? this.#make(COARSEST_LABELS, true);
  }

  #make(labels: string, isCoarse: boolean): RequestSeries {
    const series = new RequestSeries(labels, isCoarse, this.#now());
    this.#series.set(labels, series);
    if (isCoarse) this.#coarseSeries++;
    return series;
  }

  #dropUnused(nowMs: number): void {
    const usedAfterMs = nowMs - SERIES_KEPT_MS;
    let dropped = false;
    for (const { labels, isCoarse, usedMs } of this.#series.values()) {
      if (usedMs > usedAfterMs) continue;
      this.#series.delete(labels);
      if (isCoarse) this.#coarseSeries--;
      dropped = true;
    }
    // Those with coarse labels may have their own now.
    if (dropped) this.#index = new Map();
  }
}
