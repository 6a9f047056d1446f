import type { Clock } from '#common/clock.ts';

export interface DebounceOptions {
  readonly clock: Clock;
  /** Milliseconds of a clock that never goes back. */
  readonly elapsed: () => number;
  /** Does what is to be done about all keys that were added since it ran last; the first of them when `elapsed` was `sinceMs`. */
  readonly run: (changes: ReadonlyMap<string, ReadonlySet<string>>, sinceMs: number) => void;
}

// Between two runs, so that a burst of events becomes a few pushes; not felt by anybody.
const GAP_MS_MIN = 10;
/** ... and longer where a run takes long: at most a fifth of the time goes into pushing. */
const GAP_PER_RUN = 4;
const GAP_MS_MAX = 500;

/**
 * Collects changes. The first after a quiet time runs at once; what comes while things are busy is run
 * together, as soon as the gap since the last run is long enough.
 */
export class Debounce implements Disposable {
  readonly #options: DebounceOptions;
  #changes = new Map<string, Set<string>>();
  #timer: Disposable | undefined;
  #notBeforeMs = 0;
  /** When the first of the changes came. */
  #sinceMs = 0;

  constructor(options: DebounceOptions) {
    this.#options = options;
  }

  add(kind: string, keys: Iterable<string>): void {
    if (this.#changes.size === 0) this.#sinceMs = this.#options.elapsed();
    let set = this.#changes.get(kind);
    if (set === undefined) this.#changes.set(kind, (set = new Set()));
    for (const key of keys) set.add(key);
    if (this.#timer !== undefined) return;
    const waitMs = this.#notBeforeMs - this.#options.elapsed();
    // What else the same transaction changes joins: it is added before the microtask runs.
    this.#timer =
      waitMs > 0 ? this.#options.clock.setTimer(waitMs, () => this.#run()) : this.#soon();
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#changes.clear();
  }

  #soon(): Disposable {
    let cancelled = false;
    queueMicrotask(() => {
      if (!cancelled) this.#run();
    });
    return {
      [Symbol.dispose]: () => {
        cancelled = true;
      },
    };
  }

  #run(): void {
    const { elapsed, run } = this.#options;
    const changes = this.#changes;
    this.#changes = new Map();
    this.#timer = undefined;
    const startedMs = elapsed();
    run(changes, this.#sinceMs);
    const endedMs = elapsed();
    const gapMs = Math.max(GAP_MS_MIN, (endedMs - startedMs) * GAP_PER_RUN);
    this.#notBeforeMs = endedMs + Math.min(gapMs, GAP_MS_MAX);
  }
}
