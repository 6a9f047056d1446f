/** How often which amounts came, as Prometheus counts them: how many were at most so much. */
export interface HistogramReading {
  /** By upper bound, ascending, each with all that is below it, too. */
  readonly buckets: readonly { readonly atMost: number; readonly count: number }[];
  readonly sum: number;
  readonly count: number;
}

/** Counts amounts in buckets. */
export class Histogram {
  readonly #bounds: readonly number[];
  /** Of each bucket alone. */
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  /** @param bounds ascending; what is above the last counts in none of them */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = bounds.map(() => 0);
  }

  observe(amount: number): void {
    const index = this.#bounds.findIndex((bound) => amount <= bound);
    if (index >= 0) this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#sum += amount;
    this.#count++;
  }

  read(): HistogramReading {
    let count = 0;
    const buckets = this.#bounds.map((atMost, index) => {
      count += this.#counts[index] ?? 0;
      return { atMost, count };
    });
    return { buckets, sum: this.#sum, count: this.#count };
  }
}
