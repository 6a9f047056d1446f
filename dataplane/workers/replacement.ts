import { type BackoffPlan, backoffMs } from '#common/backoff.ts';

const WINDOW_MS = 60_000;
/** Within {@link WINDOW_MS}. One that dies more often has a reason that a new thread does not take away. */
const DEATHS_MAX = 5;
const DELAY: BackoffPlan = { firstMs: 100, maxMs: 5_000, spread: 0 };

/** Decides when a data worker that has died, or could not start again, gets its next replacement. */
export class Replacement {
  #deathsMs: number[] = [];

  /** It has died at `nowMs`: how many milliseconds to wait; undefined when there is no point in another one. */
  delayAfterDeathMs(nowMs: number): number | undefined {
    this.#deathsMs = this.#deathsMs.filter((diedMs) => nowMs - diedMs < WINDOW_MS);
    this.#deathsMs.push(nowMs);
    const deaths = this.#deathsMs.length;
    return deaths > DEATHS_MAX ? undefined : backoffMs(DELAY, deaths, () => 0);
  }
}
