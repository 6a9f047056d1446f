/**
 * Memory that holders share. Beyond the limit whoever holds more than its equal part is over it, so that one who
 * takes much leaves the others their part. A budget can be a holder in a larger one.
 *
 * It only counts: a few additions per change, nothing is allocated.
 */
export class ByteBudget {
  readonly #limitBytes: number;
  readonly #parent: ByteBudget | undefined;
  #bytes = 0;
  #holders = 0;

  constructor(limitBytes: number, parent?: ByteBudget) {
    this.#limitBytes = limitBytes;
    this.#parent = parent;
  }

  /** What all holders have. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Its own limit, or its part of the larger one's when that is used up. */
  get limitBytes(): number {
    const parent = this.#parent;
    if (parent === undefined || parent.#bytes <= parent.limitBytes) return this.#limitBytes;
    return Math.min(this.#limitBytes, parent.limitBytes / parent.#holders);
  }

  get isFull(): boolean {
    return this.#bytes > this.limitBytes;
  }

  /** A holder has `after` bytes instead of `before`. */
  change(before: number, after: number): void {
    const had = this.#bytes;
    this.#bytes += after - before;
    if (before === 0 && after > 0) this.#holders++;
    else if (before > 0 && after === 0) this.#holders--;
    this.#parent?.change(had, this.#bytes);
  }

  /** The budget is half used, and a holder of `held` bytes has more than its part of that half: it gets no more. */
  withholdsFrom(held: number): boolean {
    const half = this.limitBytes / 2;
    return this.#bytes > half && held > half / this.#holders;
  }

  /** The budget is full, and a holder of `held` bytes has more than its part: it has to give them up. */
  takesFrom(held: number): boolean {
    const limit = this.limitBytes;
    return this.#bytes > limit && held > limit / this.#holders;
  }
}
