import { type BackoffPlan, backoffMs } from './backoff.ts';
import type { Clock } from './clock.ts';

export interface WorkQueueOptions {
  readonly clock: Clock;
  /** Does what is to be done for a key, from what is true now. A rejection is tried again, later each time. */
  readonly work: (key: string) => Promise<void>;
  readonly backoff: BackoffPlan;
  /** Told of every rejection, with the number of failures in a row and the time of the next attempt. */
  readonly onFailure: (key: string, error: unknown, failures: number, retryMs: number) => void;
  /** Keys worked on at a time. Default 1. */
  readonly parallel?: number;
  readonly random?: () => number;
}

interface Entry {
  state: 'waiting' | 'running' | 'sleeping' | 'idle';
  /** Asked for while it ran: run once more. */
  again: boolean;
  failures: number;
  timer: Disposable | undefined;
}

/**
 * Level-triggered work: a key says that something about it may have changed, not what. However often it is
 * added while it waits, it is worked on once; while it runs, once more afterwards; never twice at a time.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #waiting: string[] = [];
  #running = 0;
  #stopped = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  /** Keys that wait, run, or will be tried again. */
  get size(): number {
    return this.#entries.size;
  }

  /** Has `key` worked on soon; at once instead of after its back-off. */
  add(key: string): void {
    if (this.#stopped) return;
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      this.#entries.set(key, { state: 'waiting', again: false, failures: 0, timer: undefined });
      this.#waiting.push(key);
    } else if (entry.state === 'running') {
      entry.again = true;
    } else if (entry.state === 'sleeping') {
      this.#wake(key, entry);
    }
    this.#next();
  }

  /** Has `key` worked on after a time, unless it is added before. */
  addAfter(key: string, delayMs: number): void {
    if (this.#stopped || this.#entries.has(key)) return;
    const entry: Entry = { state: 'sleeping', again: false, failures: 0, timer: undefined };
    this.#entries.set(key, entry);
    this.#sleep(key, entry, delayMs);
  }

  /** Starts nothing more; what runs ends by itself. */
  stop(): void {
    this.#stopped = true;
    for (const { timer } of this.#entries.values()) timer?.[Symbol.dispose]();
    this.#entries.clear();
    this.#waiting.length = 0;
  }

  #next(): void {
    while (this.#running < (this.#options.parallel ?? 1)) {
      const key = this.#waiting.shift();
      const entry = key === undefined ? undefined : this.#entries.get(key);
      if (key === undefined || entry === undefined) return;
      entry.state = 'running';
      this.#running++;
      void this.#run(key, entry);
    }
  }

  async #run(key: string, entry: Entry): Promise<void> {
    const { work, onFailure, backoff, random = Math.random } = this.#options;
    let failed = false;
    try {
      await work(key);
      entry.failures = 0;
    } catch (error) {
      failed = true;
      entry.failures++;
      const retryMs = backoffMs(backoff, entry.failures, random);
      onFailure(key, error, entry.failures, retryMs);
      if (!this.#stopped && !entry.again) this.#sleep(key, entry, retryMs);
    }
    this.#running--;
    if (this.#stopped) return;
    if (entry.again) {
      entry.again = false;
      entry.state = 'waiting';
      this.#waiting.push(key);
    } else if (!failed) {
      this.#entries.delete(key);
    }
    this.#next();
  }

  #sleep(key: string, entry: Entry, delayMs: number): void {
    entry.state = 'sleeping';
    entry.timer = this.#options.clock.setTimer(delayMs, () => {
      this.#wake(key, entry);
      this.#next();
    });
  }

  #wake(key: string, entry: Entry): void {
    entry.timer?.[Symbol.dispose]();
    entry.timer = undefined;
    entry.state = 'waiting';
    this.#waiting.push(key);
  }
}
