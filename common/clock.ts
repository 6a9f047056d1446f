/**
 * Time as an argument: code that waits takes a `Clock`, so that its tests turn the hands themselves.
 * Not for the data path, whose loop has its own timers.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /**
   * Calls `run` once, `delayMs` from now (a negative delay counts as 0). Disposing the result cancels
   * it; disposing again, or after it ran, does nothing. The timer does not keep the process alive.
   */
  setTimer(delayMs: number, run: () => void): Disposable;
}

// setTimeout() fires at once when it is given more than a signed 32-bit number of milliseconds.
const TIMEOUT_MS_MAX = 0x7f_ff_ff_ff;

/** The machine's clock. Delays beyond 24.8 days are waited for in several steps. */
export const systemClock: Clock = {
  now: () => Date.now(),
  setTimer: (delayMs, run) => new SystemTimer(delayMs, run),
};

class SystemTimer implements Disposable {
  #remainingMs: number;
  readonly #run: () => void;
  #timeout: NodeJS.Timeout | undefined;

  constructor(delayMs: number, run: () => void) {
    this.#remainingMs = Math.max(0, delayMs);
    this.#run = run;
    this.#step();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timeout);
    this.#timeout = undefined;
  }

  #step(): void {
    const stepMs = Math.min(this.#remainingMs, TIMEOUT_MS_MAX);
    this.#remainingMs -= stepMs;
    this.#timeout = setTimeout(() => {
      if (this.#remainingMs > 0) this.#step();
      else this.#run();
    }, stepMs);
    this.#timeout.unref();
  }
}
