import { type Changes, mergeChanges } from './needs.ts';

export interface PushTarget {
  push(changes: Changes): void;
}

export interface PushQueueOptions {
  readonly elapsed: () => number;
  /** Has `run` called when the event loop has done what else is waiting. */
  readonly later: (run: () => void) => void;
  /** A client was told. `sinceMs`: when the first of its changes came; `queuedMs`: when it began to wait. */
  readonly onTold: (sinceMs: number, queuedMs: number) => void;
}

interface Waiting {
  readonly changes: Changes;
  readonly sinceMs: number;
  readonly queuedMs: number;
}

// Probes, acknowledgements and new clients are answered in between.
const TURN_MS_MAX = 10;

/** Who has still to be told what. A client waits at most once; what it waits for is merged. */
export class PushQueue {
  readonly #options: PushQueueOptions;
  /** In the order in which they are told. */
  readonly #waiting = new Map<PushTarget, Waiting>();
  #running = false;

  constructor(options: PushQueueOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /**
   * Tells these clients, in this order, after those that wait already. The first of them at once.
   *
   * @param sinceMs when the first of the changes came, by `elapsed`
   */
  add(targets: readonly PushTarget[], changes: Changes, sinceMs: number): void {
    const queuedMs = this.#options.elapsed();
    for (const target of targets) {
      const before = this.#waiting.get(target);
      const waiting =
        before === undefined
          ? { changes, sinceMs, queuedMs }
          : { ...before, changes: mergeChanges(before.changes, changes) };
      this.#waiting.set(target, waiting);
    }
    if (!this.#running) this.#turn();
  }

  /** It has gone. */
  remove(target: PushTarget): void {
    this.#waiting.delete(target);
  }

  #turn(): void {
    const untilMs = this.#options.elapsed() + TURN_MS_MAX;
    for (const [target, { changes, sinceMs, queuedMs }] of this.#waiting) {
      this.#waiting.delete(target);
      target.push(changes);
      this.#options.onTold(sinceMs, queuedMs);
      if (this.#options.elapsed() >= untilMs) break;
    }
    this.#running = this.#waiting.size > 0;
    if (this.#running) this.#options.later(() => this.#turn());
  }
}
