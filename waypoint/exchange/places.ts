/** A number of places that requests take while they are in progress. It only counts: whoever asks decides. */
export class Places {
  readonly max: number;
  #taken = 0;

  constructor(max: number) {
    this.max = max;
  }

  get taken(): number {
    return this.#taken;
  }

  get isFull(): boolean {
    return this.#taken >= this.max;
  }

  take(): void {
    this.#taken++;
  }

  free(): void {
    this.#taken--;
  }
}
