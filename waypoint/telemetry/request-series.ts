import type { HistogramReading } from '#common/metrics/histogram.ts';

/** Upper bounds of the buckets of all three histograms: milliseconds, and bytes. Those that dashboards for Istio expect. */
export const BUCKET_BOUNDS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000,
  600_000, 1_800_000, 3_600_000,
];

/** What is counted of each amount, beside its buckets. */
export type Amount = 'duration' | 'requestBytes' | 'responseBytes';

// All numbers of a series lie in one array: three counts, then for each amount its sum and its buckets.
const REQUESTS = 0;
const REQUEST_MESSAGES = 1;
const RESPONSE_MESSAGES = 2;
const BLOCK = 1 + BUCKET_BOUNDS.length;
const SUM_AT: Readonly<Record<Amount, number>> = {
  duration: 3,
  requestBytes: 3 + BLOCK,
  responseBytes: 3 + 2 * BLOCK,
};
const { duration: DURATION, requestBytes: REQUEST_BYTES, responseBytes: RESPONSE_BYTES } = SUM_AT;
export const NUMBERS_PER_SERIES: number = 3 + 3 * BLOCK;

/** The numbers of all requests with the same labels. */
export class RequestSeries {
  /** All labels in one text. */
  readonly labels: string;
  readonly numbers: Float64Array = new Float64Array(NUMBERS_PER_SERIES);
  /** Labels were left out, because there are too many different ones. */
  readonly isCoarse: boolean;
  /** When a request was last told of, on the clock of whoever keeps the series. */
  usedMs: number;

  constructor(labels: string, isCoarse: boolean, usedMs: number) {
    this.labels = labels;
    this.isCoarse = isCoarse;
    this.usedMs = usedMs;
  }

  get requests(): number {
    return this.numbers[REQUESTS] ?? 0;
  }

  get requestMessages(): number {
    return this.numbers[REQUEST_MESSAGES] ?? 0;
  }

  get responseMessages(): number {
    return this.numbers[RESPONSE_MESSAGES] ?? 0;
  }

  /** One more request. */
  add(durationMs: number, requestBytes: number, responseBytes: number): void {
    const { numbers } = this;
    increase(numbers, REQUESTS, 1);
    observe(numbers, DURATION, durationMs);
    observe(numbers, REQUEST_BYTES, requestBytes);
    observe(numbers, RESPONSE_BYTES, responseBytes);
  }

  /** The messages of one gRPC call. */
  addMessages(request: number, response: number): void {
    increase(this.numbers, REQUEST_MESSAGES, request);
    increase(this.numbers, RESPONSE_MESSAGES, response);
  }

  /** Adds numbers of another series with the same labels, from `at` on. */
  addAll(numbers: Float64Array, at: number): void {
    for (let index = 0; index < NUMBERS_PER_SERIES; index++) {
      increase(this.numbers, index, numbers[at + index] ?? 0);
    }
  }

  histogram(amount: Amount): HistogramReading {
    const sumAt = SUM_AT[amount];
    let count = 0;
    const buckets = BUCKET_BOUNDS.map((atMost, index) => {
      count += this.numbers[sumAt + 1 + index] ?? 0;
      return { atMost, count };
    });
    return { buckets, sum: this.numbers[sumAt] ?? 0, count: this.requests };
  }
}

/** What is above the last bound is in none of the buckets: the count of all tells of it. */
function observe(numbers: Float64Array, sumAt: number, amount: number): void {
  increase(numbers, sumAt, amount);
  for (let index = 0; index < BUCKET_BOUNDS.length; index++) {
    if (amount > (BUCKET_BOUNDS[index] ?? 0)) continue;
    increase(numbers, sumAt + 1 + index, 1);
    return;
  }
}

function increase(numbers: Float64Array, at: number, by: number): void {
  numbers[at] = (numbers[at] ?? 0) + by;
}
