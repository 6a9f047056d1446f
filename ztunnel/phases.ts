/** How long each phase of a hand-over took, for its log line. */
export class Phases {
  readonly #beganMs = performance.now();
  #lastMs = this.#beganMs;
  readonly #ended: Record<string, string> = {};

  /** The phase that began with the end of the one before it is over. */
  end(name: string): void {
    const nowMs = performance.now();
    this.#ended[name] = milliseconds(nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }

  /** By name, such as `4.2ms`. */
  get ended(): Readonly<Record<string, string>> {
    return this.#ended;
  }

  /** From the beginning to the end of the last phase. */
  get total(): string {
    return milliseconds(this.#lastMs - this.#beganMs);
  }
}

function milliseconds(ms: number): string {
  return `${ms.toFixed(1)}ms`;
}
