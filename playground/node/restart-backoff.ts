/** The kubelet's defaults: the first restart comes after 10 s, then twice as long each time, up to 5 minutes. */
const FIRST_MS = 10_000;
const MAX_MS = 300_000;
/** Who ran this long starts over. */
const RESET_MS = 600_000;

/** How long a container that ends again and again waits for its next start. */
export class RestartBackoff {
  #delayMs = 0;
  #lastEndMs = Number.NEGATIVE_INFINITY;

  /**
   * The container ended: how long to wait. The first restart comes at once. `ranMs` is how long it had
   * run.
   */
  ended(nowMs: number, ranMs: number): number {
    const startsOver = ranMs >= RESET_MS || nowMs - this.#lastEndMs >= 2 * MAX_MS;
    this.#lastEndMs = nowMs;
    if (startsOver) this.#delayMs = 0;
    else this.#delayMs = this.#delayMs === 0 ? FIRST_MS : Math.min(MAX_MS, this.#delayMs * 2);
    return this.#delayMs;
  }
}
